//! `faultline run`: the service.

use std::{path::PathBuf, sync::Arc};

use super::{Exit, Failure, replay::configured};
use crate::{
    catalog::CatalogError,
    engine::EngineError,
    service::{self, ServiceError},
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
            ServiceError::Engine(EngineError::Kafka(_) | EngineError::Evidence { .. }) => Exit::Usage,
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
    service::run(config, |server| {
        println!("serving gRPC at {}, metrics at http://{}/metrics", server.grpc, server.metrics);
    })?;
    Ok(Exit::Fine)
}
