//! The listeners: gRPC with health and reflection, and Prometheus text.
//!
//! ```text
//! SharedView ──read──► answers ──► unary responses
//!     └──changes──► one task a watcher ──bounded channel──► stream
//! ```
//! Every answer is computed by [`crate::answers`] from the view; nothing here keeps state but watchers.

mod errors;
pub mod metrics;
mod service;
pub mod standing;
mod waiting;
mod watch;

#[cfg(test)]
mod tests;

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use faultline_proto::{FILE_DESCRIPTOR_SET, v1::faultline_server::FaultlineServer};
use tokio::{net::TcpListener, runtime::Runtime, sync::watch::Sender, task::JoinHandle};
use tonic::transport::server::TcpIncoming;
use tonic_health::{ServingStatus, server::HealthReporter};

use self::{service::Service, standing::StandQueries};
use crate::{
    answers::blast_radius::Bounds,
    catalog::CatalogInForce,
    config,
    health::{DependencyState, Health},
    metrics::Metrics,
    view::SharedView,
};

/// Threads that serve.
const THREADS: usize = 2;
/// How long open calls may go on after the server is told to stop.
const GRACE: Duration = Duration::from_secs(5);
/// How often an idle connection is checked.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How often the health service is told how dependencies are.
const TELL_HEALTH_EVERY: Duration = Duration::from_millis(500);

/// Limits of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Open `Watch*` streams.
    pub watchers: usize,
    /// Blast radii that stand for watchers; further ones are searched when lineage changes.
    pub standing: usize,
    /// Messages that wait for a slow reader; what changes meanwhile is sent as one.
    pub backlog: usize,
    /// How long a call waits for its `min_as_of` where it has no deadline of its own.
    pub wait: Duration,
    /// How often a watcher hears from the service when nothing changes.
    pub heartbeat: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            watchers: 10_000,
            standing: 1_000,
            backlog: 16,
            wait: Duration::from_secs(10),
            heartbeat: Duration::from_secs(15),
        }
    }
}

/// What the service is made of.
pub struct Parts {
    /// What is maintained.
    pub view: Arc<SharedView>,
    /// Keeps blast radii standing.
    pub standing: Arc<dyn StandQueries>,
    /// Metrics of the process.
    pub metrics: Arc<Metrics>,
    /// The catalog in force.
    pub catalog: Arc<CatalogInForce>,
    /// Worker threads, of all processes.
    pub workers: usize,
    /// Bounds on blast radii.
    pub bounds: Bounds,
    /// Limits of the service.
    pub limits: Limits,
}

/// A server that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address cannot be bound.
    #[error("cannot listen on {address} for {what}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What for.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The threads that serve cannot be started.
    #[error("cannot start the threads that serve: {0}")]
    Threads(#[source] io::Error),
    /// The descriptors cannot be reflected.
    #[error("cannot set up reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// A running server. It stops when it is dropped, or, letting open calls end, by [`Server::stop`].
#[derive(Debug)]
pub struct Server {
    /// Where gRPC is served.
    pub grpc: SocketAddr,
    /// Where Prometheus text is served.
    pub metrics: SocketAddr,
    stop: Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    runtime: Option<Runtime>,
}

/// Binds both listeners and serves on threads of its own. Port 0 takes a free one, which [`Server`] tells.
///
/// # Errors
/// An address cannot be bound, or the threads cannot be started.
pub fn start(listeners: config::Serve, parts: Parts) -> Result<Server, ServeError> {
    let config::Serve { grpc, metrics } = listeners;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("serve")
        .enable_all()
        .build()
        .map_err(ServeError::Threads)?;
    let bind = |address, what| {
        let bound = runtime.block_on(TcpListener::bind(address));
        let bound = bound.and_then(|listener| Ok((listener.local_addr()?, listener)));
        bound.map_err(|source| ServeError::Bind { address, what, source })
    };
    let (grpc, grpc_listener) = bind(grpc, "gRPC")?;
    let (metrics, metrics_listener) = bind(metrics, "metrics")?;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let (reflection, reflection_alpha) = (reflection().build_v1()?, reflection().build_v1alpha()?);

    let (metrics_text, dependencies) = (Arc::clone(&parts.metrics), Arc::clone(&parts.metrics.health));
    let service = FaultlineServer::new(Service::new(parts, Instant::now(), stopped.clone()));
    let (health, health_service) = tonic_health::server::health_reporter();
    runtime.block_on(health.set_serving::<FaultlineServer<Service>>());
    runtime.spawn(tell_health(dependencies, health));

    // Without it the kernel holds back the second part of an answer until the first is acknowledged: 40 ms a call.
    let connections = TcpIncoming::from(grpc_listener).with_nodelay(Some(true));
    let grpc_task = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .add_service(health_service)
        .add_service(reflection)
        .add_service(reflection_alpha)
        .add_service(service)
        .serve_with_incoming_shutdown(connections, wait_for(stopped.clone()));
    let grpc_task = runtime.spawn(async move {
        if let Err(error) = grpc_task.await {
            tracing::error!(%error, "gRPC ended");
        }
    });
    let metrics_task = runtime.spawn(async move {
        if let Err(error) = metrics::serve(metrics_listener, metrics_text, wait_for(stopped)).await {
            tracing::error!(%error, "the metrics endpoint ended");
        }
    });
    Ok(Server { grpc, metrics, stop, tasks: vec![grpc_task, metrics_task], runtime: Some(runtime) })
}

/// Has the health service answer for each dependency as `faultline.dependency.<name>`, for probes that know nothing of
/// `GetStatus`. The service itself goes on serving whatever is degraded: what it knows stays true, as of when it says.
async fn tell_health(health: Arc<Health>, reporter: HealthReporter) {
    let mut every = tokio::time::interval(TELL_HEALTH_EVERY);
    loop {
        every.tick().await;
        for DependencyState { dependency, trouble } in health.states() {
            let status = if trouble.is_none() { ServingStatus::Serving } else { ServingStatus::NotServing };
            reporter.set_service_status(format!("faultline.dependency.{}", dependency.as_str()), status).await;
        }
    }
}

/// Ends when the server is told to stop.
async fn wait_for(mut stopped: tokio::sync::watch::Receiver<bool>) {
    // A server that is gone has stopped.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

impl Server {
    /// Takes no more calls, ends watches, and waits for open calls, at most five seconds.
    pub fn stop(mut self) {
        self.stop.send_replace(true);
        if let Some(runtime) = self.runtime.take() {
            let tasks = std::mem::take(&mut self.tasks);
            let all = async move {
                for task in tasks {
                    let _ = task.await;
                }
            };
            let _ = runtime.block_on(async { tokio::time::timeout(GRACE, all).await });
            runtime.shutdown_background();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
