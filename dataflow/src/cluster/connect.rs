//! Connecting a process to all others, whichever of them starts first.

use std::{
    io,
    net::{TcpListener, TcpStream, ToSocketAddrs},
    time::{Duration, Instant},
};

use socket2::{SockRef, TcpKeepalive};

use super::{ClusterError, Hello, Membership, Peers, SILENT_AFTER};

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(200);
/// How long one attempt, and the hello after it, may take.
const ATTEMPT: Duration = Duration::from_secs(5);
/// How often it is told who is waited for.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Connects to all other processes. They may start later, in any order, and their names may not be known yet.
///
/// # Errors
/// This process's own address cannot be listened at, or another process does not fit ([`Hello::check`]).
pub fn connect(membership: &Membership, hello: &Hello) -> Result<Peers, ClusterError> {
    let Membership { process, addresses } = membership;
    let own = &addresses[*process];
    let listener = listen(own)?;
    let mut waiting = Waiting::new();
    let mut sockets: Vec<Option<TcpStream>> = addresses.iter().map(|_| None).collect();
    // Those before this one are called, and those after it call.
    for before in 0..*process {
        sockets[before] = Some(call(before, &addresses[before], hello, &mut waiting)?);
    }
    while let Some(missing) = (process + 1..addresses.len()).find(|&after| sockets[after].is_none()) {
        waiting.tell(missing, &addresses[missing]);
        let Some((socket, other)) = answer(&listener, hello).map_err(|source| listening(own, source))? else {
            std::thread::sleep(PAUSE);
            continue;
        };
        let refused = |mismatch| ClusterError::Refused {
            process: other.process,
            address: socket.peer_addr().map_or_else(|_| "?".to_owned(), |address| address.to_string()),
            mismatch,
        };
        hello.check(&other, None).map_err(refused)?;
        match sockets.get_mut(other.process) {
            Some(place) if other.process > *process => *place = Some(socket),
            _ => tracing::warn!(process = other.process, "a process called that does not call this one; left alone"),
        }
    }
    for (other, socket) in sockets.iter().enumerate().filter_map(|(other, socket)| Some((other, socket.as_ref()?))) {
        let failed = |source| ClusterError::Connection { process: other, address: addresses[other].clone(), source };
        prepare(socket).map_err(failed)?;
    }
    tracing::info!(process, processes = addresses.len(), "all processes of the cluster are connected");
    Ok(Peers { process: *process, sockets })
}

fn listening(address: &str, source: io::Error) -> ClusterError {
    ClusterError::Listen { address: address.to_owned(), source }
}

/// Listens at this process's own address. Its name may take a while to be known, as that of a new pod does.
fn listen(address: &str) -> Result<TcpListener, ClusterError> {
    let begin = Instant::now();
    loop {
        let listener = TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        match listener {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse || begin.elapsed() > Duration::from_secs(60) => {
                return Err(listening(address, error));
            }
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

/// Calls a process until it answers.
fn call(process: usize, address: &str, hello: &Hello, waiting: &mut Waiting) -> Result<TcpStream, ClusterError> {
    loop {
        match try_call(address, hello) {
            Ok((socket, other)) => {
                let refused = |mismatch| ClusterError::Refused { process, address: address.to_owned(), mismatch };
                hello.check(&other, Some(process)).map_err(refused)?;
                return Ok(socket);
            }
            Err(error) => {
                tracing::debug!(process, address, %error, "no answer yet");
                waiting.tell(process, address);
                std::thread::sleep(PAUSE);
            }
        }
    }
}

fn try_call(address: &str, hello: &Hello) -> io::Result<(TcpStream, Hello)> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, ATTEMPT) {
            Ok(socket) => return greet(socket, hello),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Answers one call, if there is one. Who speaks otherwise is let go: a probe, a scanner, a process of another time.
fn answer(listener: &TcpListener, hello: &Hello) -> io::Result<Option<(TcpStream, Hello)>> {
    let (socket, address) = match listener.accept() {
        Ok(accepted) => accepted,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        Err(error) => return Err(error),
    };
    socket.set_nonblocking(false)?;
    match greet(socket, hello) {
        Ok(greeted) => Ok(Some(greeted)),
        Err(error) => {
            tracing::warn!(%address, %error, "somebody called who is no process of the cluster; let go");
            Ok(None)
        }
    }
}

fn greet(mut socket: TcpStream, hello: &Hello) -> io::Result<(TcpStream, Hello)> {
    socket.set_read_timeout(Some(ATTEMPT))?;
    socket.set_write_timeout(Some(ATTEMPT))?;
    hello.send(&mut socket)?;
    let other = Hello::receive(&mut socket)?;
    Ok((socket, other))
}

/// Has a connection break when nothing comes back for too long, whether or not there is anything to send.
fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_read_timeout(None)?;
    socket.set_write_timeout(None)?;
    socket.set_nodelay(true)?;
    let second = Duration::from_secs(1);
    let keepalive = TcpKeepalive::new().with_time(second * 2).with_interval(second * 2).with_retries(3);
    let socket = SockRef::from(socket);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(SILENT_AFTER))
}

/// Who is waited for, told now and then.
struct Waiting {
    begin: Instant,
    told: Option<Instant>,
}

impl Waiting {
    fn new() -> Self {
        Self { begin: Instant::now(), told: None }
    }

    fn tell(&mut self, process: usize, address: &str) {
        if self.told.is_none_or(|told| told.elapsed() > TELL_EVERY) {
            self.told = Some(Instant::now());
            let seconds = self.begin.elapsed().as_secs();
            tracing::warn!(process, address, seconds, "waiting for another process of the cluster to start");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn hello(process: usize, processes: usize) -> Hello {
        let (program, configuration, catalog) = ("0".to_owned(), "a".to_owned(), "b".to_owned());
        Hello { process, processes, workers: 1, program, configuration, catalog }
    }

    fn addresses(count: usize) -> Vec<String> {
        let free: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        free.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect()
    }

    #[test]
    fn processes_connect_whoever_starts_first_and_whoever_else_calls() {
        let addresses = addresses(3);
        std::thread::scope(|threads| {
            let start = |process| {
                let membership = Membership { process, addresses: addresses.clone() };
                threads.spawn(move || connect(&membership, &hello(process, 3)).unwrap())
            };
            let first = start(0);
            std::thread::sleep(Duration::from_millis(100));
            // A stranger on the line.
            TcpStream::connect(&addresses[0]).unwrap().write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
            drop(TcpStream::connect(&addresses[0]).unwrap());
            std::thread::sleep(Duration::from_millis(300));
            let (third, second) = (start(2), start(1));
            for (process, thread) in [first, second, third].into_iter().enumerate() {
                let peers = thread.join().unwrap();
                let there: Vec<_> = peers.sockets.iter().map(Option::is_some).collect();
                let expected: Vec<_> = (0..3).map(|other| other != process).collect();
                assert_eq!(there, expected);
            }
        });
    }

    #[test]
    fn a_process_with_another_configuration_is_refused_by_name() {
        let addresses = addresses(2);
        std::thread::scope(|threads| {
            let start = |process, hello: Hello| {
                let membership = Membership { process, addresses: addresses.clone() };
                threads.spawn(move || connect(&membership, &hello).unwrap_err().to_string())
            };
            let ours = start(0, hello(0, 2));
            let theirs = start(1, Hello { configuration: "other".to_owned(), ..hello(1, 2) });
            let error = ours.join().unwrap();
            assert!(error.contains("process 1") && error.contains("configuration is other, ours is a"), "{error}");
            let error = theirs.join().unwrap();
            assert!(error.contains("process 0") && error.contains("configuration is a, ours is other"), "{error}");
        });
    }
}
