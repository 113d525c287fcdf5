//! The command line as a client of the API: `get`, `explain`, `blast-radius`, `watch`.

mod commands;
pub mod report;
pub(crate) mod table;

use std::io::{self, Write};

use clap::{Args, Subcommand, ValueEnum};
use faultline_proto::v1::faultline_client::FaultlineClient;
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt;

pub use self::commands::{BlastRadiusArgs, Explain, Get, Watch};
use crate::answers::json::{JsonError, to_json};
use crate::causes::WithCauses;

/// The largest answer that is taken, in bytes.
const MAX_ANSWER: usize = 256 << 20;

/// What to ask the service.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show incidents, signals, windows, evidence, datasets or the service's status.
    Get(Get),
    /// Tell why an incident happened, and what proves it.
    Explain(Explain),
    /// Show what a dataset, table, job or asset reaches, or is made from.
    BlastRadius(BlastRadiusArgs),
    /// Follow incidents, windows, an explanation or a blast radius as they change.
    Watch(Watch),
}

/// Whom to ask, and how to show the answer.
#[derive(Debug, Clone, Args)]
pub struct Connection {
    /// The service's address.
    #[arg(
        long,
        global = true,
        env = "FAULTLINE_SERVER",
        default_value = "http://127.0.0.1:50061",
        value_name = "ADDR"
    )]
    pub server: String,
    /// How to show the answer.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    pub output: Format,
    /// How long to wait for an answer, in seconds.
    #[arg(long, global = true, default_value_t = 30, value_name = "SECONDS")]
    pub timeout: u64,
}

/// How an answer is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// Proto3 JSON.
    Json,
}

/// A question that was not answered.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address means nothing.
    #[error("'{address}' is not an address such as http://127.0.0.1:50061")]
    Address {
        /// What was given.
        address: String,
    },
    /// The service does not answer.
    #[error("cannot reach the service at {address}: {message}")]
    Unreachable {
        /// Where.
        address: String,
        /// Why.
        message: String,
    },
    /// The service refuses.
    #[error("{message} ({reason})")]
    Refused {
        /// The status.
        code: Code,
        /// `ErrorInfo.reason`, else the name of the status.
        reason: String,
        /// What is wrong.
        message: String,
    },
    /// The answer cannot be shown.
    #[error("cannot show the answer: {0}")]
    Show(#[from] JsonError),
    /// The answer cannot be written.
    #[error("cannot write the answer: {0}")]
    Write(#[from] io::Error),
}

impl ClientError {
    /// The exit code: 1 not found, 2 usage, 3 unreachable, 70 internal.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Address { .. } => 2,
            Self::Unreachable { .. } => 3,
            Self::Refused { code, .. } => match code {
                Code::NotFound => 1,
                Code::InvalidArgument | Code::Unauthenticated | Code::PermissionDenied => 2,
                Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted => 3,
                _ => 70,
            },
            Self::Show(_) | Self::Write(_) => 70,
        }
    }

    fn refused(status: &Status, address: &str) -> Self {
        let info = status.get_details_error_info();
        if status.code() == Code::Unavailable && info.is_none() {
            return Self::Unreachable { address: address.to_owned(), message: status.message().to_owned() };
        }
        let reason = info.map_or_else(|| format!("{:?}", status.code()), |info| info.reason);
        Self::Refused { code: status.code(), reason, message: report::plain(status.message()) }
    }
}

/// Asks and shows the answer. A reader of `out` that goes away ends it well.
///
/// # Errors
/// See [`ClientError`]; [`ClientError::exit_code`] is how to end.
pub fn run(command: Command, out: &mut dyn Write) -> Result<(), ClientError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match runtime.block_on(commands::run(command, out)) {
        Err(ClientError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        ended => ended,
    }
}

/// A connection that is there.
struct Client {
    stub: FaultlineClient<Channel>,
    address: String,
    output: Format,
    timeout: std::time::Duration,
}

impl Client {
    async fn connect(connection: &Connection) -> Result<Self, ClientError> {
        let Connection { server, output, timeout } = connection;
        let address = if server.contains("://") { server.clone() } else { format!("http://{server}") };
        let timeout = std::time::Duration::from_secs((*timeout).clamp(1, 86_400));
        let endpoint =
            Channel::from_shared(address.clone()).map_err(|_| ClientError::Address { address: server.clone() })?;
        let channel = endpoint.connect_timeout(timeout).connect().await.map_err(|error| ClientError::Unreachable {
            address: address.clone(),
            message: WithCauses(&error).to_string(),
        })?;
        let stub = FaultlineClient::new(channel).max_decoding_message_size(MAX_ANSWER);
        Ok(Self { stub, address, output: *output, timeout })
    }

    /// A request with a deadline.
    fn request<Q>(&self, message: Q) -> tonic::Request<Q> {
        let mut request = tonic::Request::new(message);
        request.set_timeout(self.timeout);
        request
    }

    fn refused(&self, status: &Status) -> ClientError {
        ClientError::refused(status, &self.address)
    }

    /// Shows a message as one line or one indented block of JSON, or as `text` makes it.
    fn show<M>(&self, out: &mut dyn Write, message: &M, text: impl FnOnce(&M) -> String) -> Result<(), ClientError>
    where
        M: prost::Message + prost::Name,
    {
        match self.output {
            Format::Table => writeln!(out, "{}", text(message).trim_end())?,
            Format::Json => {
                let json = to_json(message)?;
                writeln!(out, "{json:#}")?;
            }
        }
        Ok(out.flush()?)
    }
}
