//! Free ports of the loopback interface.

use std::net::{Ipv4Addr, TcpListener};

use super::error::{Result, ServerError};

/// `N` ports that nobody listens on. They are free now; a server that finds its port taken when it starts is
/// started again on others by its caller.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let taken = |source| ServerError::Program { program: "a listener on 127.0.0.1".to_owned(), source };
    // All are held until the last is found, so that they differ.
    let mut listeners = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(taken)?;
        *port = listener.local_addr().map_err(taken)?.port();
        listeners.push(listener);
    }
    Ok(ports)
}
