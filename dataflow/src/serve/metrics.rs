//! `GET /metrics` for Prometheus and `GET /healthz` for probes: 200 while the process serves. Its text is `ok`, or
//! `degraded` and a line for each dependency in trouble: restarting the process mends none of them.

use std::{future::Future, io, sync::Arc};

use axum::{Router, http::header::CONTENT_TYPE, routing::get};
use tokio::net::TcpListener;

use crate::{health::Health, metrics::Metrics};

/// OpenMetrics text, as the encoder writes it.
const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves until `stopped`.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    stopped: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let health = Arc::clone(&metrics.health);
    let text = move || async move { ([(CONTENT_TYPE, TEXT)], metrics.text()) };
    let healthz = move || async move { health_text(&health) };
    let router = Router::new().route("/metrics", get(text)).route("/healthz", get(healthz));
    axum::serve(listener, router).with_graceful_shutdown(stopped).await
}

fn health_text(health: &Health) -> String {
    let trouble: String = health
        .states()
        .into_iter()
        .filter_map(|state| Some(format!("{}: {}\n", state.dependency.as_str(), state.trouble?)))
        .collect();
    if trouble.is_empty() { "ok\n".to_owned() } else { format!("degraded\n{trouble}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Dependency;

    #[test]
    fn health_names_what_is_in_trouble() {
        let health = Arc::<Health>::default();
        assert_eq!(health_text(&health), "ok\n");
        let (graph, store) = (health.reporter(Dependency::Graph), health.reporter(Dependency::Store));
        graph.degraded(&"no answer");
        store.up();
        assert_eq!(health_text(&health), "degraded\ngraph: no answer\n");
    }
}
