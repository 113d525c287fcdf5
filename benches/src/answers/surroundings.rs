//! The broker and the service that a measurement runs against, and how both are set up.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use faultline_tests::{
    servers::{KafkaOptions, KafkaServer},
    service::CONTROL_TOPICS,
};

use super::error::Result;
use crate::wire::service::{self, Service, ServiceOptions, Settings};

/// What the names of the service's own topics begin with: its default, so that captured inputs fit.
const PREFIX: &str = "signal_factory";
/// How long after its last record a service counts as idle, and a little more (`IDLE_AFTER_MS` of its engine).
pub const CALM: Duration = Duration::from_secs(3);

/// What is set of the service.
#[derive(Debug, Clone, clap::Args)]
pub struct Surroundings {
    /// The program to measure [default: the one beside this program].
    #[arg(long)]
    faultline: Option<PathBuf>,
    /// Worker threads.
    #[arg(long, default_value_t = 1)]
    pub workers: usize,
    #[command(flatten)]
    settings: Settings,
}

impl Surroundings {
    /// The program.
    ///
    /// # Errors
    /// It is not there.
    pub fn program(&self) -> Result<PathBuf> {
        Ok(service::program(self.faultline.as_deref())?)
    }

    /// A broker as in production, with the service's own topics and these of data, each of so many partitions.
    ///
    /// # Errors
    /// It does not start, or does not make the topics.
    pub fn broker(&self, data: &[String], partitions: u32) -> Result<KafkaServer> {
        let kafka = KafkaServer::start_with(&KafkaOptions::production())?;
        kafka.create_topics(&CONTROL_TOPICS, 1)?;
        kafka.create_topics(data, partitions)?;
        Ok(kafka)
    }

    /// A service that reads from this broker and answers.
    ///
    /// # Errors
    /// It does not start.
    pub fn service(&self, kafka: &KafkaServer, catalog: &Path) -> Result<Service> {
        let program = self.program()?;
        let service = Service::start(&ServiceOptions {
            program: &program,
            catalog,
            bootstrap: kafka.bootstrap(),
            workers: self.workers,
            pass: "all",
            prefix: PREFIX,
            settings: &self.settings,
        })?;
        service.wait_until_ready()?;
        Ok(service)
    }
}
