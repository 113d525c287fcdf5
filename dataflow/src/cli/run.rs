//! `faultline run`: the service.

use std::{path::PathBuf, sync::Arc};

use super::{
    Exit, Failure,
    replay::{configured, loaded},
};
use crate::{
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
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        let exit = match &error {
            ServiceError::NoSource | ServiceError::Store(_) | ServiceError::Listen(_) => Exit::Usage,
            ServiceError::Kafka(_) | ServiceError::Engine(EngineError::Kafka(KafkaSourceError::Unreachable { .. })) => {
                Exit::Unreachable
            }
            ServiceError::Engine(EngineError::Kafka(_) | EngineError::Evidence { .. }) => Exit::Usage,
            ServiceError::Engine(_) | ServiceError::Thread(_) => Exit::Internal,
        };
        Self::new(exit, &error)
    }
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let config = Arc::new(configured(Some(&args.config), None, args.workers)?);
    let (catalog, problems) = loaded(&config.catalog)?;
    service::run(config, catalog, problems, |server| {
        println!("serving gRPC at {}, metrics at http://{}/metrics", server.grpc, server.metrics);
    })?;
    Ok(Exit::Fine)
}
