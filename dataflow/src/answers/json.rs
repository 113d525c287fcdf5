//! Messages as proto3 JSON: what `-o json` prints.

use faultline_proto::reflected;
use prost::{Message, Name};
use prost_reflect::SerializeOptions;
use serde_json::Value;

/// A message that cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// It is of another package.
    #[error("no descriptor for the message: {0}")]
    Descriptor(#[from] prost::DecodeError),
    /// A value has no JSON form: a time beyond year 9999.
    #[error("a value has no JSON form: {0}")]
    Value(#[from] serde_json::Error),
}

/// A message as proto3 JSON. Counts that are 0 and lists that are empty are there, so that readers need no defaults;
/// what has presence and is absent is not. As proto3 JSON has it, 64-bit integers are strings.
///
/// # Errors
/// The message is of another package, or a value has no JSON form.
pub fn to_json<M: Message + Name>(message: &M) -> Result<Value, JsonError> {
    let options = SerializeOptions::new().skip_default_fields(false);
    Ok(reflected(message)?.serialize_with_options(serde_json::value::Serializer, &options)?)
}

#[cfg(test)]
mod tests {
    use faultline_proto::v1;

    use super::*;

    #[test]
    fn names_are_snake_case_and_zeros_are_shown() {
        let node = v1::Node {
            id: "t".into(),
            impacted_since: Some(crate::answers::timestamp(faultline_contracts::time::UnixMillis(1_500))),
            ..v1::Node::default()
        };
        let json = to_json(&v1::GetBlastRadiusResponse { nodes: vec![node], ..Default::default() }).unwrap();
        assert_eq!(json["nodes"][0]["impacted_since"], "1970-01-01T00:00:01.500Z");
        assert_eq!((&json["total_size"], &json["next_page_token"]), (&0.into(), &"".into()));
        assert_eq!(json["nodes"][0].get("tier"), None, "absent is not 0: {json}");
        assert_eq!(json["nodes"][0]["hops"], 0);
        let empty = to_json(&v1::ListIncidentsResponse::default()).unwrap();
        assert_eq!(empty["incidents"], serde_json::json!([]));
        assert_eq!(empty.get("as_of"), None);
    }
}
