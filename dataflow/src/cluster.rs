//! Several processes as one: how they find each other, agree, and notice that one is gone.
//!
//! ```text
//! process 0 ◄──── process 1 ◄──── process 2        each connects to those before it, and is connected to by those after
//!     ▲                               │
//!     └───────────────────────────────┘            hello both ways: who, how many, which configuration and catalog
//! ```
//! A cluster lives and dies together: a timely dataflow cannot go on without one of its workers. So a process that loses
//! another says so and exits at once with a code of its own, and whoever supervises them starts all again; they go on from
//! the newest snapshot.
//!
//! A peer whose host or network is gone is noticed by TCP itself, within [`SILENT_AFTER`]; one that is there and does
//! nothing, by the frontier that stands still.

mod bulletin;
mod connect;
mod hello;
mod lost;

use std::{
    net::TcpStream,
    path::{Path, PathBuf},
    time::Duration,
};

pub use self::{
    bulletin::{Bulletin, Notice},
    connect::connect,
    hello::{Hello, Mismatch},
    lost::exit_when_a_peer_is_lost,
};

/// How long a peer may be silent before it counts as lost.
pub const SILENT_AFTER: Duration = Duration::from_secs(8);

/// Which process of how many this is, and where all of them are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// This one, from 0.
    pub process: usize,
    /// `host:port` of each process, in order.
    pub addresses: Vec<String>,
}

/// This process's connections to all others.
#[derive(Debug)]
pub struct Peers {
    /// Which process of how many this is.
    pub process: usize,
    /// A connection to each process, in order; none to this one.
    pub sockets: Vec<Option<TcpStream>>,
}

/// A cluster that does not come together.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The file of hosts cannot be read.
    #[error("cannot read the hosts {path}: {source}")]
    Hosts {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file of hosts, or the numbers, do not make a cluster.
    #[error("{0}")]
    Membership(String),
    /// This process cannot listen for others.
    #[error("cannot listen at {address}, this process's line of the hosts: {source}")]
    Listen {
        /// Where.
        address: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A connection cannot be used.
    #[error("the connection to process {process} at {address}: {source}")]
    Connection {
        /// To which process.
        process: usize,
        /// Where it is.
        address: String,
        /// Why not.
        source: std::io::Error,
    },
    /// Another process is not of this cluster.
    #[error("process {process} at {address} is not of this cluster: {mismatch}")]
    Refused {
        /// Which.
        process: usize,
        /// Where it is.
        address: String,
        /// What differs.
        mismatch: Mismatch,
    },
}

impl Membership {
    /// Process `process` of `processes`, which are where the first lines of a file say: `host:port` each; empty lines and
    /// what follows `#` are left out.
    ///
    /// # Errors
    /// The file cannot be read or has too few lines, or there is no such process.
    pub fn read(processes: usize, process: usize, hosts: &Path) -> Result<Self, ClusterError> {
        let text =
            std::fs::read_to_string(hosts).map_err(|source| ClusterError::Hosts { path: hosts.to_owned(), source })?;
        Self::parse(processes, process, &text)
            .map_err(|message| ClusterError::Membership(format!("{}: {message}", hosts.display())))
    }

    fn parse(processes: usize, process: usize, text: &str) -> Result<Self, String> {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        let addresses: Vec<String> = lines.filter(|line| !line.is_empty()).take(processes).map(str::to_owned).collect();
        if process >= processes {
            return Err(format!("there is no process {process} of {processes}: the first is 0"));
        }
        if addresses.len() < processes {
            return Err(format!("{} lines of host:port for {processes} processes", addresses.len()));
        }
        let port = |address: &str| address.rsplit_once(':')?.1.parse::<u16>().ok().filter(|port| *port > 0);
        if let Some(wrong) = addresses.iter().find(|address| port(address).is_none()) {
            return Err(format!("'{wrong}' is not host:port"));
        }
        Ok(Self { process, addresses })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_lines_of_the_hosts_are_the_processes() {
        let text = "# ours\na:1 # first\n\n  b.example.com:2\n[::1]:3\n";
        let membership = Membership::parse(2, 1, text).unwrap();
        assert_eq!(membership, Membership { process: 1, addresses: vec!["a:1".into(), "b.example.com:2".into()] });
        for (processes, process, text, problem) in [
            (4, 0, text, "3 lines of host:port for 4 processes"),
            (2, 2, text, "there is no process 2 of 2"),
            (1, 0, "a", "'a' is not host:port"),
            (1, 0, "a:0", "'a:0' is not host:port"),
            (1, 0, "a:70000", "'a:70000' is not host:port"),
        ] {
            let error = Membership::parse(processes, process, text).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
    }
}
