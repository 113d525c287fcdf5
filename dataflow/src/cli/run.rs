//! `faultline run`: the service.

use std::{path::PathBuf, sync::Arc};

use super::{Exit, Failure, replay::configured};
use crate::{
    catalog::CatalogError,
    engine::EngineError,
    service::{self, ServiceError},
    snapshot::SnapshotError,
    sources::kafka::KafkaSourceError,
};

/// Runs the service.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration.
    #[arg(long)]
    config: PathBuf,
    /// Worker threads of this process.
    #[arg(long)]
    workers: Option<usize>,
    /// Make the DynamoDB table first, where it is not there.
    #[arg(long)]
    create_tables: bool,
    /// Do not go on from a snapshot: begin as `kafka.start` says, with no windows. Snapshots that are there stay until newer
    /// ones take their places.
    #[arg(long)]
    fresh: bool,
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        let exit = match &error {
            ServiceError::Store(error) if error.is_transient() => Exit::Unreachable,
            ServiceError::NoSource | ServiceError::Store(_) | ServiceError::Webhook(_) | ServiceError::Listen(_) => {
                Exit::Usage
            }
            ServiceError::Kafka(_)
            | ServiceError::Catalog(CatalogError::Unreachable { .. } | CatalogError::Slow { .. })
            | ServiceError::Engine(EngineError::Kafka(KafkaSourceError::Unreachable { .. })) => Exit::Unreachable,
            ServiceError::Catalog(CatalogError::Thread(_)) => Exit::Internal,
            ServiceError::Catalog(_) | ServiceError::Registries(_) => Exit::Usage,
            ServiceError::Engine(
                EngineError::Kafka(_) | EngineError::Evidence { .. } | EngineError::EvidenceEnded { .. },
            ) => Exit::Usage,
            ServiceError::Snapshot(SnapshotError::Thread(_)) => Exit::Internal,
            ServiceError::Snapshot(_) | ServiceError::Engine(EngineError::Snapshot(_)) => Exit::Usage,
            ServiceError::Engine(_) | ServiceError::Thread(_) => Exit::Internal,
        };
        Self::new(exit, &error)
    }
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let config = Arc::new(configured(Some(&args.config), None, args.workers)?);
    if args.create_tables {
        service::create_tables(&config)?;
    }
    service::run(config, args.fresh, |server| {
        println!("serving gRPC at {}, metrics at http://{}/metrics", server.grpc, server.metrics);
    })?;
    Ok(Exit::Fine)
}
