//! The methods.

use std::{pin::Pin, sync::Arc, time::Instant};

use faultline_operators::blast_radius::ReachQuery;
use faultline_proto::v1::{self, faultline_server::Faultline};
use tokio::sync::{Semaphore, mpsc, watch::Receiver};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Request, Response, Status};

use super::{
    Limits, Parts,
    errors::{refused, too_many_watchers},
    standing::StandQueries,
    waiting::{patience, reached},
    watch::{
        Subject, Watch,
        subjects::{Explained, Incidents, Reaching, Windows},
    },
};
use crate::{
    answers::{
        Refusal,
        blast_radius::{self, Bounds, Question},
        datasets, evidence, explanation, incidents, signals, status, windows,
    },
    catalog::CatalogInForce,
    metrics::Metrics,
    view::{SharedView, View},
};

/// The service behind `faultline.v1.Faultline`.
pub(super) struct Service {
    view: Arc<SharedView>,
    standing: Arc<dyn StandQueries>,
    metrics: Arc<Metrics>,
    catalog: Arc<CatalogInForce>,
    workers: usize,
    bounds: Bounds,
    limits: Limits,
    watchers: Arc<Semaphore>,
    standing_places: Arc<Semaphore>,
    started: Instant,
    stopped: Receiver<bool>,
}

type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Service {
    pub(super) fn new(parts: Parts, started: Instant, stopped: Receiver<bool>) -> Self {
        let Parts { view, standing, metrics, catalog, workers, bounds, limits } = parts;
        Self {
            view,
            standing,
            metrics,
            catalog,
            workers,
            bounds,
            limits,
            watchers: Arc::new(Semaphore::new(limits.watchers)),
            standing_places: Arc::new(Semaphore::new(limits.standing)),
            started,
            stopped,
        }
    }

    /// Waits for what the request asks for, then answers from the view.
    async fn answer<Q, A>(
        &self,
        request: Request<Q>,
        min: impl Fn(&Q) -> Option<&v1::MinAsOf>,
        answer: impl FnOnce(&View, &Q) -> Result<A, Refusal>,
    ) -> Result<Response<A>, Status> {
        let patience = patience(request.metadata(), self.limits.wait);
        let request = request.into_inner();
        reached(&self.view, min(&request), patience).await?;
        let view = self.view.read();
        answer(&view, &request).map(Response::new).map_err(refused)
    }

    /// Waits for what the request asks for, then begins to watch.
    async fn watch<Q, S: Subject>(
        &self,
        request: Request<Q>,
        min: impl Fn(&Q) -> Option<&v1::MinAsOf>,
        subject: impl FnOnce(&View, &Q) -> Result<S, Refusal>,
    ) -> Result<Response<Messages<S::Response>>, Status> {
        let place = Arc::clone(&self.watchers).try_acquire_owned();
        let place = place.map_err(|_| too_many_watchers(self.limits.watchers))?;
        let patience = patience(request.metadata(), self.limits.wait);
        let request = request.into_inner();
        reached(&self.view, min(&request), patience).await?;
        let subject = subject(&self.view.read(), &request).map_err(refused)?;
        let (out, messages) = mpsc::channel(self.limits.backlog.max(1));
        let (view, stopped, heartbeat) = (Arc::clone(&self.view), self.stopped.clone(), self.limits.heartbeat);
        tokio::spawn(Watch { view, subject, out, stopped, heartbeat, _place: place }.run());
        Ok(Response::new(Box::pin(ReceiverStream::new(messages))))
    }

    /// Has a question stand where it stays within the budget and there is a place; otherwise it is searched.
    fn promote(
        &self,
        view: &View,
        question: &Question,
    ) -> Option<(Box<dyn super::standing::Standing>, tokio::sync::OwnedSemaphorePermit)> {
        let Question { root, direction, max_hops, .. } = question;
        // The budget bounds what a standing query shows and not what it costs, so its size is looked at first.
        if blast_radius::search(view, root, *direction, *max_hops, self.bounds.budget).truncated {
            return None;
        }
        let place = Arc::clone(&self.standing_places).try_acquire_owned().ok()?;
        let query = ReachQuery { key: question.key(), root: root.clone(), direction: *direction, max_hops: *max_hops };
        Some((self.standing.stand(query), place))
    }
}

#[tonic::async_trait]
impl Faultline for Service {
    async fn get_blast_radius(
        &self,
        request: Request<v1::GetBlastRadiusRequest>,
    ) -> Result<Response<v1::GetBlastRadiusResponse>, Status> {
        let answer =
            |view: &View, request: &_| blast_radius::get(view, &self.catalog.read().catalog, self.bounds, request);
        self.answer(request, |request| request.min_as_of.as_ref(), answer).await
    }

    type WatchBlastRadiusStream = Messages<v1::WatchBlastRadiusResponse>;

    async fn watch_blast_radius(
        &self,
        request: Request<v1::WatchBlastRadiusRequest>,
    ) -> Result<Response<Self::WatchBlastRadiusStream>, Status> {
        let subject = |view: &View, request: &v1::WatchBlastRadiusRequest| {
            let catalog = &self.catalog.read().catalog;
            let question = Question::of_watch(request, catalog, self.bounds)?;
            if !blast_radius::is_known(view, catalog, &question.root) {
                return Err(Refusal::not_found("node", &request.root));
            }
            Ok(Reaching { _standing: self.promote(view, &question), question, bounds: self.bounds })
        };
        self.watch(request, |request| request.min_as_of.as_ref(), subject).await
    }

    async fn explain_incident(
        &self,
        request: Request<v1::ExplainIncidentRequest>,
    ) -> Result<Response<v1::Explanation>, Status> {
        let answer = |view: &View, request: &_| explanation::get(view, self.bounds, request);
        self.answer(request, |request| request.min_as_of.as_ref(), answer).await
    }

    type WatchExplanationStream = Messages<v1::WatchExplanationResponse>;

    async fn watch_explanation(
        &self,
        request: Request<v1::WatchExplanationRequest>,
    ) -> Result<Response<Self::WatchExplanationStream>, Status> {
        let subject = |view: &View, request: &v1::WatchExplanationRequest| {
            let asked = explanation::Asked::read(&request.incident_id, request.top_k)?;
            if !view.incidents.contains_key(&asked.incident) {
                return Err(Refusal::not_found("incident", &request.incident_id));
            }
            Ok(Explained { asked, bounds: self.bounds })
        };
        self.watch(request, |request| request.min_as_of.as_ref(), subject).await
    }

    async fn get_incident(
        &self,
        request: Request<v1::GetIncidentRequest>,
    ) -> Result<Response<v1::GetIncidentResponse>, Status> {
        self.answer(request, |request| request.min_as_of.as_ref(), incidents::get).await
    }

    async fn list_incidents(
        &self,
        request: Request<v1::ListIncidentsRequest>,
    ) -> Result<Response<v1::ListIncidentsResponse>, Status> {
        self.answer(request, |request| request.min_as_of.as_ref(), incidents::list).await
    }

    type WatchIncidentsStream = Messages<v1::WatchIncidentsResponse>;

    async fn watch_incidents(
        &self,
        request: Request<v1::WatchIncidentsRequest>,
    ) -> Result<Response<Self::WatchIncidentsStream>, Status> {
        let subject = |_: &View, request: &_| incidents::IncidentFilter::of_watch(request).map(Incidents);
        self.watch(request, |request| request.min_as_of.as_ref(), subject).await
    }

    async fn list_compliance_windows(
        &self,
        request: Request<v1::ListComplianceWindowsRequest>,
    ) -> Result<Response<v1::ListComplianceWindowsResponse>, Status> {
        self.answer(request, |request| request.min_as_of.as_ref(), windows::list).await
    }

    type WatchComplianceStream = Messages<v1::WatchComplianceResponse>;

    async fn watch_compliance(
        &self,
        request: Request<v1::WatchComplianceRequest>,
    ) -> Result<Response<Self::WatchComplianceStream>, Status> {
        let subject = |_: &View, request: &v1::WatchComplianceRequest| {
            Ok(Windows(request.dataset_urns.iter().cloned().collect()))
        };
        self.watch(request, |request| request.min_as_of.as_ref(), subject).await
    }

    async fn list_signals(
        &self,
        request: Request<v1::ListSignalsRequest>,
    ) -> Result<Response<v1::ListSignalsResponse>, Status> {
        self.answer(request, |request| request.min_as_of.as_ref(), signals::list).await
    }

    async fn list_evidence(
        &self,
        request: Request<v1::ListEvidenceRequest>,
    ) -> Result<Response<v1::ListEvidenceResponse>, Status> {
        self.answer(request, |request| request.min_as_of.as_ref(), evidence::list).await
    }

    async fn list_datasets(
        &self,
        request: Request<v1::ListDatasetsRequest>,
    ) -> Result<Response<v1::ListDatasetsResponse>, Status> {
        let answer = |view: &View, request: &_| datasets::list(view, &self.catalog.read().catalog, request);
        self.answer(request, |request| request.min_as_of.as_ref(), answer).await
    }

    async fn get_dataset(
        &self,
        request: Request<v1::GetDatasetRequest>,
    ) -> Result<Response<v1::GetDatasetResponse>, Status> {
        let answer = |view: &View, request: &_| datasets::get(view, &self.catalog.read().catalog, request);
        self.answer(request, |request| request.min_as_of.as_ref(), answer).await
    }

    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        let process = status::Process { workers: self.workers, uptime: self.started.elapsed() };
        let answer = |view: &View, _: &_| Ok(status::get(view, &self.catalog.read(), &self.metrics, &process));
        self.answer(request, |request| request.min_as_of.as_ref(), answer).await
    }
}
