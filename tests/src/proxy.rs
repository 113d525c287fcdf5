//! A way to a server that can be made slow: what goes through it arrives later, in both directions.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// A listener on the loopback interface that passes connections on to a server. Dropping it ends them.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    /// Ends the tasks when it goes.
    _runtime: Runtime,
}

#[derive(Debug, Default)]
struct Shared {
    /// Where the server listens.
    target: AtomicU16,
    /// How long each piece is held back, in milliseconds.
    delay: AtomicU64,
}

impl Proxy {
    /// A proxy on a free port, to a server that is told later: the server may have to be told of the proxy first.
    ///
    /// # Errors
    /// No port, or no thread, is to be had.
    pub fn start() -> io::Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("proxy").enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let (port, shared) = (listener.local_addr()?.port(), Arc::<Shared>::default());
        let accepting = Arc::clone(&shared);
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass_on(client, Arc::clone(&accepting)));
            }
        });
        Ok(Self { port, shared, _runtime: runtime })
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on connections go to the server at this port.
    pub fn forward_to(&self, port: u16) {
        self.shared.target.store(port, Ordering::Relaxed);
    }

    /// From now on each piece of a connection is held back for so long.
    pub fn delay(&self, delay: Duration) {
        self.shared.delay.store(delay.as_millis() as u64, Ordering::Relaxed);
    }
}

/// Joins a client and the server until either ends. A server that does not listen ends the client's connection.
async fn pass_on(client: TcpStream, shared: Arc<Shared>) {
    let target = SocketAddr::from((Ipv4Addr::LOCALHOST, shared.target.load(Ordering::Relaxed)));
    let Ok(server) = TcpStream::connect(target).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        () = carry(from_client, to_server, &shared) => {}
        () = carry(from_server, to_client, &shared) => {}
    }
}

async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, shared: &Shared) {
    let mut piece = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        let delay = shared.delay.load(Ordering::Relaxed);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}
