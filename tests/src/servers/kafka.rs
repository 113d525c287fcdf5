//! Apache Kafka: one KRaft node that is broker and controller.

mod admin;
mod bytes;
mod live;
mod messages;
mod security;
mod topics;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::error::{Result, ServerError, file, kafka};
use super::install::run;
use super::maven::{Artifact, class_path, jars};
use super::ports::free_ports;
use super::process::ServerProcess;
use super::run_dir::RunDir;
use crate::proxy::Proxy;

use security::Certificates;

pub use bytes::Bytes;
pub use live::{Follower, Paced, unix_millis};
pub use messages::{KafkaMessage, Publisher};
pub use security::{PASSWORD, Security, USER, unsecured_token};

const NAME: &str = "Kafka";
/// The version of the broker.
pub const KAFKA_VERSION: &str = "4.1.2";
const ARTIFACTS: [Artifact; 3] = [
    Artifact { group: "org.apache.kafka", id: "kafka_2.13", version: KAFKA_VERSION },
    Artifact { group: "org.apache.kafka", id: "kafka-tools", version: KAFKA_VERSION },
    // Binds the slf4j 1.7 that Kafka brings to the log4j 2 that it brings too.
    Artifact { group: "org.apache.logging.log4j", id: "log4j-slf4j-impl", version: "2.25.3" },
];

/// For a start within seconds: one compiler, and a collector without threads of its own.
const QUICK_JAVA: [&str; 2] = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
/// What Kafka's own start script gives a broker; both compilers are Java's default.
const PRODUCTION_JAVA: [&str; 4] =
    ["-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35"];

/// Any 16 bytes in URL-safe base64 do; a broker has a folder of its own, so all may share one.
const CLUSTER_ID: &str = "ZmF1bHRsaW5lLXRlc3RzLQ";

const READY_WITHIN: Duration = Duration::from_secs(120);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// Starts are tried anew on other ports, since another process may take one between choice and use.
const START_ATTEMPTS: usize = 3;

/// How a broker is to run.
#[derive(Debug, Clone)]
pub struct KafkaOptions {
    /// The Java heap, as `-Xmx` takes it.
    pub heap: String,
    /// Further options of the Java machine.
    pub java: Vec<String>,
    /// Broker properties besides the harness's own, which they override.
    pub properties: BTreeMap<String, String>,
    /// A second listener, and how clients get in by it.
    pub security: Option<Security>,
    /// The way to it that clients are told; forwards to it before it is up.
    pub behind: Option<Arc<Proxy>>,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self {
            heap: "512m".to_owned(),
            java: QUICK_JAVA.map(str::to_owned).into(),
            properties: BTreeMap::new(),
            security: None,
            behind: None,
        }
    }
}

impl KafkaOptions {
    /// As in production: a gigabyte of heap, and Java options as Kafka's start script sets them. It takes longer to
    /// start and to warm up than the default, and is what a measurement should run against.
    #[must_use]
    pub fn production() -> Self {
        Self { heap: "1g".to_owned(), java: PRODUCTION_JAVA.map(str::to_owned).into(), ..Self::default() }
    }
}

/// A broker on the loopback interface. Dropping it ends the process and removes its data.
#[derive(Debug)]
pub struct KafkaServer {
    /// `None` between [`KafkaServer::stop`] and [`KafkaServer::start_again`]. Before `dir`, so that the process
    /// is gone when its folder goes.
    process: Option<ServerProcess>,
    dir: RunDir,
    jars: PathBuf,
    heap: String,
    java: Vec<String>,
    bootstrap: String,
    port: u16,
    secured: Option<Secured>,
}

/// The way in by the secured listener.
#[derive(Debug, Clone)]
pub struct Secured {
    /// `host:port` for clients.
    pub bootstrap: String,
    /// librdkafka's settings for clients.
    pub settings: BTreeMap<String, String>,
}

impl KafkaServer {
    /// A broker with default options.
    pub fn start() -> Result<Self> {
        Self::start_with(&KafkaOptions::default())
    }

    /// The broker that all tests of this process share; started by the first that asks. Tests keep apart by topic names.
    pub fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<Result<KafkaServer, String>> = OnceLock::new();
        SHARED
            .get_or_init(|| Self::start().map_err(|e| e.to_string()))
            .as_ref()
            .map_err(|reason| ServerError::Shared(reason.clone()))
    }

    /// A broker that is up and answers.
    pub fn start_with(options: &KafkaOptions) -> Result<Self> {
        let jars = jars("kafka", &ARTIFACTS)?;
        let mut attempt = 1;
        loop {
            match Self::start_once(&jars, options) {
                Err(ServerError::Exited { .. }) if attempt < START_ATTEMPTS => attempt += 1,
                outcome => return outcome,
            }
        }
    }

    fn start_once(jars: &Path, options: &KafkaOptions) -> Result<Self> {
        let KafkaOptions { heap, java: java_options, properties, security, behind } = options;
        let dir = RunDir::new("kafka")?;
        let [port, controller_port, secured_port] = free_ports()?;
        let config = dir.path().join("server.properties");
        let mut overriding = BTreeMap::new();
        let mut secured = None;
        if let Some(security) = *security {
            let certificates = Certificates::make(dir.path())?;
            let plain = format!("PLAINTEXT://127.0.0.1:{port},SECURE://127.0.0.1:{secured_port}");
            overriding.extend(security::broker_properties(security, &certificates));
            overriding.insert("listeners".to_owned(), format!("{plain},CONTROLLER://127.0.0.1:{controller_port}"));
            overriding.insert("advertised.listeners".to_owned(), plain);
            let settings = security::client_settings(security, &certificates);
            secured = Some(Secured { bootstrap: format!("127.0.0.1:{secured_port}"), settings });
        }
        if let Some(proxy) = behind {
            proxy.forward_to(port);
            overriding.insert("advertised.listeners".to_owned(), format!("PLAINTEXT://127.0.0.1:{}", proxy.port()));
        }
        overriding.extend(properties.clone());
        let text = server_properties(port, controller_port, &dir.path().join("data"), &overriding);
        fs::write(&config, text).map_err(file("write", &config))?;
        run(java(jars, "64m", &QUICK_JAVA, dir.path())
            .args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"])
            .arg(&config)
            .args(security::format_options(*security)))?;
        let mut server = Self {
            process: None,
            dir,
            jars: jars.to_path_buf(),
            heap: heap.clone(),
            java: java_options.clone(),
            bootstrap: format!("127.0.0.1:{port}"),
            secured,
            port,
        };
        server.start_again()?;
        Ok(server)
    }

    /// Starts the broker on its old port and data, after [`KafkaServer::stop`].
    pub fn start_again(&mut self) -> Result<()> {
        self.stop();
        let mut command = java(&self.jars, &self.heap, &self.java, self.dir.path());
        command.arg("kafka.Kafka").arg(self.dir.path().join("server.properties"));
        let process = ServerProcess::start(NAME, &command, &self.log())?;
        let client: BaseConsumer =
            self.client_config().create().map_err(kafka("make a client for the readiness request"))?;
        process.wait_until_ready(READY_WITHIN, || match client.fetch_metadata(None, REQUEST_TIMEOUT) {
            Ok(metadata) if metadata.brokers().is_empty() => Err("metadata without a broker".to_owned()),
            Ok(_) => Ok(()),
            Err(unready) => Err(unready.to_string()),
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// Kills the broker, as a crash would; its data stay.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// `host:port` for clients.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// The way in by the secured listener.
    pub fn secured(&self) -> Result<&Secured> {
        self.secured.as_ref().ok_or_else(|| ServerError::Topic("the broker has no secured listener".to_owned()))
    }

    /// Where it listens; clients are told `advertised.listeners`, which may be a proxy's.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(ServerProcess::pid)
    }

    /// The broker's log.
    pub fn log(&self) -> PathBuf {
        self.dir.path().join("kafka.log")
    }

    fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set("reconnect.backoff.ms", "50");
        config.set("reconnect.backoff.max.ms", "500").set("broker.address.family", "v4");
        config
    }
}

fn java<O: AsRef<std::ffi::OsStr>>(jars: &Path, heap: &str, options: &[O], dir: &Path) -> Command {
    let mut command = Command::new("java");
    command.arg(format!("-Xmx{heap}")).args(options);
    // Without a configuration log4j prints errors alone; a failed start is better understood from the rest.
    command.arg("-Dlog4j2.level=WARN").arg("-cp").arg(class_path(jars)).current_dir(dir);
    command
}

/// A node for tests: no replication, no start-up delays, and no deletion by age, since records of scenarios
/// carry the times of their stories.
fn server_properties(port: u16, controller_port: u16, data: &Path, overriding: &BTreeMap<String, String>) -> String {
    let mut properties: BTreeMap<String, String> = [
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", "1".to_owned()),
        ("controller.quorum.voters", format!("1@127.0.0.1:{controller_port}")),
        ("listeners", format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}")),
        ("advertised.listeners", format!("PLAINTEXT://127.0.0.1:{port}")),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        ("inter.broker.listener.name", "PLAINTEXT".to_owned()),
        ("log.dirs", data.display().to_string()),
        ("auto.create.topics.enable", "false".to_owned()),
        ("offsets.topic.replication.factor", "1".to_owned()),
        ("offsets.topic.num.partitions", "1".to_owned()),
        ("transaction.state.log.replication.factor", "1".to_owned()),
        ("transaction.state.log.min.isr", "1".to_owned()),
        ("transaction.state.log.num.partitions", "1".to_owned()),
        ("share.coordinator.state.topic.replication.factor", "1".to_owned()),
        ("share.coordinator.state.topic.min.isr", "1".to_owned()),
        ("group.initial.rebalance.delay.ms", "0".to_owned()),
        ("log.retention.ms", "-1".to_owned()),
        ("log.message.timestamp.after.max.ms", i64::MAX.to_string()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect();
    properties.extend(overriding.iter().map(|(key, value)| (key.clone(), value.clone())));
    let mut text = String::new();
    for (key, value) in properties {
        let _ = writeln!(text, "{key}={value}");
    }
    text
}
