//! Why a registry gave no schema, and what that means for the next try.

use faultline_contracts::registry::SchemaFormat;

/// Why a look-up brought no schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The registry says that there is no such schema.
    #[error("{0}")]
    Unknown(String),
    /// Nothing answers, or not in time: the next request would fare alike.
    #[error("no answer from {address}: {reason}")]
    Unreachable {
        /// Who was asked.
        address: String,
        /// What happened.
        reason: String,
    },
    /// There is an answer, and it is a refusal. It may be about this one request.
    #[error("{address} answers {answer}{}", hint.map(|hint| format!("; {hint}")).unwrap_or_default())]
    Refused {
        /// Who was asked.
        address: String,
        /// Status and message.
        answer: String,
        /// What somebody can do about it, where that is known.
        hint: Option<&'static str>,
        /// Whether the same request may succeed in a moment.
        transient: bool,
    },
    /// The schema is there, and cannot be had or used: too large, or of a format that nobody here knows.
    #[error("{message}")]
    Unusable {
        /// The schema's name as catalogs write it.
        reference: String,
        /// The language that it is in, where that is known.
        format: Option<SchemaFormat>,
        /// What is wrong.
        message: String,
    },
}

impl RegistryError {
    /// Whether the registry is there and did its work: all but silence and refusals.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        matches!(self, Self::Unknown(_) | Self::Unusable { .. })
    }

    /// How long to wait before the same request is made again within one look-up, after so many attempts; `None` where that
    /// is pointless. `salt` spreads those that failed together.
    #[must_use]
    pub fn retry_after(&self, attempts: u32, salt: u64) -> Option<std::time::Duration> {
        let worthwhile = matches!(self, Self::Refused { transient: true, .. });
        let step = 100_u64 << attempts.saturating_sub(1).min(4);
        // From half a step to a step and a half.
        let wait = step / 2 + salt.rotate_left(attempts * 7) % (step + 1);
        (worthwhile && attempts < MAX_ATTEMPTS).then(|| std::time::Duration::from_millis(wait))
    }
}

/// How often a request is made within one look-up.
const MAX_ATTEMPTS: u32 = 3;

/// How much of a message of a registry is shown, in characters.
const MESSAGE_CHARS: usize = 300;

/// The beginning of a registry's message, on one line.
pub(super) fn shown(message: &str) -> String {
    let mut shown: String = message.chars().take(MESSAGE_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if message.chars().nth(MESSAGE_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(transient: bool) -> RegistryError {
        RegistryError::Refused { address: "a".into(), answer: "503".into(), hint: Some("wait"), transient }
    }

    #[test]
    fn only_passing_refusals_are_repeated_and_not_for_long() {
        for salt in [0, 1, 0x9e37_79b9_7f4a_7c15, u64::MAX] {
            let waits: Vec<_> = (1..5).map(|attempts| refused(true).retry_after(attempts, salt)).collect();
            assert!((50..=150).contains(&waits[0].unwrap().as_millis()), "{waits:?}");
            assert!((100..=300).contains(&waits[1].unwrap().as_millis()), "{waits:?}");
            assert_eq!(waits[2..], [None, None]);
        }
        let silence = RegistryError::Unreachable { address: "a".into(), reason: "refused".into() };
        for error in [refused(false), silence, RegistryError::Unknown("x".into())] {
            assert_eq!(error.retry_after(1, 7), None);
        }
    }

    #[test]
    fn messages_say_what_to_do_and_are_cut() {
        assert_eq!(refused(true).to_string(), "a answers 503; wait");
        assert_eq!(shown("a\nb"), "a b");
        assert_eq!(shown(&"é".repeat(400)).chars().count(), 301);
    }
}
