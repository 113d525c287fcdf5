//! A relay before the server that keeps what the client sends, and that can cut all connections.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

#[derive(Default)]
struct Seen {
    sockets: Vec<TcpStream>,
    /// What each connection's client has sent.
    sent: Vec<Vec<u8>>,
}

pub struct Tap {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

impl Tap {
    pub fn before(port: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
                let number = {
                    let mut seen = shared.lock().unwrap();
                    seen.sockets.extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
                    seen.sent.push(Vec::new());
                    seen.sent.len() - 1
                };
                let (back, there) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || relay(server, back, |_| {}));
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    relay(client, there, |bytes| shared.lock().unwrap().sent[number].extend_from_slice(bytes));
                });
            }
        });
        Ok(Self { address, seen })
    }

    pub fn endpoint(&self) -> String {
        format!("ws://{}/gremlin", self.address)
    }

    pub fn connections(&self) -> usize {
        self.seen.lock().unwrap().sent.len()
    }

    /// Ends all connections, as a server does with idle ones.
    pub fn cut(&self) {
        for socket in self.seen.lock().unwrap().sockets.drain(..) {
            // The other side may have ended it.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// The scripts of all requests, in their order, but those that only see whether the server answers.
    pub fn scripts(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.sent
            .iter()
            .flat_map(|bytes| messages(bytes))
            .map(|message| script(&message))
            .filter(|s| s != "g.inject(0)")
            .collect()
    }
}

fn relay(mut from: TcpStream, mut to: TcpStream, mut keep: impl FnMut(&[u8])) {
    let mut buffer = [0; 1 << 14];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        keep(&buffer[..length]);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// The binary messages that a WebSocket client sent after its handshake.
fn messages(bytes: &[u8]) -> Vec<Vec<u8>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Vec::new() };
    let (mut rest, mut messages) = (&bytes[end + 4..], Vec::new());
    while let [first, second, after @ ..] = rest {
        let (length, after) = match second & 0x7f {
            126 => (usize::from(u16::from_be_bytes(after[..2].try_into().unwrap())), &after[2..]),
            127 => (u64::from_be_bytes(after[..8].try_into().unwrap()) as usize, &after[8..]),
            short => (usize::from(short), after),
        };
        let (mask, after) = after.split_at(4);
        let (masked, after) = after.split_at(length);
        if first & 0x0f == 2 {
            messages.push(masked.iter().enumerate().map(|(n, byte)| byte ^ mask[n % 4]).collect());
        }
        rest = after;
    }
    messages
}

/// Of a request: the length of its content type, that, and JSON.
fn script(message: &[u8]) -> String {
    let request: Value = serde_json::from_slice(&message[1 + usize::from(message[0])..]).unwrap();
    let arguments = request["args"]["@value"].as_array().unwrap();
    let place = arguments.iter().position(|argument| argument == "gremlin").unwrap();
    arguments[place + 1].as_str().unwrap().to_owned()
}
