//! HTTP to one receiver.

use std::{
    fmt, io,
    path::Path,
    time::{Duration, SystemTime},
};

use reqwest::{
    Certificate, Proxy, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
    redirect::Policy,
};
use tokio::net::TcpStream;

use super::{
    answer::Answer,
    error::WebhookError,
    secret::Secret,
    settings::{Format, PAGERDUTY, SettingsError, WebhookSettings},
    signature::{DELIVERY, SIGNATURE, Signer},
};
use crate::{SinkError, runtime::OwnRuntime};

/// How much of an answer is read.
const ANSWER: usize = 4 << 10;
/// How long a connection may take where nothing is sent.
const REACH_TIMEOUT: Duration = Duration::from_secs(2);

/// Who takes messages: a receiver, or a test in its place.
pub trait Post: Send {
    /// Posts a JSON body under a message id, and waits no longer than `timeout`.
    fn post(&mut self, body: Vec<u8>, delivery: &str, timeout: Duration) -> Answer;

    /// Whether it can be connected to.
    ///
    /// # Errors
    /// It cannot.
    fn reach(&mut self) -> Result<(), WebhookError>;
}

/// A client of one receiver. It waits in a runtime of its own, so that whoever uses it needs none.
pub struct Client {
    runtime: OwnRuntime,
    http: reqwest::Client,
    url: Url,
    /// Where connections go: the proxy where there is one.
    peer: (String, u16),
    headers: HeaderMap,
    signer: Option<Signer>,
}

impl Client {
    /// A client with these settings, whose secrets are read now.
    ///
    /// # Errors
    /// [`SinkError::Webhook`] where a secret cannot be read, or an address, header, proxy or certificate cannot be used.
    pub fn new(settings: &WebhookSettings) -> Result<Self, SinkError> {
        let runtime = OwnRuntime::new("a webhook")?;
        Self::with(settings, runtime)
            .map_err(|source| SinkError::Webhook { webhook: settings.name.clone(), source: source.into() })
    }

    fn with(settings: &WebhookSettings, runtime: OwnRuntime) -> Result<Self, WebhookError> {
        let wrong = |setting, message: &str| SettingsError {
            webhook: settings.name.clone(),
            setting,
            message: message.to_owned(),
        };
        let address = match (&settings.url, settings.format) {
            (Some(url), _) => read("url", url)?,
            (None, Format::Pagerduty) => PAGERDUTY.to_owned(),
            (None, _) => return Err(wrong("url", "is required").into()),
        };
        let url = http_url(&address).ok_or_else(|| wrong("url", "is not an http or https address"))?;

        let mut headers = HeaderMap::new();
        for (name, value) in &settings.headers {
            let refused = || wrong("headers", "holds a name or value that no HTTP header may have");
            let text = read(&format!("headers.{name}"), value)?;
            let mut value = HeaderValue::from_str(&text).map_err(|_| refused())?;
            value.set_sensitive(true);
            headers.insert(HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused())?, value);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));

        let signer = match &settings.signing_secret {
            Some(secret) => {
                let secret = read("signing_secret", secret)?;
                Some(Signer::new(&secret).ok_or_else(|| wrong("signing_secret", "cannot be used as a key"))?)
            }
            None => None,
        };

        let mut http = reqwest::Client::builder()
            .user_agent(concat!("faultline/", env!("CARGO_PKG_VERSION")))
            // A message for one host is not for another.
            .redirect(Policy::none())
            .no_proxy()
            // News are rare: by the next the receiver has closed the connection, which would look like an outage.
            .pool_max_idle_per_host(0);
        let mut peer = peer(&url);
        if let Some(proxy) = &settings.proxy {
            let address = read("proxy", proxy)?;
            let proxy = http_url(&address).ok_or_else(|| wrong("proxy", "is not an http or https address"))?;
            peer = self::peer(&proxy);
            http = http.proxy(Proxy::all(proxy).map_err(failed)?);
        }
        if let Some(file) = &settings.ca_file {
            http = http.tls_certs_merge(authorities(file)?);
        }
        let peer = peer.ok_or_else(|| wrong("url", "names no host"))?;
        Ok(Self { runtime, http: http.build().map_err(failed)?, url, peer, headers, signer })
    }
}

/// Without anything that it is made of: addresses, also that of a proxy, and headers are secrets.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Post for Client {
    fn post(&mut self, body: Vec<u8>, delivery: &str, timeout: Duration) -> Answer {
        let mut headers = self.headers.clone();
        let signature = self.signer.as_ref().map(|signer| signer.sign(&body));
        for (name, value) in [(DELIVERY, Some(delivery)), (SIGNATURE, signature.as_deref())] {
            // Both are of hexadecimal digits.
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
                headers.insert(name, value);
            }
        }
        let request = self.http.post(self.url.clone()).headers(headers).timeout(timeout).body(body);
        let answer = self.runtime.wait(async {
            let mut response = request.send().await?;
            let status = response.status().as_u16();
            let retry_after =
                response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
            let mut said = Vec::new();
            // The status is the answer; that its text breaks off changes nothing.
            while let Ok(Some(chunk)) = response.chunk().await {
                said.extend_from_slice(&chunk[..chunk.len().min(ANSWER - said.len())]);
                if said.len() == ANSWER {
                    break;
                }
            }
            Ok((status, retry_after, said))
        });
        match answer {
            Ok((status, retry_after, said)) => Answer::of(status, retry_after.as_deref(), &said, unix_seconds()),
            Err(error) => Answer::NotNow { error: failed(error), wait: Duration::ZERO },
        }
    }

    fn reach(&mut self) -> Result<(), WebhookError> {
        let (host, port) = &self.peer;
        let connected = self
            .runtime
            .wait(async { tokio::time::timeout(REACH_TIMEOUT, TcpStream::connect((host.as_str(), *port))).await });
        match connected {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(WebhookError::Connect(error)),
            Err(_) => Err(WebhookError::Connect(io::ErrorKind::TimedOut.into())),
        }
    }
}

fn read(setting: &str, secret: &Secret) -> Result<String, WebhookError> {
    secret.read().map_err(|source| WebhookError::Secret { setting: setting.to_owned(), source })
}

fn http_url(address: &str) -> Option<Url> {
    Url::parse(address).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// Host and port of an address; brackets are no part of an IPv6 address.
fn peer(url: &Url) -> Option<(String, u16)> {
    let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']');
    Some((host.to_owned(), url.port_or_known_default()?))
}

fn authorities(file: &Path) -> Result<Vec<Certificate>, WebhookError> {
    let unreadable = |source| WebhookError::Authorities { path: file.to_owned(), source };
    let pem = std::fs::read(file).map_err(unreadable)?;
    let authorities = Certificate::from_pem_bundle(&pem).map_err(|error| unreadable(io::Error::other(error)))?;
    if authorities.is_empty() {
        return Err(unreadable(io::Error::other("there is no PEM certificate in it")));
    }
    Ok(authorities)
}

/// The client's error, without the address, which may be a secret.
fn failed(error: reqwest::Error) -> WebhookError {
    WebhookError::Http(error.without_url())
}

fn unix_seconds() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
        thread::{self, JoinHandle},
    };

    use super::*;

    /// A receiver that gives one answer, and the request that it got.
    fn receiver(answer: &'static str) -> (String, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let thread = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut request, mut buffer) = (Vec::new(), [0; 4_096]);
            while !String::from_utf8_lossy(&request).contains("\r\n\r\n{\"a\":1}") {
                let read = stream.read(&mut buffer).unwrap();
                assert!(read > 0, "{}", String::from_utf8_lossy(&request));
                request.extend_from_slice(&buffer[..read]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(request).unwrap()
        });
        (url, thread)
    }

    fn settings(url: &str) -> WebhookSettings {
        WebhookSettings { name: "ops".into(), url: Some(url.into()), ..WebhookSettings::default() }
    }

    fn post(settings: &WebhookSettings) -> Answer {
        Client::new(settings).unwrap().post(br#"{"a":1}"#.to_vec(), "d1", Duration::from_secs(30))
    }

    #[test]
    fn a_request_carries_its_id_its_signature_and_the_headers_of_the_settings() {
        let (url, thread) = receiver("HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\nok");
        let mut settings = settings(&url);
        settings.headers.insert("Authorization".into(), "Bearer t".into());
        settings.signing_secret = Some("Jefe".into());
        assert!(matches!(post(&settings), Answer::Taken));
        let request = thread.join().unwrap();
        assert!(request.starts_with("POST /hook HTTP/1.1\r\n"), "{request}");
        let signature = Signer::new("Jefe").unwrap().sign(br#"{"a":1}"#);
        for header in [
            "content-type: application/json",
            "authorization: Bearer t",
            "x-faultline-delivery: d1",
            &format!("x-faultline-signature: {signature}"),
        ] {
            assert!(request.contains(&format!("\r\n{header}\r\n")), "{header}\n{request}");
        }
    }

    #[test]
    fn a_redirection_is_not_followed() {
        let (url, thread) = receiver("HTTP/1.1 307 T\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n");
        let Answer::NotNow { error, .. } = post(&settings(&url)) else { panic!("followed") };
        assert!(error.hint().unwrap().contains("redirects"), "{error}");
        thread.join().unwrap();
    }

    #[test]
    fn a_busy_receiver_says_when_and_a_long_answer_is_cut() {
        let (url, thread) = receiver("HTTP/1.1 429 Slow\r\nretry-after: 7\r\ncontent-length: 999999\r\n\r\nlater");
        let Answer::NotNow { error, wait } = post(&settings(&url)) else { panic!("taken") };
        assert_eq!((wait, error.to_string()), (Duration::from_secs(7), "not taken, with HTTP 429: \"later\"".into()));
        thread.join().unwrap();
    }

    #[test]
    fn nobody_and_silence_are_outages_and_no_error_shows_the_address() {
        let closed = {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            format!("http://{}/hunter2", listener.local_addr().unwrap())
        };
        let mut client = Client::new(&settings(&closed)).unwrap();
        assert!(client.reach().unwrap_err().is_transient());
        let Answer::NotNow { error, .. } = client.post(Vec::new(), "d", Duration::from_secs(30)) else {
            panic!("taken")
        };
        assert!(error.is_transient() && !format!("{error:?} {error}").contains("hunter2"), "{error:?}");

        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = Client::new(&settings(&format!("http://{}", silent.local_addr().unwrap()))).unwrap();
        client.reach().unwrap();
        let Answer::NotNow { error, .. } = client.post(Vec::new(), "d", Duration::from_millis(50)) else {
            panic!("taken")
        };
        assert!(matches!(&error, WebhookError::Http(error) if error.is_timeout()), "{error:?}");
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let error = |change: fn(&mut WebhookSettings)| {
            let mut settings = settings("https://example.org/hunter2");
            change(&mut settings);
            let error = Client::with(&settings, OwnRuntime::new("tests").unwrap()).unwrap_err();
            assert!(!format!("{error:?} {error}").contains("hunter2"), "{error:?}");
            error.to_string()
        };
        assert!(error(|settings| settings.url = Some("ftp://hunter2".into())).contains("`url`"));
        assert!(error(|settings| settings.url = Some("not hunter2".into())).contains("`url`"));
        assert!(
            error(|settings| settings.url = Some(Secret::Env { env: "NO_SUCH_VARIABLE".into() })).contains("`url`")
        );
        assert!(error(|settings| drop(settings.headers.insert("a b".into(), "v".into()))).contains("`headers`"));
        assert!(error(|settings| settings.proxy = Some("hunter2".into())).contains("`proxy`"));
        assert!(error(|settings| settings.ca_file = Some("/no/such/file".into())).contains("/no/such/file"));
    }
}
