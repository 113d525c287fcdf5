//! Where a catalog's files come from, and what they refer to.

use std::{path::PathBuf, time::Duration};

use faultline_contracts::{
    catalog::{CatalogFiles, CatalogReading},
    diagnostic::Diagnostic,
};
use rdkafka::error::KafkaError;

/// A catalog that cannot be opened, or followed.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// It is not where the configuration says.
    #[error("{0} is not a directory; `catalog` names the one with catalog.yaml")]
    NoDirectory(PathBuf),
    /// librdkafka does not take a setting.
    #[error("kafka.settings: {0}")]
    Settings(#[source] KafkaError),
    /// The brokers do not answer.
    #[error("no answer from the brokers at {bootstrap}: {source}; check kafka.bootstrap and that the broker is up")]
    Unreachable {
        /// `bootstrap.servers`
        bootstrap: String,
        /// What librdkafka says.
        source: KafkaError,
    },
    /// The topic that it is to be read from is not there.
    #[error("there is no topic {0}: make it, with cleanup.policy=compact, or leave kafka.catalog_topic out")]
    NoTopic(String),
    /// The topic was not read to its end in time.
    #[error("the topic {topic} was not read to its end within {} s, {what}", .within.as_secs())]
    Slow {
        /// The topic.
        topic: String,
        /// How long.
        within: Duration,
        /// The last error, or how far it was read.
        what: String,
    },
    /// A thread cannot be started.
    #[error("cannot start the catalog's watcher: {0}")]
    Thread(#[from] std::io::Error),
}

/// What a catalog's references came to.
#[derive(Debug, Clone, Default)]
pub struct Resolution {
    /// What could not be fetched, and why.
    pub problems: Vec<Diagnostic>,
    /// When to try again although no file has changed; `None` where nothing is missing that may still come.
    pub again_after: Option<Duration>,
}

/// Fetches the schemas that the catalog names and its files do not hold, such as those of a registry.
///
/// It comes between the files and the catalog: what it adds is part of the files, of the catalog's version, and of what
/// is last good.
pub trait References: Send {
    /// Adds to `files` what they refer to. It may take its time, with bounds of its own: nobody waits for it but the catalog.
    fn resolve(&mut self, files: &mut CatalogFiles) -> Resolution;
}

/// Without a registry: schemas are files of the catalog.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoReferences;

impl References for NoReferences {
    fn resolve(&mut self, _: &mut CatalogFiles) -> Resolution {
        Resolution::default()
    }
}

/// A place where files are kept and may change.
pub(super) trait Source: Send {
    /// Looks what is there. `None` as long as that is what was given last, or has not settled yet.
    ///
    /// # Errors
    /// It cannot be looked at; says why.
    fn look(&mut self) -> Result<Option<CatalogReading>, String>;
}
