//! `faultline run`: the service.

use std::{path::PathBuf, sync::Arc};

use super::{Exit, Failure, replay::configured};
use crate::{
    catalog::CatalogError,
    causes::WithCauses,
    cluster::{ClusterError, Membership},
    engine::EngineError,
    service::{self, RunOptions, ServiceError},
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
    /// How many processes the cluster has.
    #[arg(long, requires = "process", requires = "hosts")]
    processes: Option<usize>,
    /// Which of them this is, from 0.
    #[arg(long, requires = "processes")]
    process: Option<usize>,
    /// A file with a line of host:port for each process, at which the others reach it.
    #[arg(long, requires = "processes")]
    hosts: Option<PathBuf>,
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        let exit = match &error {
            ServiceError::Store(error) if error.is_transient() => Exit::Unreachable,
            ServiceError::NoSource
            | ServiceError::ExactlyOnceInCluster
            | ServiceError::Store(_)
            | ServiceError::Webhook(_)
            | ServiceError::Listen(_) => Exit::Usage,
            ServiceError::Kafka(_)
            | ServiceError::Catalog(CatalogError::Unreachable { .. } | CatalogError::Slow { .. }) => Exit::Unreachable,
            ServiceError::Catalog(CatalogError::Thread(_)) | ServiceError::Snapshot(SnapshotError::Thread(_)) => {
                Exit::Internal
            }
            ServiceError::Cluster(ClusterError::Connection { .. }) => Exit::Unreachable,
            ServiceError::Catalog(_)
            | ServiceError::Registries(_)
            | ServiceError::Snapshot(_)
            | ServiceError::Cluster(_) => Exit::Usage,
            ServiceError::Engine(error) => engine_exit(error),
            ServiceError::Thread(_) => Exit::Internal,
        };
        Self::new(exit, &error)
    }
}

/// Ends a process of a cluster whose worker cannot go on.
fn fail(error: &EngineError) {
    let exit = engine_exit(error);
    eprintln!("error: {}", WithCauses(error));
    std::process::exit(exit as i32);
}

/// Ends a process that has lost another one of its cluster.
fn peer_lost(reason: &str) {
    eprintln!(
        "error: another process of the cluster is gone ({reason}); this one cannot go on without it: start all again, they go \
         on from the newest snapshot"
    );
    std::process::exit(Exit::PeerLost as i32);
}

fn engine_exit(error: &EngineError) -> Exit {
    match error {
        EngineError::Kafka(KafkaSourceError::Unreachable { .. }) => Exit::Unreachable,
        EngineError::Kafka(_)
        | EngineError::Evidence { .. }
        | EngineError::EvidenceEnded { .. }
        | EngineError::Snapshot(_) => Exit::Usage,
        EngineError::PeerSilent(_) => Exit::PeerLost,
        EngineError::Start(_) | EngineError::Worker(_) => Exit::Internal,
    }
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let config = Arc::new(configured(Some(&args.config), None, args.workers)?);
    if args.create_tables {
        service::create_tables(&config)?;
    }
    let membership = match (args.processes, args.process, &args.hosts) {
        (Some(processes), Some(process), Some(hosts)) => {
            Some(Membership::read(processes, process, hosts).map_err(ServiceError::from)?)
        }
        _ => None,
    };
    let options = RunOptions { fresh: args.fresh, membership, fail, peer_lost };
    service::run(config, options, |server| {
        println!("serving gRPC at {}, metrics at http://{}/metrics", server.grpc, server.metrics);
    })?;
    Ok(Exit::Fine)
}
