//! Incidents to people: the service beside a real broker, with receivers of webhooks.

#![allow(clippy::unwrap_used)] // Functions that tests share stop the test, as tests do.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use faultline_proto::v1;
use faultline_tests::envelope::{Envelope, read_envelopes};
use faultline_tests::program::program;
use faultline_tests::receiver::{Behaviour, Receiver, Request};
use faultline_tests::scenario::order::Order;
use faultline_tests::scenario::orders;
use faultline_tests::scenario::random::Random;
use faultline_tests::servers::KafkaServer;
use faultline_tests::service::{CONTROL_TOPICS, Service};
use serde_json::Value;

const DATA: &str = "raw.orders.events";
const CAUSE: &str = "deployment:orders-svc:v3.17";
const LIMIT: Duration = Duration::from_secs(120);

fn broker() -> KafkaServer {
    let kafka = KafkaServer::start().unwrap();
    kafka.create_topic(DATA, 6).unwrap();
    for topic in CONTROL_TOPICS {
        kafka.create_topic(topic, 1).unwrap();
    }
    kafka
}

/// A service that keeps its data in `data`, so that another one can go on with it. It makes no snapshots: the other one
/// is to read everything again.
fn service(kafka: &KafkaServer, data: &Path, webhooks: &str) -> Service {
    let configuration = format!(
        "catalog: {}\ndata_dir: {}\nkafka: {{bootstrap: \"{}\", discovery_ms: 1000}}\n\
         snapshots: {{every_ms: 0}}\nwindows: {{idle_timeout_ms: 3600000}}\nsignals: {{refresh_ms: 200}}\n\
         webhooks:\n{webhooks}",
        orders::folder().display(),
        data.display(),
        kafka.bootstrap(),
    );
    let mut command = Command::new(program().unwrap());
    command.args(["--log", "info"]);
    let service = Service::run(command, 2, &configuration).unwrap();
    service.wait_until_ready().unwrap();
    service
}

fn capture() -> Vec<Envelope> {
    read_envelopes(fs::read(orders::folder().join("input.jsonl")).unwrap().as_slice()).unwrap()
}

/// Whole orders in the three windows after the incident's, and one far behind them that closes the last.
fn recovery() -> Vec<Envelope> {
    let mut random = Random::seeded(7);
    let begin: faultline_contracts::time::UnixMillis = "2023-10-27T10:00:00Z".parse().unwrap();
    let times = (0..900).map(|second| begin.plus(second * 1_000)).chain([begin.plus(1_800_000)]);
    let mut envelopes = Vec::new();
    for (number, time) in (200_000..).zip(times) {
        // The last goes to each partition: the watermark is that of the slowest.
        let partitions = if number == 200_900 { 0..6 } else { (number % 6) as i32..(number % 6) as i32 + 1 };
        for partition in partitions {
            let payload = serde_json::to_string(&Order::random(number, &mut random)).unwrap();
            let key = Some(format!("O-{number}"));
            envelopes.push(Envelope { partition, ..Envelope::text(DATA, time.0, key, payload) });
        }
    }
    envelopes
}

/// What the incident topic says, oldest first.
fn incidents(kafka: &KafkaServer) -> Vec<Value> {
    let messages = kafka.read_all("signal_factory.incidents").unwrap();
    messages.iter().map(|message| serde_json::from_slice(message.payload.as_deref().unwrap()).unwrap()).collect()
}

fn wait_for_incidents(
    kafka: &KafkaServer,
    service: &Service,
    what: &str,
    wanted: impl Fn(&[Value]) -> bool,
) -> Vec<Value> {
    let begin = Instant::now();
    loop {
        let found = incidents(kafka);
        if wanted(&found) {
            return found;
        }
        assert!(begin.elapsed() < LIMIT, "{what}: {:#?}\n{}", found.last(), service.log_tail());
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn taken(requests: &[Request]) -> Vec<&Request> {
    requests.iter().filter(|request| request.taken).collect()
}

fn wait(receiver: &Receiver, service: &Service, path: &str, wanted: impl Fn(&[Request]) -> bool) -> Vec<Request> {
    receiver.wait(path, LIMIT, wanted).unwrap_or_else(|found| panic!("{path}: {found:#?}\n{}", service.log_tail()))
}

/// Whether the receivers are up, as gauge and as `GetStatus` have it.
fn is_up(service: &Service) -> Option<bool> {
    let metrics = service.get("/metrics").unwrap();
    let gauge = metrics.lines().find_map(|line| line.strip_prefix("faultline_up{dependency=\"Webhook\"} "))?;
    let up = gauge == "1";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let status = runtime.block_on(async {
        service.client().await.unwrap().get_status(v1::GetStatusRequest::default()).await.unwrap().into_inner()
    });
    let webhook = status.dependencies.iter().find(|dependency| dependency.name == "webhook")?;
    (up == (webhook.state() == v1::dependency::State::Up)).then_some(up)
}

fn wait_until_up(service: &Service, up: bool) -> Duration {
    let begin = Instant::now();
    while is_up(service) != Some(up) {
        assert!(begin.elapsed() < LIMIT, "up: {:?}\n{}", is_up(service), service.log_tail());
        std::thread::sleep(Duration::from_millis(50));
    }
    begin.elapsed()
}

#[test]
fn one_page_with_its_cause_none_while_counts_grow_an_end_and_nothing_again_after_a_restart() {
    let (kafka, data) = (broker(), tempfile::tempdir().unwrap());
    let receiver = Receiver::start("127.0.0.1:0".parse().unwrap()).unwrap();
    fs::write(data.path().join("key"), "R0UT1NGK3Y\n").unwrap();
    let url = receiver.url();
    let webhooks = format!(
        "- {{name: pagerduty, format: pagerduty, url: {url}/pagerduty, routing_key: {{file: {}/key}}, settle_ms: 60000, \
            link: 'https://faultline.example/incidents/{{id}}'}}\n\
         - {{name: slack, format: slack, url: {url}/slack, settle_ms: 60000, min_severity: SEV-1, datasets: ['urn:dp:orders:*']}}\n\
         - {{name: json, url: {url}/json, settle_ms: 60000, signing_secret: s3cret, headers: {{authorization: Bearer t}}}}\n\
         - {{name: others, url: {url}/others, settle_ms: 0, datasets: ['urn:dp:payments:*']}}\n",
        data.path().display(),
    );
    let first = service(&kafka, data.path(), &webhooks);

    // Up to 400 failing orders: enough for the incident; the others come once people know of it.
    let (mut begin, mut rest) = (capture(), Vec::new());
    let failing = begin.iter().enumerate().filter(|(_, one)| {
        one.topic == DATA && one.payload.as_ref().is_some_and(|order| !order.contains("customer_id"))
    });
    let cut = failing.map(|(place, _)| place).nth(400).unwrap();
    rest.extend(begin.drain(cut..));
    kafka.publish(&begin).unwrap();
    for path in ["/pagerduty", "/slack", "/json"] {
        wait(&receiver, &first, path, |requests| !requests.is_empty());
    }
    kafka.publish(&rest).unwrap();
    let told = wait_for_incidents(&kafka, &first, "all failures", |incidents| {
        incidents.last().is_some_and(|last| last["evidence_count"] == 1_120)
    });
    let counts: BTreeSet<u64> = told.iter().map(|incident| incident["evidence_count"].as_u64().unwrap()).collect();
    assert!(counts.len() > 1, "the count has to grow for this test to say anything: {counts:?}");
    let incident = told.last().unwrap()["id"].as_str().unwrap().to_owned();

    let pages = receiver.requests("/pagerduty");
    assert_eq!(pages.len(), 1, "{pages:#?}");
    let page = &pages[0].body;
    assert_eq!((&page["event_action"], &page["dedup_key"]), (&"trigger".into(), &incident.as_str().into()));
    assert_eq!(page["routing_key"], "R0UT1NGK3Y");
    assert_eq!(page["links"][0]["href"], format!("https://faultline.example/incidents/{incident}"));
    let payload = &page["payload"];
    assert_eq!((&payload["severity"], &payload["source"]), (&"critical".into(), &"urn:dp:orders:created".into()));
    assert!(payload["summary"].as_str().unwrap().contains(CAUSE), "{payload:#}");
    assert_eq!(payload["custom_details"]["cause"]["subject"], CAUSE);
    let action = payload["custom_details"]["recommended_action"].as_str().unwrap();
    assert!(action.contains("Roll back orders-svc to v3.16"), "{action}");

    let slack = receiver.requests("/slack");
    assert_eq!(slack.len(), 1, "{slack:#?}");
    assert_eq!(slack[0].body["blocks"][0]["text"]["text"], "SEV-1 opened: Contract Violation - orders:created");
    assert!(slack[0].body.to_string().contains(CAUSE), "{:#}", slack[0].body);

    let json = receiver.requests("/json");
    assert_eq!(json.len(), 1, "{json:#?}");
    let message = &json[0].body;
    let in_topic = told.iter().find(|incident| incident["epoch"] == message["epoch"]).unwrap();
    for (field, value) in in_topic.as_object().unwrap() {
        assert_eq!(&message[field], value, "{field}");
    }
    assert_eq!(message["explanation"]["hypotheses"][0]["subject"], CAUSE);
    assert_eq!(json[0].header("authorization"), Some("Bearer t"));
    assert!(json[0].header("x-faultline-signature").unwrap().starts_with("sha256="));
    assert_eq!(json[0].header("x-faultline-delivery").unwrap().len(), 32);

    kafka.publish(&recovery()).unwrap();
    let is_over = |incidents: &[Value]| incidents.last().is_some_and(|last| last["status"] == "RESOLVED");
    wait_for_incidents(&kafka, &first, "resolved", is_over);
    let pages = wait(&receiver, &first, "/pagerduty", |requests| {
        requests.last().is_some_and(|last| last.body["event_action"] == "resolve")
    });
    assert_eq!(pages.last().unwrap().body["dedup_key"], incident.as_str());
    let news = wait(&receiver, &first, "/json", |requests| {
        requests.last().is_some_and(|last| last.body["status"] == "RESOLVED")
    });
    let ids: BTreeSet<_> = news.iter().map(|request| request.header("x-faultline-delivery")).collect();
    assert_eq!(ids.len(), news.len(), "each message has its own id");
    wait(&receiver, &first, "/slack", |requests| requests.len() == news.len());
    assert!(receiver.requests("/others").is_empty());
    assert_eq!(first.terminate().unwrap().code(), Some(0), "{}", first.log_tail());

    // The next process reads everything again and lives through the incident again.
    let (before, lines) = (pages.len() + 2 * news.len(), incidents(&kafka).len());
    let second = service(&kafka, data.path(), &webhooks);
    wait_for_incidents(&kafka, &second, "resolved again", |incidents| incidents.len() > lines && is_over(incidents));
    std::thread::sleep(Duration::from_secs(3));
    let count = |path| receiver.requests(path).len();
    assert_eq!(count("/pagerduty") + count("/slack") + count("/json"), before, "{:#?}", receiver.requests("/json"));
    assert_eq!(is_up(&second), Some(true));
}

#[test]
fn a_receiver_that_is_away_shows_and_is_told_when_it_is_back() {
    let (kafka, data) = (broker(), tempfile::tempdir().unwrap());
    let address = Receiver::start("127.0.0.1:0".parse().unwrap()).unwrap().address();
    let webhooks = format!(
        "- {{name: ops, format: pagerduty, url: 'http://{address}/pagerduty', routing_key: key, settle_ms: 60000, \
            probe_ms: 1000, retry: {{attempt_timeout_ms: 1000, total_timeout_ms: 2500}}}}\n"
    );
    let service = service(&kafka, data.path(), &webhooks);
    println!("nobody listens: degraded after {:?}, before there is anything to tell", wait_until_up(&service, false));

    kafka.publish(&capture()).unwrap();
    wait_for_incidents(&kafka, &service, "all failures", |incidents| {
        incidents.last().is_some_and(|last| last["evidence_count"] == 1_120)
    });
    // A call that began before tells what was known when it began, and ends within 2.5 s.
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(is_up(&service), Some(false));

    let receiver = Receiver::start(address).unwrap();
    println!("it listens: up after {:?}", wait_until_up(&service, true));
    let pages = wait(&receiver, &service, "/pagerduty", |requests| !requests.is_empty());
    assert_eq!(pages[0].body["payload"]["custom_details"]["failing_records"], 1_120, "the newest state");
    assert_eq!(pages.len(), 1, "{pages:#?}");

    // It fails, asks for patience, and says nothing, one after the other: degraded meanwhile, and the end is told once.
    receiver.behave(Behaviour::Status(503, None));
    kafka.publish(&recovery()).unwrap();
    println!("it fails: degraded after {:?}", wait_until_up(&service, false));
    let tried = receiver.requests("/pagerduty").len();
    receiver.behave(Behaviour::Silence);
    wait(&receiver, &service, "/pagerduty", |requests| requests.len() > tried + 1);
    assert_eq!(is_up(&service), Some(false));
    receiver.behave(Behaviour::Status(429, Some(3)));
    let tried = receiver.requests("/pagerduty").len();
    wait(&receiver, &service, "/pagerduty", |requests| requests.len() > tried);
    receiver.behave(Behaviour::Status(202, None));
    wait_until_up(&service, true);
    let pages = wait(&receiver, &service, "/pagerduty", |requests| {
        taken(requests).last().is_some_and(|last| last.body["event_action"] == "resolve")
    });
    let resolved = taken(&pages).iter().filter(|page| page.body["event_action"] == "resolve").count();
    assert_eq!(resolved, 1, "{pages:#?}");
    let ids: BTreeSet<_> =
        taken(&pages).iter().map(|page| page.header("x-faultline-delivery").unwrap().to_owned()).collect();
    assert_eq!(ids.len(), taken(&pages).len(), "nothing was taken twice");
    let metrics = service.get("/metrics").unwrap();
    assert!(metrics.contains("faultline_store_changes_total{store=\"webhook\",outcome=\"retried\"}"), "{metrics}");
}

#[test]
fn a_receiver_that_refuses_is_not_asked_again_and_shows() {
    let (kafka, data) = (broker(), tempfile::tempdir().unwrap());
    let receiver = Receiver::start("127.0.0.1:0".parse().unwrap()).unwrap();
    receiver.behave(Behaviour::Status(403, None));
    let webhooks = format!("- {{name: ops, url: '{}/json', settle_ms: 60000}}\n", receiver.url());
    let service = service(&kafka, data.path(), &webhooks);
    kafka.publish(&capture()).unwrap();
    wait_for_incidents(&kafka, &service, "all failures", |incidents| {
        incidents.last().is_some_and(|last| last["evidence_count"] == 1_120)
    });
    wait(&receiver, &service, "/json", |requests| !requests.is_empty());
    wait_until_up(&service, false);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(receiver.requests("/json").len(), 1);
    assert_eq!(is_up(&service), Some(false), "until it takes something");
    let metrics = service.get("/metrics").unwrap();
    assert!(metrics.contains("faultline_store_changes_total{store=\"webhook\",outcome=\"refused\"}"), "{metrics}");
    receiver.behave(Behaviour::Status(200, None));
    kafka.publish(&recovery()).unwrap();
    wait_until_up(&service, true);
}
