//! Gremlin Server's HTTP: one traversal, one request. It shares nothing with the client that the sink uses.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Map, Value, json};

const TIMEOUT: Duration = Duration::from_secs(30);

/// What a traversal results in. The server answers with its `Content-Length` and leaves the connection open.
pub(super) fn evaluate(port: u16, language: &str, traversal: &str) -> Result<Vec<Value>, String> {
    let (status, body) = post(port, &json!({"gremlin": traversal, "language": language}).to_string())
        .map_err(|error| error.to_string())?;
    let answer: Value = serde_json::from_slice(&body).map_err(|error| format!("{error} in the answer {status}"))?;
    if status != 200 {
        return Err(answer["message"].as_str().unwrap_or("no message").to_owned());
    }
    match plain(&answer["result"]["data"]) {
        Value::Array(results) => Ok(results),
        other => Err(format!("not a list of results: {other}")),
    }
}

fn post(port: u16, body: &str) -> std::io::Result<(u16, Vec<u8>)> {
    let mut socket = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), TIMEOUT)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    write!(
        socket,
        "POST /gremlin HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n\
         Accept: application/vnd.gremlin-v3.0+json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    let unlike_http = || std::io::Error::other("the answer is not HTTP with a length");
    loop {
        if let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
            let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(unlike_http)?;
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            let whole: usize = end + 4 + length.unwrap_or(0_usize);
            if length.is_none() {
                return Err(unlike_http());
            }
            while answer.len() < whole {
                take(&mut socket, &mut buffer, &mut answer)?;
            }
            return Ok((status, answer.split_off(end + 4)));
        }
        take(&mut socket, &mut buffer, &mut answer)?;
    }
}

fn take(socket: &mut TcpStream, buffer: &mut [u8], answer: &mut Vec<u8>) -> std::io::Result<()> {
    match socket.read(buffer)? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        length => {
            answer.extend_from_slice(&buffer[..length]);
            Ok(())
        }
    }
}

/// GraphSON 3 without its types; keys of maps as texts.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(typed) => match (typed.get("@type").and_then(Value::as_str), typed.get("@value")) {
            (Some("g:Map"), Some(Value::Array(pairs))) => {
                let text = |key: &Value| plain(key).as_str().map_or_else(|| key.to_string(), str::to_owned);
                Value::Object(pairs.chunks_exact(2).map(|pair| (text(&pair[0]), plain(&pair[1]))).collect())
            }
            (Some(_), Some(value)) => plain(value),
            _ => Value::Object(typed.iter().map(|(key, value)| (key.clone(), plain(value))).collect::<Map<_, _>>()),
        },
        Value::Array(values) => values.iter().map(plain).collect(),
        scalar => scalar.clone(),
    }
}
