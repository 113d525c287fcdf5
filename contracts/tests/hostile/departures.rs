//! Where the `jsonschema` crate, or `serde_json` below it, says other than the standards do.

/// Each with what the standard says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Departure {
    /// Numbers are judged as the nearest 64-bit float, or as the shortest number that is read as the same float. JSON
    /// Schema has numbers of any precision (core, 6.3), and so have we.
    RoundsNumbers,
    /// Labels of host names with `--` at their third place must be A-labels of IDNA with `xn` in lower case. RFC 1123, 2.1,
    /// has them whatever they spell, and `XN--` is the same label in all host names. That labels which spell nothing are
    /// refused has reasons (RFC 5891, 4.4); we leave that to whoever resolves the name.
    AsksForALabels,
    /// A backslash before a blank is refused in quoted local parts. RFC 5321, 4.1.2, has it: `quoted-pairSMTP`.
    RefusesEscapedBlanks,
    /// `Joe <joe@example.com>` is taken for a mailbox. It is a `name-addr` of RFC 5322 and no `Mailbox` of RFC 5321, 4.1.2,
    /// which JSON Schema asks for (validation, 7.3.2).
    TakesNamesForMailboxes,
}

impl Departure {
    /// The departure that explains our verdict on a document that is a string, under a schema that is a format.
    pub fn of_format(schema: &str, document: &str, ours: bool) -> Option<Self> {
        let text: String = serde_json::from_str(document).ok()?;
        let (local, host) = match schema {
            r#"{"format":"hostname"}"# => ("", text.as_str()),
            r#"{"format":"email"}"# => text.rsplit_once('@')?,
            _ => return None,
        };
        let has_reserved_label = || host.split('.').any(|label| label.get(2..4) == Some("--"));
        match ours {
            true if local.contains("\\ ") => Some(Self::RefusesEscapedBlanks),
            true if has_reserved_label() => Some(Self::AsksForALabels),
            false if local.contains('<') && host.contains('>') => Some(Self::TakesNamesForMailboxes),
            _ => None,
        }
    }
}
