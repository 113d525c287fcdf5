//! The service over a real connection, on a view by hand.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use faultline_contracts::incident::IncidentStatus;
use faultline_operators::blast_radius::ReachQuery;
use faultline_proto::v1::{self, faultline_client::FaultlineClient};
use tonic::{Code, Request, transport::Channel};
use tonic_types::StatusExt;

use super::{
    Limits, Parts, Server,
    standing::{StandQueries, Standing},
    start,
};
use crate::{
    answers::{blast_radius::Bounds, fixture},
    catalog::CatalogInForce,
    config,
    metrics::Metrics,
    view::{Change, EpochChanges, SharedView},
};

/// What stands, told by an engine that does nothing else.
#[derive(Debug, Default, Clone)]
struct Stood(Arc<Mutex<Vec<ReachQuery>>>);

struct Held(Stood);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().pop();
    }
}

impl StandQueries for Stood {
    fn stand(&self, query: ReachQuery) -> Box<dyn Standing> {
        self.0.lock().unwrap().push(query);
        Box::new(Held(self.clone()))
    }
}

struct Service {
    view: Arc<SharedView>,
    stood: Stood,
    server: Server,
    runtime: tokio::runtime::Runtime,
}

impl Service {
    fn start(limits: Limits) -> Self {
        let view = SharedView::new(4);
        view.publish(fixture::changes());
        let stood = Stood::default();
        let parts = Parts {
            view: Arc::clone(&view),
            standing: Arc::new(stood.clone()),
            metrics: Metrics::new(),
            catalog: CatalogInForce::fixed(Arc::new(fixture::catalog())),
            workers: 1,
            bounds: Bounds::default(),
            limits,
        };
        let any = "127.0.0.1:0".parse().unwrap();
        let server = start(config::Serve { grpc: any, metrics: any }, parts).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { view, stood, server, runtime }
    }

    async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.server.grpc)).unwrap().connect().await.unwrap()
    }

    async fn client(&self) -> FaultlineClient<Channel> {
        FaultlineClient::new(self.channel().await)
    }

    fn run<T>(&self, test: impl Future<Output = T>) -> T {
        self.runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), test).await.unwrap() })
    }

    /// Publishes a change of the orders incident to a state, as an epoch of its own.
    fn move_orders(&self, status: IncidentStatus) {
        let (epoch, before) = {
            let view = self.view.read();
            (view.epoch + 20, view.incidents[&fixture::orders()].clone())
        };
        let after = faultline_contracts::incident::Incident { status, ..before.clone() };
        let changes = vec![(Change::Incident(before), -1), (Change::Incident(after), 1)];
        self.view.publish(EpochChanges { epoch, changes });
    }
}

fn reason(status: &tonic::Status) -> String {
    status.get_details_error_info().unwrap().reason
}

#[test]
fn every_list_and_get_answers() {
    let service = Service::start(Limits::default());
    service.run(async {
        let mut client = service.client().await;
        let id = fixture::orders().to_string();
        let incidents = client.list_incidents(v1::ListIncidentsRequest::default()).await.unwrap().into_inner();
        assert_eq!(incidents.total_size, 2);
        let incident = v1::GetIncidentRequest { id: id.clone(), min_as_of: None };
        assert_eq!(client.get_incident(incident).await.unwrap().into_inner().incident.unwrap().id, id);
        assert_eq!(client.list_signals(v1::ListSignalsRequest::default()).await.unwrap().into_inner().total_size, 1);
        let windows = client.list_compliance_windows(v1::ListComplianceWindowsRequest::default()).await.unwrap();
        assert_eq!(windows.into_inner().total_size, 2);
        assert_eq!(client.list_evidence(v1::ListEvidenceRequest::default()).await.unwrap().into_inner().total_size, 3);
        assert_eq!(client.list_datasets(v1::ListDatasetsRequest::default()).await.unwrap().into_inner().total_size, 2);
        let dataset = v1::GetDatasetRequest { urn: fixture::ORDERS.into(), min_as_of: None };
        assert_eq!(client.get_dataset(dataset).await.unwrap().into_inner().dataset.unwrap().tier, 1);
        let explain = v1::ExplainIncidentRequest { incident_id: id, top_k: 0, min_as_of: None };
        assert_eq!(client.explain_incident(explain).await.unwrap().into_inner().hypotheses.len(), 2);
        let reach = v1::GetBlastRadiusRequest { root: fixture::ORDERS.into(), ..Default::default() };
        let reach = client.get_blast_radius(reach).await.unwrap().into_inner();
        assert_eq!((reach.total_size, reach.as_of.unwrap().offsets[0].offset), (4, fixture::OFFSET));
        let status = client.get_status(v1::GetStatusRequest::default()).await.unwrap().into_inner();
        assert_eq!((status.workers, status.catalog.unwrap().datasets), (1, 2));
    });
}

#[test]
fn errors_carry_their_details() {
    let service = Service::start(Limits::default());
    service.run(async {
        let mut client = service.client().await;
        let get = |id: &str| v1::GetIncidentRequest { id: id.into(), min_as_of: None };
        let error = client.get_incident(get("INC-00000000")).await.unwrap_err();
        assert_eq!((error.code(), reason(&error).as_str()), (Code::NotFound, "NOT_FOUND"));
        let error = client.get_incident(get("7721")).await.unwrap_err();
        assert_eq!((error.code(), reason(&error).as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
        assert_eq!(error.get_details_bad_request().unwrap().field_violations[0].field, "id");
        let watch = v1::WatchExplanationRequest { incident_id: "INC-00000000".into(), ..Default::default() };
        assert_eq!(client.watch_explanation(watch).await.unwrap_err().code(), Code::NotFound);
    });
}

#[test]
fn min_as_of_is_waited_for_until_the_deadline() {
    let service = Service::start(Limits::default());
    service.run(async {
        let mut client = service.client().await;
        let epoch = service.view.read().epoch;
        let min = |epoch| Some(v1::MinAsOf { epoch, offsets: vec![] });
        let view = Arc::clone(&service.view);
        let closing = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            view.close(epoch + 1);
        });
        let status = client.get_status(v1::GetStatusRequest { min_as_of: min(epoch + 1) }).await.unwrap().into_inner();
        assert!(status.as_of.unwrap().epoch > epoch);
        closing.await.unwrap();

        let mut late = Request::new(v1::GetStatusRequest { min_as_of: min(epoch + 2) });
        late.set_timeout(Duration::from_millis(400));
        let error = client.get_status(late).await.unwrap_err();
        assert_eq!((error.code(), reason(&error).as_str()), (Code::DeadlineExceeded, "MIN_AS_OF_NOT_REACHED"));

        let unknown = v1::PartitionOffset { topic: "nobody.reads".into(), partition: 0, offset: 0 };
        let min_as_of = Some(v1::MinAsOf { epoch: 0, offsets: vec![unknown] });
        let mut unknown = Request::new(v1::GetStatusRequest { min_as_of });
        unknown.set_timeout(Duration::from_millis(400));
        assert_eq!(client.get_status(unknown).await.unwrap_err().code(), Code::NotFound);
    });
}

#[test]
fn a_watch_tells_all_then_changes_then_that_the_service_stops() {
    let service = Service::start(Limits { heartbeat: Duration::from_millis(300), ..Limits::default() });
    let mut messages = service.run(async {
        let mut client = service.client().await;
        let open = v1::incident::Status::Open.into();
        let request = v1::WatchIncidentsRequest { statuses: vec![open], ..Default::default() };
        let mut messages = client.watch_incidents(request).await.unwrap().into_inner();
        let first = messages.message().await.unwrap().unwrap();
        assert!(first.full && first.upserts.len() == 2);

        service.move_orders(IncidentStatus::Mitigated);
        let gone = messages.message().await.unwrap().unwrap();
        assert!(!gone.full && gone.upserts.is_empty(), "{gone:?}");
        assert_eq!(gone.removals, [fixture::orders().to_string()]);

        service.move_orders(IncidentStatus::Open);
        let back = messages.message().await.unwrap().unwrap();
        assert_eq!((back.upserts.len(), back.removals.len()), (1, 0));

        let heartbeat = messages.message().await.unwrap().unwrap();
        assert!(!heartbeat.full && heartbeat.upserts.is_empty() && heartbeat.as_of.is_some());
        messages
    });
    let Service { server, runtime, .. } = service;
    let stopping = std::thread::spawn(|| server.stop());
    runtime.block_on(async {
        loop {
            match messages.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended without a word"),
                Err(status) => break assert_eq!(status.code(), Code::Unavailable),
            }
        }
    });
    drop(runtime);
    stopping.join().unwrap();
}

#[test]
fn a_watch_of_a_blast_radius_stands_while_it_is_open() {
    let service = Service::start(Limits::default());
    service.run(async {
        let mut client = service.client().await;
        let request = v1::WatchBlastRadiusRequest { root: fixture::ORDERS.into(), ..Default::default() };
        let mut messages = client.watch_blast_radius(request).await.unwrap().into_inner();
        let first = messages.message().await.unwrap().unwrap();
        assert!(first.full && first.total == 4 && first.upserts.len() == 5, "the root is among them: {first:?}");
        assert_eq!(service.stood.0.lock().unwrap()[0].root, fixture::ORDERS.into());

        let flow = faultline_contracts::lineage::FlowEdge {
            from: "delta:orders_gold_daily".into(),
            to: "report:board".into(),
            kind: faultline_contracts::lineage::FlowKind::ConsumedBy,
            since: faultline_contracts::time::UnixMillis(0),
        };
        let epoch = service.view.read().epoch + 20;
        service.view.publish(EpochChanges { epoch, changes: vec![(Change::Flow(flow), 1)] });
        let change = messages.message().await.unwrap().unwrap();
        assert!(!change.full && change.removals.is_empty());
        assert_eq!((change.upserts.len(), change.upserts[0].id.as_str(), change.total), (1, "report:board", 5));

        drop(messages);
        while !service.stood.0.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}

#[test]
fn an_explanation_is_sent_whole_and_ends_with_its_incident() {
    let service = Service::start(Limits::default());
    service.run(async {
        let mut client = service.client().await;
        let incident_id = fixture::orders().to_string();
        let request = v1::WatchExplanationRequest { incident_id: incident_id.clone(), top_k: 1, min_as_of: None };
        let mut messages = client.watch_explanation(request).await.unwrap().into_inner();
        let first = messages.message().await.unwrap().unwrap();
        assert_eq!(first.upsert.unwrap().hypotheses.len(), 1);
        let (epoch, incident) = {
            let view = service.view.read();
            (view.epoch + 20, view.incidents[&fixture::orders()].clone())
        };
        service.view.publish(EpochChanges { epoch, changes: vec![(Change::Incident(incident), -1)] });
        assert_eq!(messages.message().await.unwrap().unwrap().removal, incident_id);
        assert!(messages.message().await.unwrap().is_none(), "the stream ends");
    });
}

#[test]
fn a_reader_that_fell_behind_gets_everything_again() {
    // The task blocks after two messages that nobody reads; then more epochs pass than the view's backlog holds.
    let service = Service::start(Limits { backlog: 1, ..Limits::default() });
    let (out, mut messages) = tokio::sync::mpsc::channel(1);
    let (_stop, stopped) = tokio::sync::watch::channel(false);
    let place = Arc::new(tokio::sync::Semaphore::new(1)).try_acquire_owned().unwrap();
    service.run(async {
        let view = Arc::clone(&service.view);
        let subject = super::watch::subjects::Incidents(Default::default());
        let watch =
            super::watch::Watch { view, subject, out, stopped, heartbeat: Duration::from_secs(60), _place: place };
        tokio::spawn(watch.run());
        tokio::task::yield_now().await;
        for round in 0..40 {
            service.move_orders(if round % 2 == 0 { IncidentStatus::Mitigated } else { IncidentStatus::Acknowledged });
            tokio::task::yield_now().await;
        }
        let mut full = 0;
        let mut last = None;
        while let Ok(Some(Ok(message))) = tokio::time::timeout(Duration::from_millis(200), messages.recv()).await {
            full += usize::from(message.full);
            let orders = message.upserts.into_iter().find(|incident| incident.id == fixture::orders().to_string());
            last = orders.map(|incident| incident.status()).or(last);
        }
        assert_eq!((full, last), (2, Some(v1::incident::Status::Acknowledged)), "the state, and the state again");
    });
}

#[test]
fn watchers_are_as_many_as_they_may_be() {
    let service = Service::start(Limits { watchers: 1, ..Limits::default() });
    service.run(async {
        let mut client = service.client().await;
        let _first = client.watch_compliance(v1::WatchComplianceRequest::default()).await.unwrap();
        let error = client.watch_compliance(v1::WatchComplianceRequest::default()).await.unwrap_err();
        assert_eq!((error.code(), reason(&error).as_str()), (Code::ResourceExhausted, "TOO_MANY_WATCHERS"));
    });
}

#[test]
fn health_and_metrics_are_served_and_addresses_are_told() {
    let service = Service::start(Limits::default());
    service.run(async {
        let mut health = tonic_health::pb::health_client::HealthClient::new(service.channel().await);
        let check = |service: &str| tonic_health::pb::HealthCheckRequest { service: service.into() };
        let status = health.check(check("faultline.v1.Faultline")).await.unwrap().into_inner().status;
        assert_eq!(status, tonic_health::pb::health_check_response::ServingStatus::Serving as i32);
        assert_eq!(health.check(check("nobody")).await.unwrap_err().code(), Code::NotFound);

        use tonic_reflection::pb::v1::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest,
        };
        let symbol = MessageRequest::FileContainingSymbol("faultline.v1.Faultline".into());
        let request = ServerReflectionRequest { host: String::new(), message_request: Some(symbol) };
        let mut reflection = ServerReflectionClient::new(service.channel().await);
        let answers = reflection.server_reflection_info(tokio_stream::iter([request])).await.unwrap();
        let answer = answers.into_inner().message().await.unwrap().unwrap();
        assert!(format!("{:?}", answer.message_response).contains("FileDescriptorResponse"));

        let text = get(service.server.metrics, "/metrics").await;
        assert!(text.starts_with("HTTP/1.1 200") && text.contains("faultline_epoch_milliseconds"), "{text}");
        assert!(get(service.server.metrics, "/healthz").await.ends_with("ok\n"));
    });
}

async fn get(address: std::net::SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}
