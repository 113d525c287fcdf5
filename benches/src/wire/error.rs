//! What ends a measurement: nothing is reported of a run that went wrong.

use std::path::PathBuf;

use faultline_tests::servers::ServerError;
use rdkafka::error::KafkaError;

/// Result of a measurement.
pub type Result<T, E = WireError> = std::result::Result<T, E>;

/// Why a measurement ended.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The broker or the service could not be run.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// A Kafka request failed.
    #[error("cannot {action}: {source}")]
    Kafka {
        /// What was tried.
        action: String,
        /// Why not.
        source: KafkaError,
    },
    /// A file, process or socket failed.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A contestant's report, or a schema, is not of its form.
    #[error("{what}: {message}")]
    Form {
        /// What was read.
        what: String,
        /// What is wrong with it.
        message: String,
    },
    /// The service does not answer over gRPC.
    #[error("gRPC: {0}")]
    Grpc(String),
    /// A contestant's process failed.
    #[error("{contestant} ended with {status}:\n{output}")]
    Contestant {
        /// Which.
        contestant: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it printed as errors.
        output: String,
    },
    /// A contestant took too long, or nothing came any more.
    #[error("{contestant}: {what}")]
    Stuck {
        /// Which.
        contestant: String,
        /// How far it came.
        what: String,
    },
    /// A contestant's results are wrong, so that its time means nothing.
    #[error("{contestant} got it wrong: {what}")]
    Wrong {
        /// Which.
        contestant: String,
        /// What was expected, and what came.
        what: String,
    },
    /// A program is not there.
    #[error(
        "{path} is not there: build it with `cargo build --release --bin faultline`, or name another by --faultline"
    )]
    NoProgram {
        /// Where it was looked for.
        path: PathBuf,
    },
}

/// Adds to a Kafka error what was tried.
pub(crate) fn kafka(action: impl Into<String>) -> impl FnOnce(KafkaError) -> WireError {
    let action = action.into();
    move |source| WireError::Kafka { action, source }
}

/// Adds to an I/O error what was tried.
pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(std::io::Error) -> WireError {
    let action = action.into();
    move |source| WireError::Io { action, source }
}
