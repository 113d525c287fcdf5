//! CloudEvents 1.0 around what goes to topics, as the protocol binding for Kafka has it.
//!
//! In *binary* mode the value stays as it is and the attributes are headers; in *structured* mode the value is one JSON
//! object with the attributes and, as `data`, what it was before. Both are pure functions; a topic without an envelope
//! never comes here.

use std::ffi::CStr;

use faultline_contracts::{evidence::write_json_string, time::UnixMillis};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is put around the records of the evidence, signal and incident topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Envelope {
    /// Nothing: the value is JSON.
    #[default]
    Plain,
    /// CloudEvents in binary mode: the value as without, and headers `ce_id`, `ce_type`, `ce_source`, …
    CloudeventsBinary,
    /// CloudEvents in structured mode: the value is a JSON object with the attributes and `data`.
    CloudeventsStructured,
}

/// What happened, as `type` says it. A change of the data that readers could stumble over gets another version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    /// A record, or a range of them, was judged.
    Evidence,
    /// A signal changed.
    Signal,
    /// An incident changed.
    Incident,
}

impl EventType {
    /// The value of `type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Evidence => "dev.faultline.evidence.v1",
            Self::Signal => "dev.faultline.signal.v1",
            Self::Incident => "dev.faultline.incident.v1",
        }
    }
}

/// The `content-type` of a record in structured mode.
pub const STRUCTURED: &[u8] = b"application/cloudevents+json; charset=UTF-8";

/// An event's attributes. Data is always JSON.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// With the source it names the event: the same again is a repetition.
    pub id: &'a str,
    /// What happened.
    pub event_type: EventType,
    /// Who says so: a URI reference.
    pub source: &'a str,
    /// When.
    pub time: UnixMillis,
    /// The dataset it is about, where it is known.
    pub subject: Option<&'a str>,
}

/// The text of an event's time, which its headers borrow.
pub type TimeText = [u8; UnixMillis::TEXT_LEN];

/// The headers of an event in binary mode.
#[derive(Debug, Clone, Copy)]
pub struct Headers<'a> {
    headers: [(&'static CStr, &'a [u8]); 7],
    count: usize,
}

impl<'a> Headers<'a> {
    /// Name and value of each.
    #[must_use]
    pub fn as_slice(&self) -> &[(&'static CStr, &'a [u8])] {
        &self.headers[..self.count]
    }
}

impl<'a> Event<'a> {
    /// The text of its time, for [`Event::headers`].
    #[must_use]
    pub fn time_text(&self) -> TimeText {
        let mut text = Vec::with_capacity(UnixMillis::TEXT_LEN);
        self.time.write_to(&mut text);
        // Always of that length: years beyond 0 to 9999 are held at the ends.
        text.try_into().unwrap_or(*b"1970-01-01T00:00:00.000Z")
    }

    /// The headers of binary mode; `time` is [`Event::time_text`]. The value is the data as it is.
    #[must_use]
    pub fn headers(&self, time: &'a TimeText) -> Headers<'a> {
        let &Self { id, event_type, source, time: _, subject } = self;
        let subject = subject.filter(|subject| !subject.is_empty());
        Headers {
            headers: [
                (c"content-type", b"application/json"),
                (c"ce_specversion", b"1.0"),
                (c"ce_id", id.as_bytes()),
                (c"ce_type", event_type.as_str().as_bytes()),
                (c"ce_source", source.as_bytes()),
                (c"ce_time", time),
                (c"ce_subject", subject.unwrap_or_default().as_bytes()),
            ],
            count: if subject.is_some() { 7 } else { 6 },
        }
    }

    /// Appends the value of structured mode around `data`, which is JSON.
    pub fn write_structured(&self, data: &[u8], out: &mut Vec<u8>) {
        let &Self { id, event_type, source, time, subject } = self;
        out.reserve(data.len() + 320);
        out.extend_from_slice(br#"{"specversion":"1.0","id":"#);
        write_json_string(id, out);
        out.extend_from_slice(br#","type":""#);
        out.extend_from_slice(event_type.as_str().as_bytes());
        out.extend_from_slice(br#"","source":"#);
        write_json_string(source, out);
        if let Some(subject) = subject.filter(|subject| !subject.is_empty()) {
            out.extend_from_slice(br#","subject":"#);
            write_json_string(subject, out);
        }
        out.extend_from_slice(br#","time":""#);
        time.write_to(out);
        out.extend_from_slice(br#"","datacontenttype":"application/json","data":"#);
        out.extend_from_slice(data);
        out.push(b'}');
    }
}

/// What is wrong with a `source`, if it cannot be one: it has to be a URI reference that is not empty.
#[must_use]
pub fn source_problem(source: &str) -> Option<&'static str> {
    // RFC 3986: these have to be percent-encoded.
    let allowed = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
    if source.is_empty() {
        Some("must not be empty")
    } else if source.len() > 1_000 {
        Some("must be at most 1,000 bytes long")
    } else if !source.bytes().all(allowed) {
        Some("must be a URI reference: spaces, quotes and other characters than ASCII are percent-encoded")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn event<'a>() -> Event<'a> {
        Event {
            id: "evd-01HDR93FYYP6JVW0040009ENT1",
            event_type: EventType::Evidence,
            source: "/faultline",
            time: UnixMillis(1_698_400_681_950),
            subject: Some("urn:dp:orders:created"),
        }
    }

    fn texts(event: &Event<'_>) -> Vec<(String, String)> {
        let time = event.time_text();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        event.headers(&time).as_slice().iter().map(|(name, value)| (text(name.to_bytes()), text(value))).collect()
    }

    #[test]
    fn binary_mode_is_headers() {
        let expected = [
            ("content-type", "application/json"),
            ("ce_specversion", "1.0"),
            ("ce_id", "evd-01HDR93FYYP6JVW0040009ENT1"),
            ("ce_type", "dev.faultline.evidence.v1"),
            ("ce_source", "/faultline"),
            ("ce_time", "2023-10-27T09:58:01.950Z"),
            ("ce_subject", "urn:dp:orders:created"),
        ];
        assert_eq!(texts(&event()), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let unknown = Event { subject: None, ..event() };
        assert_eq!(texts(&unknown).len(), 6, "an empty subject is none");
    }

    #[test]
    fn structured_mode_is_one_object() {
        let mut out = Vec::new();
        event().write_structured(br#"{"result":"FAIL"}"#, &mut out);
        let expected = json!({
            "specversion": "1.0", "id": "evd-01HDR93FYYP6JVW0040009ENT1", "type": "dev.faultline.evidence.v1",
            "source": "/faultline", "subject": "urn:dp:orders:created", "time": "2023-10-27T09:58:01.950Z",
            "datacontenttype": "application/json", "data": {"result": "FAIL"},
        });
        assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), expected);
    }

    #[test]
    fn sources_are_uri_references() {
        for source in ["/faultline", "https://example.org/faultline?env=prod", "urn:faultline:eu-west-1", "a%20b"] {
            assert_eq!(source_problem(source), None, "{source}");
        }
        for source in ["", "a b", "a\"b", "ä", "<a>"] {
            assert!(source_problem(source).is_some(), "{source}");
        }
    }

    proptest! {
        /// Whatever texts there are: the object has the attributes as they were given, and the time of any record a form.
        #[test]
        fn any_text_comes_through((id, source, subject) in ("\\PC{1,20}", "\\PC{1,20}", "(?s).{0,20}"), time: i64) {
            let event = Event { id: &id, source: &source, subject: Some(&subject), time: UnixMillis(time), ..event() };
            let mut out = Vec::new();
            event.write_structured(b"[1]", &mut out);
            let value: Value = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!((&value["id"], &value["source"]), (&json!(id), &json!(source)));
            prop_assert_eq!(value.get("subject").cloned(), (!subject.is_empty()).then(|| json!(subject)));
            prop_assert_eq!(value["time"].as_str().unwrap().as_bytes(), event.time_text());
            prop_assert_eq!(&value["data"], &json!([1]));
        }
    }
}
