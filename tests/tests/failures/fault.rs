//! What can happen to a server.

use std::fmt;

/// A server that the service depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Kafka,
    DynamoDb,
    Gremlin,
}

impl Target {
    /// The dependencies, as health names them, that suffer with it.
    pub fn dependencies(self) -> &'static [&'static str] {
        match self {
            Self::Kafka => &["kafka_source", "kafka_sink"],
            Self::DynamoDb => &["dynamodb"],
            Self::Gremlin => &["graph"],
        }
    }
}

/// What is done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It ends, and is started again after a while.
    Stopped,
    /// Its process is stopped (SIGSTOP) and goes on after a while; connections stay open.
    Frozen,
    /// Whatever is sent to it, or by it, arrives late.
    Slowed,
    /// It ends, and is started again at once.
    Restarted,
}

impl Fault {
    pub const ALL: [Self; 4] = [Self::Stopped, Self::Frozen, Self::Slowed, Self::Restarted];

    /// Whether health has to tell of it: what is slow still answers, and what is back at once may not be missed.
    pub fn shows(self) -> bool {
        matches!(self, Self::Stopped | Self::Frozen)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kafka => "Kafka",
            Self::DynamoDb => "DynamoDB",
            Self::Gremlin => "Gremlin",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Stopped => "stopped",
            Self::Frozen => "frozen",
            Self::Slowed => "slowed",
            Self::Restarted => "restarted",
        })
    }
}
