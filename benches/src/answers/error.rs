//! What ends a measurement of answers: nothing is reported of one that went wrong.

use std::net::SocketAddr;

use faultline_tests::servers::ServerError;

use crate::wire::WireError;

/// Result of a measurement.
pub type Result<T, E = AnswersError> = std::result::Result<T, E>;

/// Why a measurement ended.
#[derive(Debug, thiserror::Error)]
pub enum AnswersError {
    /// The broker or the service could not be run.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The service or a Kafka client failed.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The service takes no connection.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// Where it listens.
        address: SocketAddr,
        /// Why not.
        source: tonic::transport::Error,
    },
    /// A call failed.
    #[error("{call}: {source}")]
    Call {
        /// Which.
        call: &'static str,
        /// Why.
        source: Box<tonic::Status>,
    },
    /// An answer is wrong, so that its time means nothing.
    #[error("wrong answer: {0}")]
    Wrong(String),
    /// An answer did not come.
    #[error("no answer: {0}")]
    Silence(String),
    /// Sizes with which there is nothing to measure.
    #[error("{0}")]
    Sizes(String),
}

/// Adds to a status which call it is of.
pub(super) fn call(call: &'static str) -> impl FnOnce(tonic::Status) -> AnswersError {
    move |source| AnswersError::Call { call, source: Box::new(source) }
}
