//! The service as operators run it: `faultline run`, beside a real broker.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use faultline_proto::v1::faultline_client::FaultlineClient;
use tonic::transport::{Channel, Endpoint};

use crate::program::program;
use crate::servers::KafkaServer;
use crate::servers::error::{Result, file};
use crate::servers::ports::free_ports;
use crate::servers::process::ServerProcess;
use crate::servers::run_dir::RunDir;

const NAME: &str = "faultline";
const READY_WITHIN: Duration = Duration::from_secs(60);
const STOPPED_WITHIN: Duration = Duration::from_secs(30);

/// The topics that the service reads and writes besides data topics.
pub const CONTROL_TOPICS: [&str; 6] = [
    "signal_factory.deployments",
    "signal_factory.lineage",
    "signal_factory.spans",
    "signal_factory.evidence",
    "signal_factory.signals",
    "signal_factory.incidents",
];

/// A running service. Dropping it kills the process.
#[derive(Debug)]
pub struct Service {
    process: ServerProcess,
    grpc: SocketAddr,
    metrics: SocketAddr,
    dir: RunDir,
}

impl Service {
    /// A service that reads from this broker and answers. `more` is YAML that is added to its configuration.
    ///
    /// # Errors
    /// The program does not build, or ends by itself.
    pub fn start(kafka: &KafkaServer, catalog: &Path, workers: usize, more: &str) -> Result<Self> {
        let configuration = format!(
            "catalog: {}\ndata_dir: data\nkafka: {{bootstrap: \"{}\", discovery_ms: 1000}}\n{more}",
            catalog.display(),
            kafka.bootstrap(),
        );
        let mut program = Command::new(program()?);
        program.args(["--log", "info"]);
        let service = Self::run(program, workers, &configuration)?;
        service.wait_until_ready()?;
        Ok(service)
    }

    /// Starts a service of a program, whose configuration is this YAML and where it serves. Returns before it answers.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run(program: Command, workers: usize, configuration: &str) -> Result<Self> {
        Self::run_with(program, &["run"], workers, configuration, &[])
    }

    /// [`Service::run`] by another command than `run`, with more arguments.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run_with(
        mut program: Command,
        command: &[&str],
        workers: usize,
        configuration: &str,
        more: &[String],
    ) -> Result<Self> {
        let dir = RunDir::new(NAME)?;
        let [grpc, metrics] = free_ports()?.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let config = dir.path().join("faultline.yaml");
        let text = format!("serve: {{grpc: \"{grpc}\", metrics: \"{metrics}\"}}\n{configuration}");
        fs::write(&config, text).map_err(file("write", &config))?;
        program
            .args(command)
            .args(["--create-tables", "--workers", &workers.to_string(), "--config"])
            .arg(&config)
            .args(more);
        let process = ServerProcess::start(NAME, &program, &dir.path().join("faultline.log"))?;
        Ok(Self { process, grpc, metrics, dir })
    }

    /// Waits until it answers.
    ///
    /// # Errors
    /// It ends by itself, or does not answer.
    pub fn wait_until_ready(&self) -> Result<()> {
        self.process.wait_until_ready(READY_WITHIN, || match self.get("/metrics") {
            Ok(_) if TcpStream::connect(self.grpc).is_ok() => Ok(()),
            Ok(_) => Err("gRPC does not listen".to_owned()),
            Err(unready) => Err(unready.to_string()),
        })
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Where it serves gRPC.
    pub fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// A client of its API; to be called in a runtime.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn client(&self) -> Result<FaultlineClient<Channel>, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.grpc))?.timeout(Duration::from_secs(30));
        Ok(FaultlineClient::new(endpoint.connect().await?).max_decoding_message_size(64 << 20))
    }

    /// The body of what its HTTP endpoint answers.
    ///
    /// # Errors
    /// It does not answer, or not with 200.
    pub fn get(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(self.metrics)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: faultline\r\nConnection: close\r\n\r\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
            _ => Err(std::io::Error::other(format!("{path}: {}", answer.lines().next().unwrap_or_default()))),
        }
    }

    /// Processor time that it has used so far, in seconds.
    ///
    /// # Errors
    /// It has ended.
    pub fn processor_seconds(&self) -> std::io::Result<f64> {
        processor_seconds(self.pid())
    }

    /// Asks it to stop (SIGTERM) and waits for it.
    ///
    /// # Errors
    /// It goes on.
    pub fn terminate(&self) -> Result<ExitStatus> {
        self.process.terminate(STOPPED_WITHIN)
    }

    /// How it has ended, if it has.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.process.ended()
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// It goes on.
    pub fn wait_for_end(&self) -> Result<ExitStatus> {
        self.process.wait_for_end(STOPPED_WITHIN, "it was to end by itself")
    }

    /// The end of what it has logged.
    pub fn log_tail(&self) -> String {
        self.process.log_tail()
    }

    /// Its folder: configuration, log and data.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

/// Kernel ticks a second in `/proc/<pid>/stat`: 100 on every Linux that people run.
const TICKS: f64 = 100.0;

/// Processor time that a process has used so far, in seconds.
///
/// # Errors
/// It is gone.
pub fn processor_seconds(process: u32) -> std::io::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // After the name, which is in parentheses: state is field 3, user and system time are 14 and 15.
    let fields = stat.rsplit_once(") ").map(|(_, rest)| rest).unwrap_or_default();
    let ticks: f64 = fields.split(' ').skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks / TICKS)
}
