//! What a graph server, or the way to it, can answer instead of a result.

use std::time::Duration;

use gremlin_client::GremlinError;
use serde_json::Value as Json;

use crate::SinkError;

/// Why a request has no result.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The settings cannot be used.
    #[error("{0}")]
    Settings(String),
    /// Nothing can wait for a connection.
    #[error("a connection cannot be waited for")]
    Runtime(#[source] Box<SinkError>),
    /// There is no connection, or it broke.
    #[error("there is no connection")]
    Unreachable(#[source] Box<GremlinError>),
    /// Nothing came back in time. What was asked may have been done.
    #[error("no answer within {} ms", .0.as_millis())]
    NoAnswer(Duration),
    /// The client stopped with a panic, which is how it takes some broken connections.
    #[error("the client gave the connection up")]
    Gone,
    /// The server answered with a status of failure.
    #[error("the server answers {code}: {message}")]
    Status {
        /// The status.
        code: i16,
        /// What the server says, at most so many characters of it as a log line bears.
        message: String,
        /// What that means for the request.
        meaning: Meaning,
    },
    /// The server answers, but not to what the store must ask.
    #[error("the server does not evaluate traversals of `g`: {0}")]
    Unfit(#[source] Box<Failure>),
    /// The server evaluates traversals, but stores nothing: not even a vertex that any graph holds.
    #[error("the graph stores nothing: {0}")]
    Unwritable(#[source] Box<Failure>),
    /// The answer is none to the question.
    #[error("the server's answer is not understood: {0}")]
    Answer(String),
    /// The server has done what was asked, and some elements are not there all the same: another writer removed them.
    #[error("{0} elements were removed by another writer meanwhile")]
    Undone(usize),
}

/// What a status of failure means for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Another writer was at the same elements: at once worth another try.
    Conflict,
    /// The server cannot now.
    Busy,
    /// It may not: the user, or the endpoint of a replica.
    Denied,
    /// The request takes too long or too much memory: its halves may not.
    Slow,
    /// The request is too large: its halves may not be.
    Large,
    /// An element of the request can never be stored.
    Refused,
}

/// How many characters of a server's message are kept.
const MESSAGE_CHARACTERS: usize = 500;

impl Failure {
    /// What the server's status means; a server's own message may be of any length.
    pub(super) fn of_status(code: i16, message: &str) -> Self {
        let meaning = meaning(code, message);
        Self::Status { code, message: message.chars().take(MESSAGE_CHARACTERS).collect(), meaning }
    }

    /// Whether the same request may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::NoAnswer(_) | Self::Gone | Self::Unwritable(_) | Self::Undone(_) => true,
            Self::Status { meaning, .. } => matches!(meaning, Meaning::Conflict | Meaning::Busy | Meaning::Slow),
            Self::Runtime(error) => error.is_transient(),
            Self::Settings(_) | Self::Unfit(_) | Self::Answer(_) => false,
        }
    }

    /// Whether the connection is of no use any more.
    pub(super) fn breaks_connection(&self) -> bool {
        !matches!(self, Self::Status { meaning, .. } if *meaning != Meaning::Denied)
    }

    /// Whether the server does not take what was asked, however often.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Status { meaning: Meaning::Refused, .. })
    }

    /// Whether the server does not take the request as it is, however often: what is left of it when it is halved, perhaps.
    pub(super) fn is_rejection(&self) -> bool {
        matches!(self, Self::Status { meaning: Meaning::Refused | Meaning::Large, .. })
    }

    /// Whether halves of the request may fare better than the whole.
    pub(super) fn is_worth_halving(&self) -> bool {
        self.is_rejection() || matches!(self, Self::Status { meaning: Meaning::Slow, .. })
    }

    /// What somebody can do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable(_) | Self::NoAnswer(_) | Self::Gone => Some(
                "check that the server runs and the endpoint can be reached (security group, TLS: wss:// and its authority)",
            ),
            Self::Status { code: 401 | 407, .. } => Some("check user and password_file"),
            Self::Status { meaning: Meaning::Denied, .. } => {
                Some("name the writer's endpoint, and allow the program to write (IAM authentication is not supported)")
            }
            Self::Status { meaning: Meaning::Large, .. } => Some("lower request_elements or request_bytes"),
            Self::Runtime(error) => error.hint(),
            Self::Unwritable(_) => Some("check the graph's storage, and that the program may write to it"),
            Self::Unfit(_) => Some("give the server a traversal source named g, and the script engine gremlin-groovy"),
            _ => None,
        }
    }
}

/// Neptune puts a JSON object with a `code` into the message; others are told by status and the start of their message,
/// of which the rest may be anybody's text.
fn meaning(status: i16, message: &str) -> Meaning {
    let code = serde_json::from_str::<Json>(message).ok().and_then(|json| Some(json.get("code")?.as_str()?.to_owned()));
    if let Some(code) = code {
        return match code.as_str() {
            "ConcurrentModificationException" => Meaning::Conflict,
            "AccessDeniedException" | "ReadOnlyViolationException" => Meaning::Denied,
            "MemoryLimitExceededException" | "TimeLimitExceededException" => Meaning::Slow,
            "QueryTooLargeException" => Meaning::Large,
            "BadRequestException"
            | "ConstraintViolationException"
            | "IllegalArgumentException"
            | "InvalidParameterException"
            | "MalformedQueryException"
            | "UnsupportedOperationException" => Meaning::Refused,
            _ => Meaning::Busy,
        };
    }
    let starts = |heads: &[&str]| heads.iter().any(|head| message.starts_with(head));
    match status {
        401 | 403 | 407 => Meaning::Denied,
        598 => Meaning::Slow,
        // Gremlin Server gives one status to all that goes wrong in a script.
        597 | 500 if starts(&["Conflict:", "Could not commit transaction", "Local lock contention"]) => {
            Meaning::Conflict
        }
        597 if starts(&[
            "Method too large",
            "startup failed:\nGeneral error during class generation: Method too large",
        ]) =>
        {
            Meaning::Large
        }
        597 if starts(&["Java heap space", "GC overhead", "Metaspace", "unable to create native thread"]) => {
            Meaning::Busy
        }
        // JanusGraph's storage, where the message is its own.
        597 if starts(&[
            "Could not execute operation due to backend exception",
            "Could not successfully complete backend operation",
            "Permanent exception while executing backend operation",
        ]) =>
        {
            Meaning::Busy
        }
        // Or a fault of the storage that is not known here: nothing is given up before the graph has stored something else.
        498 | 499 | 597 | 599 => Meaning::Refused,
        _ => Meaning::Busy,
    }
}

impl From<GremlinError> for Failure {
    fn from(error: GremlinError) -> Self {
        match error {
            GremlinError::Request((code, message)) => Self::of_status(code, &message),
            GremlinError::Json(what) | GremlinError::Cast(what) => Self::Answer(what),
            GremlinError::WrongType(value) => Self::Answer(format!("{value:?}").chars().take(100).collect()),
            other => Self::Unreachable(Box::new(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_told_apart() {
        let neptune = |code: &str| format!(r#"{{"detailedMessage":"…","requestId":"1","code":"{code}"}}"#);
        for (status, message, expected) in [
            (500, neptune("ConcurrentModificationException"), Meaning::Conflict),
            (500, neptune("ReadOnlyViolationException"), Meaning::Denied),
            (500, neptune("TimeLimitExceededException"), Meaning::Slow),
            (500, neptune("MalformedQueryException"), Meaning::Refused),
            (429, neptune("TooManyRequestsException"), Meaning::Busy),
            (500, neptune("InternalFailureException"), Meaning::Busy),
            (597, "Conflict: element modified in another transaction".to_owned(), Meaning::Conflict),
            (597, "Label can not be a hidden key: ~x".to_owned(), Meaning::Refused),
            (597, "a text with Conflict: inside".to_owned(), Meaning::Refused),
            (597, "Java heap space".to_owned(), Meaning::Busy),
            (597, "Could not execute operation due to backend exception".to_owned(), Meaning::Busy),
            (598, "A timeout occurred".to_owned(), Meaning::Slow),
            (401, "Username and/or password are incorrect".to_owned(), Meaning::Denied),
            (500, "something else".to_owned(), Meaning::Busy),
            (596, "try again".to_owned(), Meaning::Busy),
        ] {
            assert_eq!(meaning(status, &message), expected, "{status} {message}");
        }
    }

    #[test]
    fn nobody_but_a_person_heals_what_is_denied() {
        let denied = Failure::of_status(401, "wrong");
        assert!(!denied.is_transient() && denied.hint().is_some_and(|hint| hint.contains("password")));
        assert!(Failure::NoAnswer(Duration::from_secs(1)).is_transient());
        let unwritable = Failure::Unwritable(Box::new(Failure::of_status(597, "read-only")));
        assert!(unwritable.is_transient() && !unwritable.is_rejection() && unwritable.hint().is_some());
        let long = Failure::of_status(597, &"x".repeat(10_000)).to_string();
        assert!(long.len() < 600, "{}", long.len());
    }
}
