//! A receiver of webhooks: HTTP on the loopback interface that takes note of what it gets, and answers as it is told to.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

/// The longest body that it reads.
const BODY: u64 = 4 << 20;

/// A request that it got.
#[derive(Debug, Clone)]
pub struct Request {
    /// `/hook`
    pub path: String,
    /// Names in lower case, in their order.
    pub headers: Vec<(String, String)>,
    /// The body, which is JSON.
    pub body: Value,
    /// Whether it was answered with 2xx.
    pub taken: bool,
}

impl Request {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// With this status, and `Retry-After` where there is one.
    Status(u16, Option<u32>),
    /// Not at all: the connection stays open, and nothing comes.
    Silence,
}

#[derive(Debug)]
struct State {
    behaviour: Behaviour,
    requests: Vec<Request>,
    /// Connections that are not answered.
    silent: Vec<TcpStream>,
    stopped: bool,
}

/// The receiver. Dropping it refuses connections from then on.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<(Mutex<State>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    /// A receiver at this address that answers 202; port 0 is any free one.
    ///
    /// # Errors
    /// The address is taken.
    pub fn start(address: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let state =
            State { behaviour: Behaviour::Status(202, None), requests: Vec::new(), silent: Vec::new(), stopped: false };
        let shared = Arc::new((Mutex::new(state), Condvar::new()));
        let serving = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("receiver".to_owned()).spawn(move || {
            for stream in listener.incoming() {
                if lock(&serving.0).stopped {
                    return;
                }
                let Ok(stream) = stream else { continue };
                // A probe connects and says nothing; a request that breaks off is none.
                let _ = serve(stream, &serving);
            }
        })?;
        Ok(Self { address, shared, thread: Some(thread) })
    }

    /// `http://127.0.0.1:<port>`
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Has it answer like this from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        let mut state = lock(&self.shared.0);
        state.behaviour = behaviour;
        state.silent.clear();
    }

    /// What it got at a path so far.
    #[must_use]
    pub fn requests(&self, path: &str) -> Vec<Request> {
        lock(&self.shared.0).requests.iter().filter(|request| request.path == path).cloned().collect()
    }

    /// Waits until what it got at a path is as wanted, and returns it; what there is after `limit` otherwise.
    ///
    /// # Errors
    /// What it got instead.
    pub fn wait(
        &self,
        path: &str,
        limit: Duration,
        wanted: impl Fn(&[Request]) -> bool,
    ) -> Result<Vec<Request>, Vec<Request>> {
        let end = Instant::now() + limit;
        loop {
            let requests = self.requests(path);
            if wanted(&requests) {
                return Ok(requests);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(requests);
            }
            let state = lock(&self.shared.0);
            drop(self.shared.1.wait_timeout(state, left.min(Duration::from_millis(100))));
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        lock(&self.shared.0).stopped = true;
        // Wakes it from waiting for a connection.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads one request of a connection, takes note of it and answers.
fn serve(mut stream: TcpStream, shared: &(Mutex<State>, Condvar)) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(());
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mut headers, mut length) = (Vec::new(), 0);
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        let (name, value) = (name.to_ascii_lowercase(), value.trim().to_owned());
        if name == "content-length" {
            length = value.parse().unwrap_or(0);
        }
        headers.push((name, value));
    }
    let mut body = Vec::new();
    reader.take(length.min(BODY)).read_to_end(&mut body)?;
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);

    let mut state = lock(&shared.0);
    let behaviour = state.behaviour;
    let taken = matches!(behaviour, Behaviour::Status(200..=299, _));
    state.requests.push(Request { path, headers, body, taken });
    shared.1.notify_all();
    match behaviour {
        Behaviour::Silence => {
            state.silent.push(stream);
            Ok(())
        }
        Behaviour::Status(status, retry_after) => {
            let retry_after = retry_after.map_or_else(String::new, |seconds| format!("retry-after: {seconds}\r\n"));
            write!(stream, "HTTP/1.1 {status} -\r\n{retry_after}content-length: 0\r\nconnection: close\r\n\r\n")
        }
    }
}
