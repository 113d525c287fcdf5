//! Requests to registries: bounded answers, and what a failed one amounts to.

use std::{path::Path, time::Duration};

use super::error::RegistryError;

/// An answer, whatever its status.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// How long a connection may take to come up: less than a look-up, so that there is time for another address.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_000);

/// A client that trusts the certificates in `ca_file` besides the system's.
///
/// # Errors
/// The file cannot be read, or holds no certificates; or there is no way to speak TLS here.
pub(super) fn client(ca_file: Option<&Path>) -> Result<reqwest::Client, String> {
    let mut client = reqwest::Client::builder()
        .user_agent(concat!("faultline/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        // A registry that sends its clients elsewhere would be sent their secrets there.
        .redirect(reqwest::redirect::Policy::none());
    if let Some(file) = ca_file {
        let pem = std::fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        let found = reqwest::Certificate::from_pem_bundle(&pem)
            .map_err(|error| format!("{} holds no PEM certificates: {error}", file.display()))?;
        if found.is_empty() {
            return Err(format!("{} holds no PEM certificates", file.display()));
        }
        client = client.tls_certs_merge(found);
    }
    client.build().map_err(|error| format!("cannot make an HTTP client: {}", reason(&error)))
}

/// Makes a request about `what` and reads at most `max_bytes` of its answer.
///
/// # Errors
/// Nothing answers, or with more than that.
pub(super) async fn send(
    request: reqwest::RequestBuilder,
    address: &str,
    what: &str,
    max_bytes: usize,
) -> Result<Answer, RegistryError> {
    let unreachable =
        |error: reqwest::Error| RegistryError::Unreachable { address: address.to_owned(), reason: reason(&error) };
    let mut response = request.send().await.map_err(unreachable)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > max_bytes {
            let message = format!("{address} answers with more than {max_bytes} bytes (registry.max_schema_bytes)");
            return Err(RegistryError::Unusable { reference: what.to_owned(), format: None, message });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status: response.status().as_u16(), body })
}

/// What lies at the bottom of a failed request, without its address, which the caller knows.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "time-out".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// Whether a status may be another one in a moment.
pub(super) fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        assert!(client(Some(&file)).unwrap_err().contains("cannot read"));
        std::fs::write(&file, "no certificate").unwrap();
        assert!(client(Some(&file)).unwrap_err().contains("ca.pem holds no PEM certificates"));
        client(None).unwrap();
    }

    #[tokio::test]
    async fn nobody_there_is_unreachable_with_the_reason() {
        // A port that was free a moment ago.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("http://127.0.0.1:{port}/");
        let error = send(client(None).unwrap().get(&url), &url, "it", 10).await.unwrap_err().to_string();
        assert!(error.contains(&url) && error.to_lowercase().contains("refused"), "{error}");
    }
}
