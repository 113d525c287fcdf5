//! Connections to the service: one HTTP/2 channel each.

use std::net::SocketAddr;

use faultline_proto::v1::faultline_client::FaultlineClient;
use tonic::transport::{Channel, Endpoint};

use super::error::{AnswersError, Result};

/// A client of the service.
pub type Client = FaultlineClient<Channel>;

/// The largest answer that is taken, in bytes.
const LARGEST: usize = 64 << 20;

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
