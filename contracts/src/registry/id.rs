//! Ids of registered schemas.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The id of a schema version in a registry, as records carry it.
///
/// ```
/// use faultline_contracts::registry::SchemaId;
/// let id: SchemaId = "glue:b7b4a7f0-9c96-4e4a-a687-fb5de9ef0c63".parse()?;
/// assert!(matches!(id, SchemaId::Glue(_)));
/// assert_eq!(id.to_string(), "glue:b7b4a7f0-9c96-4e4a-a687-fb5de9ef0c63");
/// assert_eq!("confluent:17".parse(), Ok(SchemaId::Confluent(17)));
/// # Ok::<(), faultline_contracts::registry::SchemaIdError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum SchemaId {
    /// Glue's schema version id, a UUID: `glue:<uuid>`.
    Glue([u8; 16]),
    /// Confluent's id: `confluent:17`.
    Confluent(u32),
    /// Confluent's GUID: `confluent:<guid>`.
    ConfluentGuid([u8; 16]),
}

/// A text that is no schema id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no schema id: glue:<uuid>, confluent:<number> and confluent:<guid> are")]
pub struct SchemaIdError(String);

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Glue(uuid) => write!(f, "glue:{}", Uuid(uuid)),
            Self::Confluent(id) => write!(f, "confluent:{id}"),
            Self::ConfluentGuid(guid) => write!(f, "confluent:{}", Uuid(guid)),
        }
    }
}

impl FromStr for SchemaId {
    type Err = SchemaIdError;

    fn from_str(text: &str) -> Result<Self, SchemaIdError> {
        let read = || match text.split_once(':')? {
            ("glue", uuid) => Some(Self::Glue(parse_uuid(uuid)?)),
            ("confluent", id) => match parse_uuid(id) {
                Some(guid) => Some(Self::ConfluentGuid(guid)),
                // No sign: `u32` would read "+17".
                None if id.bytes().all(|byte| byte.is_ascii_digit()) => id.parse().ok().map(Self::Confluent),
                None => None,
            },
            _ => None,
        };
        read().ok_or_else(|| SchemaIdError(text.chars().take(80).collect()))
    }
}

impl From<SchemaId> for String {
    fn from(id: SchemaId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for SchemaId {
    type Error = SchemaIdError;

    fn try_from(text: String) -> Result<Self, SchemaIdError> {
        text.parse()
    }
}

/// Shows 16 bytes in RFC 4122's text form.
struct Uuid<'a>(&'a [u8; 16]);

impl fmt::Display for Uuid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, byte) in self.0.iter().enumerate() {
            if matches!(place, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let groups: Vec<&str> = text.split('-').collect();
    if !groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]) {
        return None;
    }
    let mut bytes = [0; 16];
    hex::decode_to_slice(groups.concat(), &mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_as_they_are_written() {
        for text in [
            "glue:b7b4a7f0-9c96-4e4a-a687-fb5de9ef0c63",
            "confluent:0",
            "confluent:4294967295",
            "confluent:89791762-2336-186f-9674-988bcc2a1c85",
        ] {
            let id: SchemaId = text.parse().unwrap();
            assert_eq!(id.to_string(), text);
            assert_eq!(serde_json::from_str::<SchemaId>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
        }
        let upper: SchemaId = "glue:B7B4A7F0-9C96-4E4A-A687-FB5DE9EF0C63".parse().unwrap();
        assert_eq!(upper.to_string(), "glue:b7b4a7f0-9c96-4e4a-a687-fb5de9ef0c63");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "17",
            "glue:17",
            "glue:b7b4a7f09c964e4aa687fb5de9ef0c63",
            "glue:b7b4a7f0-9c96-4e4a-a687-fb5de9ef0c6é",
            "confluent:-1",
            "confluent:+1",
            "confluent:",
            "confluent:4294967296",
            "apicurio:1",
        ] {
            assert!(text.parse::<SchemaId>().is_err(), "{text}");
        }
    }
}
