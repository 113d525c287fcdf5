//! `faultline.yaml`: everything that can be set, with its default.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use faultline_contracts::{catalog::Catalog, document};
use faultline_operators::{
    blast_radius::ReachOptions,
    compliance::WindowOptions,
    correlation::LookBack,
    decode::{openlineage, otlp},
    gates::Gates,
    hypotheses::ExplanationOptions,
    retention::Retention,
    signals::SignalOptions,
};
use faultline_sinks::{
    cloudevents::{Envelope, source_problem},
    dynamodb::DynamoSettings,
    gremlin::GremlinSettings,
    webhook::WebhookSettings,
};
use regex::RegexSet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::{answers::blast_radius::Bounds, intake::IntakeOptions};

mod kafka;
pub mod reference;
mod registry;
mod snapshots;

pub(crate) use kafka::anchored;
pub use kafka::{KafkaConfig, MskIam, Settings, StartFrom, StartPerTopic, StartRules};
pub use registry::{Authorization, ConfluentConfig, GlueConfig, RegistryConfig};
pub use snapshots::SnapshotConfig;

/// Into how many parts waiting spans are divided among workers.
const SPAN_SHARDS: usize = 16;

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no YAML, or has a key or value that means nothing.
    #[error("{path}: {message}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What, with line and column.
        message: String,
    },
    /// A value is out of its range.
    #[error("{key}: {message}")]
    Value {
        /// The key.
        key: &'static str,
        /// What is wrong, and what to write.
        message: String,
    },
}

/// The whole configuration.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The catalog's directory. It is followed as it changes.
    pub catalog: PathBuf,
    /// How often the catalog's directory, or topic, is looked at for changes, in milliseconds. A change is taken when two
    /// looks agree, so that nothing half-written is.
    pub catalog_poll_ms: u64,
    /// Worker threads of this process.
    pub workers: usize,
    /// Length of a tick: how often epochs close while records arrive, in milliseconds.
    pub tick_ms: u64,
    /// Where records come from; without it, `run` needs `files`.
    pub kafka: Option<KafkaConfig>,
    /// Files of kcat envelopes to follow instead of Kafka.
    pub files: Vec<PathBuf>,
    /// Which topics are what.
    pub topics: Topics,
    /// What is done with evidence.
    pub evidence: EvidenceConfig,
    /// Where state is kept on this machine: `faultline.db` (SQLite) and, without Kafka, JSON lines.
    pub data_dir: Option<PathBuf>,
    /// Where state is kept for a restart.
    pub snapshots: SnapshotConfig,
    /// The DynamoDB table that holds the state of signals, if it is to be kept there as well.
    pub dynamodb: Option<DynamoSettings>,
    /// The graph database that holds vertices and edges, if they are to be kept there as well.
    pub graph: Option<GremlinSettings>,
    /// How many changes may wait for each store while it is away: the newest of each thing. What is new beyond that is
    /// dropped and counted.
    pub store_queue: usize,
    /// Where schemas are looked up.
    pub registry: RegistryConfig,
    /// Who is told of incidents over HTTP. What each was told is kept in `webhooks.db` in `data_dir`; without that folder it
    /// is forgotten at the end of the process, and told again by the next.
    pub webhooks: Vec<WebhookSettings>,
    /// Limits on what one record may cost.
    pub limits: Limits,
    /// Windows and watermark.
    pub windows: Windows,
    /// When a breach is beyond doubt, and when it is over.
    pub signals: Signals,
    /// How far back causes are looked for.
    pub correlation: Correlation,
    /// Bounds on graph queries.
    pub blast_radius: BlastRadius,
    /// Listeners.
    pub serve: Serve,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            catalog: "contracts".into(),
            catalog_poll_ms: 2_000,
            workers: 1,
            tick_ms: 20,
            kafka: None,
            files: Vec::new(),
            topics: Topics::default(),
            evidence: EvidenceConfig::default(),
            data_dir: None,
            snapshots: SnapshotConfig::default(),
            dynamodb: None,
            graph: None,
            store_queue: 1_000_000,
            registry: RegistryConfig::default(),
            webhooks: Vec::new(),
            limits: Limits::default(),
            windows: Windows::default(),
            signals: Signals::default(),
            correlation: Correlation::default(),
            blast_radius: BlastRadius::default(),
            serve: Serve::default(),
        }
    }
}

/// Which topics are what. Data topics are exact names, or regular expressions that start with `^`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Topics {
    /// Data topics.
    pub data: Vec<String>,
    /// CDEvents.
    pub deployments: String,
    /// OpenLineage.
    pub lineage: String,
    /// OTLP.
    pub spans: String,
    /// Evidence goes here.
    pub evidence: String,
    /// Signal changes go here.
    pub signals: String,
    /// Incident changes go here.
    pub incidents: String,
    /// The catalog comes from here with `kafka.catalog_topic`: key a file's path, value its text, null deletes it.
    pub catalog: String,
    /// What is put around the records of the evidence, signal and incident topics: nothing (`plain`), CloudEvents' headers
    /// (`cloudevents_binary`, the value stays as it is) or a CloudEvents object (`cloudevents_structured`).
    pub envelope: Envelope,
    /// The `source` of those CloudEvents: a URI reference that tells this installation from others.
    pub cloudevents_source: String,
}

impl Topics {
    /// The patterns among the data topics.
    ///
    /// # Errors
    /// One is no regular expression.
    pub(crate) fn data_patterns(&self) -> Result<RegexSet, regex::Error> {
        RegexSet::new(self.data.iter().filter_map(|topics| anchored(topics)))
    }
}

impl Default for Topics {
    fn default() -> Self {
        let named = |name: &str| format!("signal_factory.{name}");
        Self {
            data: vec![r"^raw\..*".to_owned()],
            deployments: named("deployments"),
            lineage: named("lineage"),
            spans: named("spans"),
            evidence: named("evidence"),
            signals: named("signals"),
            incidents: named("incidents"),
            catalog: named("catalog"),
            envelope: Envelope::Plain,
            cloudevents_source: "/faultline".to_owned(),
        }
    }
}

/// What is done with evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EvidenceConfig {
    /// Which passing records get evidence of their own.
    pub pass: PassEvidence,
}

/// Which passing records get evidence of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PassEvidence {
    /// Every record.
    #[default]
    All,
    /// One piece for a range of passing records of one partition, a tick.
    Ranges,
    /// None.
    None,
}

/// Limits on what one record may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The largest value that is parsed, in bytes; beyond it a record fails as `TOO_LARGE`.
    pub record_bytes: usize,
    /// The deepest nesting; beyond it a record fails as `TOO_DEEP`.
    pub depth: usize,
    /// The most reasons that one piece of evidence carries.
    pub reasons: usize,
    /// The most bytes of JSON text that an Avro or Protobuf record may become; beyond it a record fails as `TOO_LARGE`.
    pub decoded_bytes: usize,
    /// The most bytes of records, in each worker, that wait for schemas that are being looked up; beyond it the worker
    /// reads nothing more until they are known.
    pub held_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { record_bytes: 8 << 20, depth: 64, reasons: 64, decoded_bytes: 32 << 20, held_bytes: 64 << 20 }
    }
}

/// Windows and watermark; all in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Windows {
    /// Length of a window.
    pub width_ms: u64,
    /// How far the watermark stays behind the newest record of a partition.
    pub allowed_lateness_ms: u64,
    /// How long after its end a window is still corrected by late records.
    pub grace_ms: u64,
    /// How long a silent partition holds the watermark.
    pub idle_timeout_ms: u64,
    /// How far ahead of the clock a record's time may be before it is held back to that.
    pub future_ms: u64,
}

impl Default for Windows {
    fn default() -> Self {
        let WindowOptions { width_ms, allowed_lateness_ms, grace_ms, idle_timeout_ms } = WindowOptions::default();
        Self { width_ms, allowed_lateness_ms, grace_ms, idle_timeout_ms, future_ms: 300_000 }
    }
}

/// When a breach is beyond doubt, and when it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Signals {
    /// Judged records before a breach can be called before the window ends.
    pub min_volume: u64,
    /// Judged records without which a window's end says nothing.
    pub min_volume_at_end: u64,
    /// Final windows in compliance that end a breach.
    pub recovery_windows: u32,
    /// How often counts of an ongoing breach are refreshed, in milliseconds.
    pub refresh_ms: u64,
    /// How long a resolved breach is remembered, in milliseconds.
    pub breach_retention_ms: u64,
}

impl Default for Signals {
    fn default() -> Self {
        let SignalOptions {
            min_volume,
            min_volume_at_end,
            recovery_windows,
            tick_ms: _,
            refresh_ms,
            breach_retention_ms,
        } = SignalOptions::default();
        Self { min_volume, min_volume_at_end, recovery_windows, refresh_ms, breach_retention_ms }
    }
}

/// How far back causes are looked for; in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Correlation {
    /// A change older than this before the first failure is no candidate.
    pub look_back_ms: i64,
    /// How much later than the first failure a change may be recorded, because clocks differ.
    pub skew_ms: i64,
    /// How many lineage edges upstream a cause is looked for.
    pub max_hops: u8,
    /// How long spans wait for a failing record of their trace.
    pub span_retention_ms: i64,
    /// The most spans that wait.
    pub span_capacity: usize,
    /// How many hypotheses an explanation carries.
    pub top_k: usize,
}

impl Default for Correlation {
    fn default() -> Self {
        let LookBack { look_back_ms, skew_ms } = LookBack::default();
        let ExplanationOptions { max_hops, max_hypotheses: top_k, look_back: _ } = ExplanationOptions::default();
        Self { look_back_ms, skew_ms, max_hops, span_retention_ms: 3_600_000, span_capacity: 1_000_000, top_k }
    }
}

/// Bounds on graph queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BlastRadius {
    /// The most nodes of one answer; beyond it the nearest ones are given, marked as truncated.
    pub budget: usize,
    /// The most hops that a standing query follows.
    pub max_hops: u32,
}

impl Default for BlastRadius {
    fn default() -> Self {
        Self { budget: 10_000, max_hops: 32 }
    }
}

/// Listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Serve {
    /// gRPC.
    pub grpc: SocketAddr,
    /// Prometheus text.
    pub metrics: SocketAddr,
}

impl Default for Serve {
    fn default() -> Self {
        Self { grpc: SocketAddr::from(([127, 0, 0, 1], 50_061)), metrics: SocketAddr::from(([127, 0, 0, 1], 9_464)) }
    }
}

/// What the parts of the engine are given.
impl Config {
    /// For windows and watermark.
    #[must_use]
    pub fn window_options(&self) -> WindowOptions {
        let Windows { width_ms, allowed_lateness_ms, grace_ms, idle_timeout_ms, future_ms: _ } = self.windows;
        WindowOptions { width_ms, allowed_lateness_ms, grace_ms, idle_timeout_ms }
    }

    /// For signals and breaches.
    #[must_use]
    pub fn signal_options(&self) -> SignalOptions {
        let Signals { min_volume, min_volume_at_end, recovery_windows, refresh_ms, breach_retention_ms } = self.signals;
        let tick_ms = self.tick_ms;
        SignalOptions { min_volume, min_volume_at_end, recovery_windows, tick_ms, refresh_ms, breach_retention_ms }
    }

    /// For explanations.
    #[must_use]
    pub fn explanation_options(&self) -> ExplanationOptions {
        let Correlation { look_back_ms, skew_ms, max_hops, top_k, span_retention_ms: _, span_capacity: _ } =
            self.correlation;
        ExplanationOptions { look_back: LookBack { look_back_ms, skew_ms }, max_hops, max_hypotheses: top_k }
    }

    /// For spans that wait for a failing record.
    #[must_use]
    pub fn span_retention(&self) -> Retention {
        let Correlation { span_retention_ms, span_capacity, .. } = self.correlation;
        Retention { keep_ms: span_retention_ms, capacity: span_capacity, shards: SPAN_SHARDS }
    }

    /// For the blast radii of breaches and watchers.
    #[must_use]
    pub fn reach_options(&self) -> ReachOptions {
        ReachOptions { budget: self.blast_radius.budget }
    }

    /// For ad-hoc blast radii.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        let BlastRadius { budget, max_hops } = self.blast_radius;
        Bounds { budget, max_hops }
    }

    /// For the parser.
    #[must_use]
    pub fn document_limits(&self) -> document::Limits {
        document::Limits { max_bytes: self.limits.record_bytes, max_depth: self.limits.depth }
    }

    /// The gates of a worker under a catalog.
    #[must_use]
    pub fn gates(&self, catalog: Arc<Catalog>) -> Gates {
        Gates::new(catalog, self.document_limits(), self.limits.reasons).with_decoded_bytes(self.limits.decoded_bytes)
    }

    /// For the intake of a worker.
    #[must_use]
    pub fn intake_options(&self) -> IntakeOptions {
        IntakeOptions {
            pass: self.evidence.pass,
            window_ms: self.windows.width_ms as i64,
            held_bytes: self.limits.held_bytes,
            lineage: openlineage::Limits::default(),
            spans: otlp::Limits::default(),
        }
    }
}

impl Config {
    /// Reads and checks a file. Paths in it are relative to its folder.
    ///
    /// # Errors
    /// The file cannot be read, is not of this form, or a value is out of its range.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.into(), source })?;
        let mut config: Self = serde_saphyr::from_str(&text)
            .map_err(|error| ConfigError::Parse { path: path.into(), message: error.to_string() })?;
        let folder = path.parent().unwrap_or(Path::new("."));
        config.catalog = folder.join(&config.catalog);
        config.data_dir = config.data_dir.map(|dir| folder.join(dir));
        config.snapshots.dir = config.snapshots.dir.map(|dir| folder.join(dir));
        config.files = config.files.iter().map(|file| folder.join(file)).collect();
        config.registry.resolve_paths(folder);
        config.webhooks.iter_mut().for_each(|webhook| webhook.resolve(folder));
        config.validate()?;
        Ok(config)
    }

    /// A hash of all that must be the same in all processes of a cluster: not where this one listens and keeps its files.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let common = Self {
            serve: Serve::default(),
            data_dir: self.data_dir.as_ref().map(|_| PathBuf::new()),
            snapshots: SnapshotConfig {
                dir: self.snapshots.dir.as_ref().map(|_| PathBuf::new()),
                ..self.snapshots.clone()
            },
            registry: RegistryConfig { cache_dir: None, ..self.registry.clone() },
            catalog: PathBuf::new(),
            ..self.clone()
        };
        format!("{:016x}", xxh3_64(format!("{common:?}").as_bytes()))
    }

    /// The folder of snapshots, if there is to be one.
    #[must_use]
    pub fn snapshot_dir(&self) -> Option<PathBuf> {
        let of_data = || Some(self.data_dir.as_ref()?.join("snapshots"));
        self.snapshots.dir.clone().or_else(of_data)
    }

    /// Checks that every value is in its range.
    ///
    /// # Errors
    /// Names the first that is not.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let positive = [
            ("workers", self.workers as u64),
            ("tick_ms", self.tick_ms),
            ("catalog_poll_ms", self.catalog_poll_ms),
            ("store_queue", self.store_queue as u64),
            ("snapshots.keep", self.snapshots.keep as u64),
            ("signals.recovery_windows", u64::from(self.signals.recovery_windows)),
            ("correlation.look_back_ms", self.correlation.look_back_ms.max(0) as u64),
            ("limits.record_bytes", self.limits.record_bytes as u64),
            ("limits.depth", self.limits.depth as u64),
            ("limits.reasons", self.limits.reasons as u64),
            ("limits.decoded_bytes", self.limits.decoded_bytes as u64),
            ("limits.held_bytes", self.limits.held_bytes as u64),
        ];
        if let Some((key, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return Err(ConfigError::Value { key, message: "must be greater than 0".to_owned() });
        }
        self.window_options()
            .validate()
            .map_err(|error| ConfigError::Value { key: "windows", message: error.to_string() })?;
        self.registry.validate()?;
        if let Some(kafka) = &self.kafka {
            kafka.validate()?;
        }
        if self.limits.depth > 128 {
            return Err(ConfigError::Value { key: "limits.depth", message: "must be at most 128".to_owned() });
        }
        if let Err(error) = self.topics.data_patterns() {
            return Err(ConfigError::Value { key: "topics.data", message: error.to_string() });
        }
        if let Some(problem) = source_problem(&self.topics.cloudevents_source) {
            return Err(ConfigError::Value { key: "topics.cloudevents_source", message: problem.to_owned() });
        }
        WebhookSettings::validate_all(&self.webhooks)
            .map_err(|error| ConfigError::Value { key: "webhooks", message: error.to_string() })?;
        for listener in [self.serve.grpc, self.serve.metrics] {
            if !listener.ip().is_loopback() {
                let message =
                    format!("{listener} is not a loopback address; without TLS and tokens only loopback is served");
                return Err(ConfigError::Value { key: "serve", message });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("faultline.yaml");
        std::fs::write(&path, text).unwrap();
        Config::load(&path)
    }

    #[test]
    fn defaults_are_valid_and_paths_are_relative_to_the_file() {
        Config::default().validate().unwrap();
        let config = load("catalog: my/contracts\nkafka:\n  bootstrap: localhost:9092\n").unwrap();
        assert!(config.catalog.ends_with("my/contracts") && config.catalog.is_absolute());
        assert_eq!(config.kafka.unwrap().group, "faultline");
    }

    #[test]
    fn a_wrong_key_is_named_with_its_line() {
        let error = load("workers: 2\nworkerz: 3\n").unwrap_err().to_string();
        assert!(error.contains("workerz") && error.contains("line 2"), "{error}");
    }

    #[test]
    fn values_out_of_range_are_named() {
        for (text, key) in [
            ("tick_ms: 0", "tick_ms"),
            ("limits: {depth: 1000}", "limits.depth"),
            ("serve: {grpc: '0.0.0.0:1'}", "serve"),
            ("topics: {data: [raw.a, '^raw.(']}", "topics.data"),
            ("topics: {cloudevents_source: 'a b'}", "topics.cloudevents_source"),
            ("webhooks: [{name: ops}]", "`url` of webhook 'ops'"),
        ] {
            let error = load(text).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
