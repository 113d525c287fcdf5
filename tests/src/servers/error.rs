//! What goes wrong while a server is installed, started or spoken to. Tests `unwrap` these, so each says what to do.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use rdkafka::error::KafkaError;

/// Result of the harness.
pub type Result<T, E = ServerError> = std::result::Result<T, E>;

/// Why a real server could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A file could not be read, written or locked.
    #[error("cannot {action} {}: {source}", .path.display())]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A program that the harness needs is not on the machine.
    #[error("cannot run {program}: {source} (`make test` installs what is missing)")]
    Program {
        /// Its name.
        program: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A command ended with failure.
    #[error("{command} ended with {status}:\n{output}")]
    Command {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it printed.
        output: String,
    },
    /// A server ended by itself.
    #[error("{server} ended with {status} while starting; end of {}:\n{tail}", .log.display())]
    Exited {
        /// Its name.
        server: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// Its log.
        log: PathBuf,
        /// The end of its log.
        tail: String,
    },
    /// A server runs but does not answer.
    #[error("{server} does not answer after {waited:?}: {last}; end of {}:\n{tail}", .log.display())]
    NotReady {
        /// Its name.
        server: &'static str,
        /// How long the harness waited.
        waited: Duration,
        /// What the last request said.
        last: String,
        /// Its log.
        log: PathBuf,
        /// The end of its log.
        tail: String,
    },
    /// A server answered a request with an error, or not at all.
    #[error("{server} does not do '{request}': {why}")]
    Request {
        /// Its name.
        server: &'static str,
        /// What was asked.
        request: String,
        /// What came back.
        why: String,
    },
    /// A Kafka request failed.
    #[error("cannot {action}: {source}")]
    Kafka {
        /// What was tried.
        action: String,
        /// Why not.
        source: KafkaError,
    },
    /// A topic is not as a test needs it, or records did not all arrive.
    #[error("{0}")]
    Topic(String),
    /// A captured file does not hold envelopes.
    #[error(transparent)]
    Envelope(#[from] crate::envelope::EnvelopeError),
    /// What the tests of this process share failed to start earlier.
    #[error("what tests share could not be started: {0}")]
    Shared(String),
}

/// Adds to an I/O error what was tried on which path.
pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> ServerError {
    let path = path.into();
    move |source| ServerError::File { action, path, source }
}

/// Adds to a Kafka error what was tried.
pub(super) fn kafka(action: impl Into<String>) -> impl FnOnce(KafkaError) -> ServerError {
    let action = action.into();
    move |source| ServerError::Kafka { action, source }
}
