//! Errors as people read them.

use std::{error::Error, fmt};

/// An error and what caused it, on one line: what is wrong is mostly at the end. A cause that has been said is not said
/// again, for some errors say what their source says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WithCauses<'a>(pub(crate) &'a dyn Error);

impl fmt::Display for WithCauses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        for cause in std::iter::successors(self.0.source(), |&cause| cause.source()) {
            let cause = cause.to_string();
            if !said.contains(&cause) {
                said.push_str(": ");
                said.push_str(&cause);
            }
        }
        f.write_str(&said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Because {
        text: &'static str,
        source: Option<Box<Because>>,
    }

    fn because(texts: &[&'static str]) -> Because {
        let (text, causes) = texts.split_first().unwrap();
        Because { text, source: (!causes.is_empty()).then(|| Box::new(because(causes))) }
    }

    #[test]
    fn every_cause_is_said_once() {
        for (texts, told) in [
            (&["no token"][..], "no token"),
            (&["no token", "no profile", "no such file"], "no token: no profile: no such file"),
            (&["no token: no profile", "no profile", "no such file"], "no token: no profile: no such file"),
            (&["no token", "no profile", "no token"], "no token: no profile"),
        ] {
            assert_eq!(WithCauses(&because(texts)).to_string(), told);
        }
    }
}
