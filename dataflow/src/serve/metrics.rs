//! `GET /metrics` for Prometheus and `GET /healthz` for probes.

use std::{future::Future, io, sync::Arc};

use axum::{Router, http::header::CONTENT_TYPE, routing::get};
use tokio::net::TcpListener;

use crate::metrics::Metrics;

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
    let text = move || async move { ([(CONTENT_TYPE, TEXT)], metrics.text()) };
    let router = Router::new().route("/metrics", get(text)).route("/healthz", get(|| async { "ok\n" }));
    axum::serve(listener, router).with_graceful_shutdown(stopped).await
}
