//! Connections to the service: one HTTP/2 channel each.

use std::net::SocketAddr;

use faultline_proto::v1::faultline_client::FaultlineClient;
use tokio::runtime::Runtime;
use tonic::transport::{Channel, Endpoint};

use super::error::{AnswersError, Result};
use crate::wire::error::io;

/// A client of the service.
pub type Client = FaultlineClient<Channel>;

/// The largest answer that is taken, in bytes.
const LARGEST: usize = 64 << 20;

/// A runtime on the thread that asks: between a call and its answer no other thread of this process has a part.
///
/// # Errors
/// The system refuses it.
pub fn runtime() -> Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.map_err(io("make a runtime"))?)
}

/// A channel.
///
/// # Errors
/// Nobody listens.
pub async fn channel(address: SocketAddr) -> Result<Channel> {
    let failed = |source| AnswersError::Connect { address, source };
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(failed)?;
    endpoint.connect().await.map_err(failed)
}

/// A client on a channel.
#[must_use]
pub fn client(channel: Channel) -> Client {
    FaultlineClient::new(channel).max_decoding_message_size(LARGEST)
}
