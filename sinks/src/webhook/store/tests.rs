use std::sync::{Arc, Mutex};

use faultline_contracts::incident::Severity;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    retry::RetrySettings,
    webhook::{explained::tests::explanation, message::tests::incident, settings::Format},
};

/// A receiver that answers as it is told to.
#[derive(Debug, Clone, Default)]
struct Scripted(Arc<Mutex<Script>>);

#[derive(Debug, Default)]
struct Script {
    /// The next statuses; 202 when there are no more.
    statuses: Vec<u16>,
    retry_after: Option<&'static str>,
    unreachable: bool,
    /// How long it takes to answer.
    takes: Duration,
    /// How long it was given for each message.
    allowances: Vec<Duration>,
    /// What was posted: message id, body, status.
    posted: Vec<(String, Value, u16)>,
}

impl Scripted {
    fn with<T>(&self, with: impl FnOnce(&mut Script) -> T) -> T {
        with(&mut self.0.lock().unwrap())
    }

    fn answers(&self, statuses: &[u16]) {
        self.with(|script| script.statuses = statuses.to_vec());
    }

    /// `event_action` and incident of what was taken.
    fn taken(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.with(|script| {
            let taken = script.posted.iter().filter(|(_, _, status)| *status < 300);
            taken.map(|(_, body, _)| (text(&body["event_action"]), text(&body["dedup_key"]))).collect()
        })
    }
}

impl Post for Scripted {
    fn post(&mut self, body: Vec<u8>, delivery: &str, timeout: Duration) -> Answer {
        self.with(|script| {
            script.allowances.push(timeout);
            std::thread::sleep(script.takes.min(timeout));
            let status = if script.statuses.is_empty() { 202 } else { script.statuses.remove(0) };
            script.posted.push((delivery.to_owned(), serde_json::from_slice(&body).unwrap(), status));
            if script.takes > timeout {
                // It has the message all the same; only its answer is not waited for.
                let error = WebhookError::Connect(std::io::ErrorKind::TimedOut.into());
                return Answer::NotNow { error, wait: Duration::ZERO };
            }
            Answer::of(status, script.retry_after, b"", 0)
        })
    }

    fn reach(&mut self) -> Result<(), WebhookError> {
        match self.with(|script| script.unreachable) {
            true => Err(WebhookError::Connect(std::io::ErrorKind::ConnectionRefused.into())),
            false => Ok(()),
        }
    }
}

fn settings() -> WebhookSettings {
    WebhookSettings {
        name: "ops".into(),
        format: Format::Pagerduty,
        routing_key: Some("key".into()),
        // Time for all messages, and one attempt of each in a call, so that scripts are short: no pause fits into it.
        retry: RetrySettings {
            total_timeout_ms: 60_000,
            attempt_timeout_ms: 1_000,
            first_pause_ms: 1 << 52,
            longest_pause_ms: 1 << 52,
        },
        settle_ms: 0,
        per_minute: 100_000,
        ..WebhookSettings::default()
    }
}

fn store(settings: WebhookSettings, receiver: &Scripted, ledger: Option<&Path>) -> WebhookStore<Scripted> {
    let ledger = Ledger::open(ledger, &settings.name).unwrap();
    WebhookStore::with(settings, "key".into(), receiver.clone(), ledger)
}

fn upsert(epoch: u64, incident: Incident) -> StoreChange {
    StoreChange::Upsert { epoch, item: StoreItem::Incident(incident) }
}

fn explained(epoch: u64, id: IncidentId) -> StoreChange {
    let item = StoreItem::Explanation { incident: id, json: explanation().to_string() };
    StoreChange::Upsert { epoch, item }
}

fn with_status(status: IncidentStatus) -> Incident {
    Incident { status, ..incident() }
}

fn actions(receiver: &Scripted) -> Vec<String> {
    receiver.taken().into_iter().map(|(action, _)| action).collect()
}

#[test]
fn an_incident_is_told_once_with_its_cause_and_its_end_once() {
    let receiver = Scripted::default();
    let mut store = store(settings(), &receiver, None);
    let id = incident().id;
    let outcome = store.apply(vec![upsert(1, incident()), explained(1, id)]);
    assert_eq!((outcome.applied.written, outcome.left.len(), outcome.error.is_none()), (2, 0, true));
    for epoch in 2..50 {
        let grown = Incident { evidence_count: 1_120 + epoch, ..incident() };
        store.apply(vec![upsert(epoch, grown), explained(epoch, id)]);
    }
    assert_eq!(actions(&receiver), ["trigger"]);
    let body = receiver.with(|script| script.posted[0].1.clone());
    assert_eq!(body["payload"]["custom_details"]["cause"]["subject"], "deployment:orders-svc:v3.17");
    assert_eq!((&body["routing_key"], &body["dedup_key"]), (&json!("key"), &json!("INC-00000005")));
    store.apply(vec![upsert(60, with_status(IncidentStatus::Resolved))]);
    store.apply(vec![upsert(61, with_status(IncidentStatus::Resolved)), explained(61, id)]);
    assert_eq!(actions(&receiver), ["trigger", "resolve"]);
    assert!(store.known.is_empty(), "what is over is not kept");
}

#[test]
fn a_restart_tells_nobody_anything_twice_and_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("webhooks.db");
    let receiver = Scripted::default();
    let life = |store: &mut WebhookStore<Scripted>, from: u64| {
        store.apply(vec![upsert(from, Incident { evidence_count: 60, ..incident() })]);
        store.apply(vec![upsert(from + 1, incident()), explained(from + 1, incident().id)]);
        store.apply(vec![upsert(from + 2, with_status(IncidentStatus::Mitigated))]);
    };
    life(&mut store(settings(), &receiver, Some(&path)), 1);
    assert_eq!(actions(&receiver), ["trigger"; 2], "opened and cause found");
    let mut again = store(settings(), &receiver, Some(&path));
    life(&mut again, 100);
    assert_eq!(actions(&receiver).len(), 2);
    let worse = Incident { evidence_count: 1_121, ..incident() };
    again.apply(vec![upsert(199, worse)]);
    assert_eq!(actions(&receiver)[2..], ["trigger"], "it goes on after what was not said");
    again.apply(vec![upsert(200, with_status(IncidentStatus::Resolved))]);
    assert_eq!(actions(&receiver)[3..], ["resolve"]);
    let other = WebhookSettings { name: "dev".into(), ..settings() };
    life(&mut store(other, &receiver, Some(&path)), 300);
    assert_eq!(actions(&receiver).len(), 6, "another receiver was told nothing yet");
}

#[test]
fn a_receiver_that_is_away_is_told_the_newest_under_the_same_id_when_it_is_back() {
    let receiver = Scripted::default();
    receiver.answers(&[503, 503, 500]);
    let mut store = store(settings(), &receiver, None);
    for epoch in 1..4 {
        let outcome = store.apply(vec![upsert(epoch, incident())]);
        assert_eq!(outcome.left, [upsert(epoch, incident())]);
        assert!(outcome.error.unwrap().is_transient());
    }
    store.apply(vec![upsert(4, incident())]);
    assert_eq!(actions(&receiver), ["trigger"]);
    let ids = receiver.with(|script| script.posted.iter().map(|(id, ..)| id.clone()).collect::<Vec<_>>());
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[test]
fn a_slow_receiver_is_not_hurried_and_what_there_is_no_time_for_is_no_outage() {
    let receiver = Scripted::default();
    receiver.with(|script| script.takes = Duration::from_millis(350));
    let retry = RetrySettings { attempt_timeout_ms: 500, total_timeout_ms: 600, ..settings().retry };
    let mut store = store(WebhookSettings { retry, ..settings() }, &receiver, None);
    let over = Incident { id: IncidentId(6), severity: Severity::Sev4, ..with_status(IncidentStatus::Resolved) };
    let mut left = vec![upsert(1, incident()), upsert(1, over)];
    // The second incident takes two messages.
    for waiting in [1, 1, 0] {
        let outcome = store.apply(left);
        assert!(outcome.error.is_none(), "{:?}", outcome.error);
        assert_eq!(outcome.left.len(), waiting);
        left = outcome.left;
    }
    let taken = receiver.taken();
    let taken: Vec<_> = taken.iter().map(|(action, id)| (action.as_str(), id.as_str())).collect();
    assert_eq!(taken, [("trigger", "INC-00000005"), ("trigger", "INC-00000006"), ("resolve", "INC-00000006")]);
    receiver.with(|script| assert_eq!(script.allowances, [Duration::from_millis(500); 3]));
    store.probe().unwrap();
}

#[test]
fn what_takes_longer_than_an_attempt_may_is_an_outage() {
    let receiver = Scripted::default();
    receiver.with(|script| script.takes = Duration::from_millis(20));
    let retry = RetrySettings { attempt_timeout_ms: 10, ..settings().retry };
    let mut store = store(WebhookSettings { retry, ..settings() }, &receiver, None);
    let outcome = store.apply(vec![upsert(1, incident())]);
    assert_eq!(outcome.left.len(), 1);
    assert!(outcome.error.unwrap().is_transient());
}

#[test]
fn what_opened_and_ended_unheard_is_triggered_before_it_is_resolved_across_failures() {
    let receiver = Scripted::default();
    receiver.answers(&[503, 202, 503]);
    let mut store = store(settings(), &receiver, None);
    let over = || vec![upsert(5, with_status(IncidentStatus::Resolved))];
    assert_eq!(store.apply(over()).left.len(), 1);
    assert_eq!(store.apply(over()).left.len(), 1, "triggered, not resolved");
    assert_eq!(store.apply(over()).left.len(), 0);
    assert_eq!(actions(&receiver), ["trigger", "resolve"]);
}

#[test]
fn a_refusal_is_final_counted_and_shown_until_something_is_taken() {
    let receiver = Scripted::default();
    receiver.answers(&[400]);
    let mut store = store(settings(), &receiver, None);
    let outcome = store.apply(vec![upsert(1, incident())]);
    assert_eq!((outcome.applied.refused, outcome.left.len()), (1, 0));
    assert!(!outcome.error.unwrap().is_transient());
    let grown = Incident { evidence_count: 5_000, ..incident() };
    assert_eq!(store.apply(vec![upsert(2, grown)]).applied.refused, 0, "it is not tried again");
    assert_eq!(receiver.with(|script| script.posted.len()), 1);
    assert!(store.probe().unwrap_err().to_string().contains("ops"));
    let other = Incident { id: IncidentId(6), ..incident() };
    store.apply(vec![upsert(3, incident())]);
    assert!(store.probe().is_err(), "nothing to tell is no success");
    store.apply(vec![upsert(3, other)]);
    store.probe().unwrap();
    assert_eq!(store.ledger.told(incident().id).unwrap(), None, "a restart with right settings may try again");
}

#[test]
fn an_incident_whose_end_is_refused_is_not_kept() {
    let receiver = Scripted::default();
    receiver.answers(&[202, 503, 400, 400]);
    let mut store = store(settings(), &receiver, None);
    store.apply(vec![upsert(1, incident())]);
    let over = || upsert(2, with_status(IncidentStatus::Resolved));
    assert_eq!(store.apply(vec![over()]).left, [over()]);
    assert_eq!((store.known.len(), store.failures.len()), (1, 1), "what may still be told is kept");
    let outcome = store.apply(vec![over()]);
    assert_eq!((outcome.applied.refused, outcome.left.len()), (1, 0));
    assert!(store.known.is_empty() && store.failures.is_empty());
    // One that is over before anything was told of it: what would be its second message is not sent either.
    let brief = Incident { id: IncidentId(6), ..with_status(IncidentStatus::Resolved) };
    assert_eq!(store.apply(vec![upsert(3, brief)]).applied.refused, 1);
    assert!(store.known.is_empty() && store.failures.is_empty());
    store.apply(vec![over()]);
    assert_eq!(receiver.with(|script| script.posted.len()), 4, "it is not tried again");
}

#[test]
fn a_receiver_that_asks_for_it_is_left_alone() {
    let receiver = Scripted::default();
    receiver.answers(&[429]);
    receiver.with(|script| script.retry_after = Some("3600"));
    let mut store = store(settings(), &receiver, None);
    store.apply(vec![upsert(1, incident())]);
    let outcome = store.apply(vec![upsert(2, incident())]);
    assert_eq!((outcome.left.len(), receiver.with(|script| script.posted.len())), (1, 1));
    let error = outcome.error.unwrap();
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("300 s"), "{error:?}");
    store.alone_until = Some(Instant::now());
    assert_eq!(store.apply(vec![upsert(3, incident())]).left.len(), 0);
}

#[test]
fn one_incident_that_always_fails_does_not_keep_others_from_being_told() {
    let receiver = Scripted::default();
    receiver.answers(&[500, 202, 500, 202]);
    let mut store = store(settings(), &receiver, None);
    let (urgent, other) = (incident(), Incident { id: IncidentId(6), severity: Severity::Sev4, ..incident() });
    let outcome = store.apply(vec![upsert(1, urgent), upsert(1, other)]);
    assert_eq!(outcome.left.len(), 2, "the first failed, the second had to wait");
    let outcome = store.apply(outcome.left);
    assert_eq!(outcome.left.len(), 1);
    assert_eq!(receiver.taken(), [("trigger".to_owned(), "INC-00000006".to_owned())]);
    assert_eq!(store.apply(outcome.left).left.len(), 0);
}

#[test]
fn no_more_than_a_minutes_worth_is_sent() {
    let receiver = Scripted::default();
    let mut store = store(WebhookSettings { per_minute: 2, ..settings() }, &receiver, None);
    let changes = (0..5).map(|id| upsert(1, Incident { id: IncidentId(id), ..incident() })).collect();
    let outcome = store.apply(changes);
    assert_eq!((outcome.applied.written, outcome.left.len()), (2, 3));
    let error = outcome.error.unwrap();
    assert_eq!(
        std::error::Error::source(&error).unwrap().to_string(),
        "3 incidents wait: more messages than `per_minute` allows"
    );
}

#[test]
fn an_opening_waits_for_its_cause_but_not_long() {
    let receiver = Scripted::default();
    let mut store = store(WebhookSettings { settle_ms: 50, ..settings() }, &receiver, None);
    let outcome = store.apply(vec![upsert(1, incident())]);
    assert!(outcome.error.is_none() && outcome.left.len() == 1 && actions(&receiver).is_empty());
    store.apply(vec![explained(1, incident().id)]);
    assert_eq!(actions(&receiver), ["trigger"]);
    let other = Incident { id: IncidentId(6), ..incident() };
    let mut left = vec![upsert(2, other)];
    while !left.is_empty() {
        left = store.apply(left).left;
    }
    assert_eq!(actions(&receiver), ["trigger", "trigger"]);
}

#[test]
fn filters_and_ages_are_for_openings() {
    let receiver = Scripted::default();
    let filtered = WebhookSettings { min_severity: Severity::Sev2, ..settings() };
    let mut filtering = store(filtered, &receiver, None);
    let mild = Incident { severity: Severity::Sev3, ..incident() };
    filtering.apply(vec![upsert(1, mild.clone())]);
    assert!(actions(&receiver).is_empty() && filtering.known.is_empty());
    filtering.apply(vec![upsert(2, incident())]);
    filtering.apply(vec![upsert(3, Incident { status: IncidentStatus::Resolved, ..mild })]);
    assert_eq!(actions(&receiver), ["trigger", "resolve"], "who was told of it is told of its end");
    let other = Incident { id: IncidentId(6), ..incident() };
    receiver.answers(&[503]);
    assert_eq!(filtering.apply(vec![upsert(4, other.clone())]).left.len(), 1);
    filtering.apply(vec![upsert(5, Incident { severity: Severity::Sev3, ..other })]);
    assert!(filtering.known.is_empty() && filtering.failures.is_empty(), "what became mild untold is not kept");

    let receiver = Scripted::default();
    let mut recent = store(WebhookSettings { max_age_ms: Some(86_400_000), ..settings() }, &receiver, None);
    recent.apply(vec![upsert(1, incident())]);
    assert!(actions(&receiver).is_empty(), "it is of 2023");
    let first = faultline_contracts::ids::EvidenceId::from_parts(now(), 0, 0, 0);
    recent.apply(vec![upsert(2, Incident { evidence_ids: vec![first], ..incident() })]);
    assert_eq!(actions(&receiver), ["trigger"]);
}

#[test]
fn what_is_taken_back_is_told_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("webhooks.db");
    let receiver = Scripted::default();
    let json = WebhookSettings { format: Format::Json, url: Some("http://localhost".into()), ..settings() };
    store(json.clone(), &receiver, Some(&path)).apply(vec![upsert(1, incident())]);
    let mut again = store(json, &receiver, Some(&path));
    let delete = |epoch, id| StoreChange::Delete { epoch, key: StoreKey::Incident(IncidentId(id)) };
    let outcome = again.apply(vec![delete(1_698_400_800_123, 5), delete(2, 77)]);
    assert_eq!((outcome.applied.written, outcome.applied.absent), (1, 1));
    let body = receiver.with(|script| script.posted.last().unwrap().1.clone());
    assert_eq!(
        (&body["status"], &body["retracted"], &body["news"]),
        (&json!("RESOLVED"), &json!(true), &json!(["retracted"]))
    );
    assert_eq!(body["resolved_at"], "2023-10-27T10:00:00.123Z");
    again.apply(vec![delete(3_000_000_000_000, 5)]);
    assert_eq!(receiver.with(|script| script.posted.len()), 2);
}

#[test]
fn an_older_epoch_changes_nothing() {
    let receiver = Scripted::default();
    let mut store = store(settings(), &receiver, None);
    store.apply(vec![upsert(5, incident())]);
    let outcome = store.apply(vec![upsert(4, with_status(IncidentStatus::Resolved))]);
    assert_eq!((outcome.applied.stale, actions(&receiver).len()), (1, 1));
}

#[test]
fn an_idle_receiver_is_asked_for_a_connection_now_and_then() {
    let receiver = Scripted::default();
    let mut store = store(settings(), &receiver, None);
    store.probe().unwrap();
    receiver.with(|script| script.unreachable = true);
    store.probe().unwrap();
    store.probed = None;
    assert!(store.probe().unwrap_err().is_transient());
    assert!(store.probe().is_err(), "until it can be reached");
    let filtered = Incident { severity: Severity::Sev3, ..incident() };
    store.settings.min_severity = Severity::Sev1;
    assert!(store.apply(vec![upsert(1, filtered)]).error.is_some(), "nothing to tell is no success");
    store.settings.min_severity = Severity::Sev4;
    receiver.with(|script| script.unreachable = false);
    assert!(
        store.apply(vec![upsert(1, Incident { severity: Severity::Sev4, ..incident() })]).error.is_none(),
        "it took it"
    );
    store.probe().unwrap();
    store.settings.probe_ms = 0;
    receiver.with(|script| script.unreachable = true);
    store.probed = None;
    store.probe().unwrap();
}

#[test]
fn no_secret_is_shown() {
    let secret = |text: &str| Some(text.into());
    let settings = WebhookSettings {
        url: secret("http://hunter2:hunter2@hunter2.example/hunter2"),
        routing_key: secret("hunter2"),
        signing_secret: secret("hunter2"),
        proxy: secret("http://hunter2:hunter2@localhost:1"),
        headers: [("authorization".to_owned(), "hunter2".into())].into(),
        ..settings()
    };
    let client = format!("{:?}", Client::new(&settings).unwrap());
    let store = format!("{:#?}", WebhookStore::open(&settings, None).unwrap());
    assert!(store.contains("\"ops\""), "{store}");
    for shown in [client, store] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[derive(Debug, Clone)]
struct Turn {
    incident: u64,
    status: IncidentStatus,
    evidence: u64,
    restart: bool,
}

fn turn() -> impl Strategy<Value = Turn> {
    use IncidentStatus::{Acknowledged, Mitigated, Open, Resolved};
    let status = prop_oneof![Just(Open), Just(Acknowledged), Just(Mitigated), Just(Resolved)];
    (0_u64..3, status, 0_u64..6, prop::bool::weighted(0.1)).prop_map(|(incident, status, evidence, restart)| Turn {
        incident,
        status,
        evidence,
        restart,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever incidents go through, whatever the receiver answers, and whenever the process starts anew: nothing waits at
    /// the end, alerts open before they close, each is closed where its incident is over, and no message is taken twice.
    #[test]
    fn every_alert_ends_as_its_incident(turns in prop::collection::vec(turn(), 1..30), answers in prop::collection::vec(prop_oneof![3 => Just(202_u16), 2 => Just(503), 1 => Just(429)], 0..60)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("webhooks.db");
        let receiver = Scripted::default();
        receiver.answers(&answers);
        let mut to = store(settings(), &receiver, Some(&path));
        let mut waiting: BTreeMap<StoreKey, StoreChange> = BTreeMap::new();
        let mut evidence = [0; 3];
        let mut last: BTreeMap<u64, IncidentStatus> = BTreeMap::new();
        for (epoch, turn) in turns.iter().enumerate() {
            // More evidence each time, as of an incident that lives.
            evidence[turn.incident as usize] += turn.evidence + 1;
            let incident = Incident {
                id: IncidentId(turn.incident), status: turn.status, evidence_count: evidence[turn.incident as usize], ..incident()
            };
            last.insert(turn.incident, turn.status);
            let change = upsert(epoch as u64, incident);
            waiting.insert(change.key(), change);
            if turn.restart {
                to = store(settings(), &receiver, Some(&path));
            }
            for change in to.apply(std::mem::take(&mut waiting).into_values().collect()).left {
                waiting.entry(change.key()).or_insert(change);
            }
        }
        for _ in 0..200 {
            if waiting.is_empty() {
                break;
            }
            waiting = to.apply(waiting.into_values().collect()).left.into_iter().map(|change| (change.key(), change)).collect();
        }
        prop_assert!(waiting.is_empty());
        let mut open: BTreeMap<String, bool> = BTreeMap::new();
        for (action, id) in receiver.taken() {
            let open = open.entry(id).or_default();
            match action.as_str() {
                "trigger" => *open = true,
                "acknowledge" => prop_assert!(*open),
                _ => {
                    prop_assert!(*open);
                    *open = false;
                }
            }
        }
        for (id, status) in last {
            let is_open = open.get(&IncidentId(id).to_string()).copied();
            prop_assert_eq!(is_open, Some(status != IncidentStatus::Resolved), "{:?}", status);
        }
    }
}
