//! `faultline run` as a contestant: started anew for each run, asked for its counts, and stopped.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use faultline_contracts::time::UnixMillis;
use faultline_proto::v1::{ListComplianceWindowsRequest, MinAsOf, PartitionOffset};
use faultline_tests::service;

use super::{
    clients::runtime,
    error::{Result, WireError},
    load::INPUT,
};
use crate::orders::Windows;

const NAME: &str = "faultline";

/// How to run it.
#[derive(Debug, Clone)]
pub struct ServiceOptions<'a> {
    /// The program.
    pub program: &'a Path,
    /// The catalog's directory.
    pub catalog: &'a Path,
    /// Where the broker listens.
    pub bootstrap: &'a str,
    /// Worker threads.
    pub workers: usize,
    /// `evidence.pass`
    pub pass: &'a str,
    /// What its topics and its consumer group begin with.
    pub prefix: &'a str,
    /// What is set besides.
    pub settings: &'a Settings,
}

/// What is set of the service besides what a contestant is about.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Settings {
    /// A librdkafka setting of the service, as `name=value`; any number.
    #[arg(long = "kafka-setting")]
    pub kafka: Vec<String>,
    /// Lines of YAML that are added to the service's configuration.
    #[arg(long = "settings", default_value = "")]
    pub more: String,
}

impl Settings {
    /// `kafka.settings` as YAML.
    fn kafka_yaml(&self) -> String {
        let pairs = self.kafka.iter().map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let pairs: Vec<_> = pairs.map(|(name, value)| format!("{name}: \"{value}\"")).collect();
        format!("{{{}}}", pairs.join(", "))
    }
}

/// The program to measure: this one, or else `faultline` beside the program that runs.
///
/// # Errors
/// It is not there.
pub fn program(named: Option<&Path>) -> Result<PathBuf> {
    let beside = || std::env::current_exe().map(|this| this.with_file_name(NAME)).unwrap_or_default();
    let path = named.map_or_else(beside, Path::to_owned);
    if path.is_file() { Ok(path) } else { Err(WireError::NoProgram { path }) }
}

/// A running service. Dropping it kills the process.
#[derive(Debug)]
pub struct Service(service::Service);

/// The topic that evidence goes to.
#[must_use]
pub fn evidence_topic(prefix: &str) -> String {
    format!("{prefix}.evidence")
}

impl Service {
    /// Starts it; it reads at once. Returns before it answers.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(options: &ServiceOptions<'_>) -> Result<Self> {
        let ServiceOptions { program, catalog, bootstrap, workers, pass, prefix, settings } = options;
        let topics: String = ["evidence", "signals", "incidents", "deployments", "lineage", "spans", "catalog"]
            .map(|topic| format!("{topic}: {prefix}.{topic}"))
            .join(", ");
        let text = format!(
            "catalog: {}\ndata_dir: data\nkafka: {{bootstrap: \"{bootstrap}\", group: \"{prefix}\", settings: {}}}\n\
             topics: {{{topics}}}\nevidence: {{pass: {pass}}}\n{}\n",
            catalog.display(),
            settings.kafka_yaml(),
            settings.more,
        );
        let mut program = Command::new(program);
        program.env_remove("FAULTLINE_LOG");
        Ok(Self(service::Service::run(program, *workers, &text)?))
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// Waits until it answers.
    ///
    /// # Errors
    /// It ends by itself, or does not answer.
    pub fn wait_until_ready(&self) -> Result<()> {
        self.0.wait_until_ready()?;
        Ok(())
    }

    /// Where it serves gRPC.
    #[must_use]
    pub fn grpc(&self) -> SocketAddr {
        self.0.grpc()
    }

    /// How many records it has judged.
    ///
    /// # Errors
    /// It does not answer.
    pub fn records(&self) -> std::io::Result<u64> {
        let answer = self.0.get("/metrics")?;
        let counts = answer.lines().filter(|line| line.starts_with("faultline_records_total{"));
        Ok(counts.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum())
    }

    /// The windows that it answers with over gRPC once it has seen all records of the input, whose partitions have these
    /// lengths.
    ///
    /// # Errors
    /// It does not answer, or says that it could not judge a record.
    pub fn windows(&self, lengths: &[i64]) -> Result<Windows> {
        runtime()?.block_on(self.list_windows(lengths)).map_err(WireError::Grpc)
    }

    async fn list_windows(&self, lengths: &[i64]) -> Result<Windows, String> {
        let offsets = lengths
            .iter()
            .zip(0..)
            .filter(|(length, _)| **length > 0)
            .map(|(length, partition)| PartitionOffset { topic: INPUT.to_owned(), partition, offset: length - 1 });
        let request = ListComplianceWindowsRequest {
            page_size: 1_000,
            min_as_of: Some(MinAsOf { epoch: 0, offsets: offsets.collect() }),
            ..Default::default()
        };
        let mut client = self.0.client().await.map_err(|error| error.to_string())?;
        let answer = client.list_compliance_windows(request).await;
        let windows = answer.map_err(|status| status.to_string())?.into_inner().windows;
        windows
            .into_iter()
            .map(|window| {
                let start = window.window_start.ok_or("a window without a start")?;
                let start = UnixMillis(start.seconds * 1_000 + i64::from(start.nanos) / 1_000_000);
                if window.warn > 0 {
                    return Err(format!("{} records of {start} could not be judged", window.warn));
                }
                Ok((start.0, [window.pass, window.fail]))
            })
            .collect()
    }

    /// Stops it: what it still has to write is written.
    ///
    /// # Errors
    /// It goes on, or ends with failure.
    pub fn stop(self) -> Result<()> {
        let status = self.0.terminate()?;
        if status.success() {
            return Ok(());
        }
        Err(WireError::Contestant { contestant: NAME.to_owned(), status, output: self.0.log_tail() })
    }

    /// The end of what it has logged.
    #[must_use]
    pub fn log_tail(&self) -> String {
        self.0.log_tail()
    }
}
