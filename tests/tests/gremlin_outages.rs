//! The graph sink while its server is away: it says so in time, keeps what it could not write, and goes on afterwards.

#![allow(clippy::unwrap_used)] // Functions that tests share stop the test, as tests do.

use std::process::Command;
use std::time::{Duration, Instant};

use faultline_contracts::graph::{Edge, EdgeLabel, Vertex};
use faultline_contracts::time::UnixMillis;
use faultline_sinks::SinkError;
use faultline_sinks::gremlin::{Failure, Flavor, GremlinSettings, GremlinStore, UpsertForm};
use faultline_sinks::retry::RetrySettings;
use faultline_sinks::store::{Applied, Outcome, StateStore, StoreChange, StoreItem};
use faultline_tests::proxy::Proxy;
use faultline_tests::servers::GremlinServer;

/// An outage is to be known after 5 s; the machine may be slow.
const KNOWN_WITHIN: Duration = Duration::from_secs(8);
const BACK_WITHIN: Duration = Duration::from_secs(120);

fn changes(epoch: u64) -> Vec<StoreChange> {
    let item = |n| {
        let properties = vec![("at".into(), epoch.to_string().into())];
        StoreItem::Vertex(Vertex { id: format!("job:outage/{n}").into(), label: "Job".into(), properties })
    };
    (0..300).map(|n| StoreChange::Upsert { epoch, item: item(n) }).collect()
}

/// Everything is left, for a reason that may pass, and the call has ended in time.
fn assert_down(store: &mut GremlinStore, epoch: u64, how: &str) -> Vec<StoreChange> {
    let begun = Instant::now();
    let Outcome { applied, left, error } = store.apply(changes(epoch));
    assert!(begun.elapsed() < KNOWN_WITHIN, "{how}: after {:?}", begun.elapsed());
    assert_eq!((applied, left.len()), (Applied::default(), 300), "{how}");
    assert!(error.as_ref().is_some_and(|error| error.is_transient() && error.hint().is_some()), "{how}: {error:?}");
    let begun = Instant::now();
    assert!(store.probe().is_err(), "{how}");
    assert!(begun.elapsed() < KNOWN_WITHIN, "{how}: after {:?}", begun.elapsed());
    left
}

/// Tries until nothing is left.
fn converge(store: &mut GremlinStore, mut left: Vec<StoreChange>) -> u64 {
    let (begun, mut written) = (Instant::now(), 0);
    while !left.is_empty() {
        let outcome = store.apply(left);
        written += outcome.applied.written;
        left = outcome.left;
        assert!(begun.elapsed() < BACK_WITHIN, "{:?}", outcome.error);
    }
    written
}

fn signal(server: &GremlinServer, signal: &str) {
    let status = Command::new("kill").args([signal, &server.pid().unwrap().to_string()]).status().unwrap();
    assert!(status.success());
}

fn all_at(server: &GremlinServer, epoch: u64) -> bool {
    server.ask(&format!("g.V().hasLabel('Job').has('at','{epoch}').has('epoch',{epoch}L).count()")).unwrap() == [300]
}

#[test]
fn a_server_that_stops_freezes_or_crashes_is_known_in_time_and_written_to_afterwards() {
    let mut server = GremlinServer::start().unwrap();
    let settings = GremlinSettings { endpoint: server.endpoint(), ..GremlinSettings::default() };
    let mut store = GremlinStore::new(settings.clone()).unwrap();
    // The first scripts are compiled; on a busy machine that may take more than one call.
    converge(&mut store, changes(1));

    signal(&server, "-STOP");
    let left = assert_down(&mut store, 2, "frozen");
    let again = assert_down(&mut store, 2, "frozen still");
    assert_eq!(left.len(), again.len());
    let fresh = assert_down(&mut GremlinStore::new(settings).unwrap(), 2, "frozen before the first call");
    signal(&server, "-CONT");
    assert_eq!(converge(&mut store, fresh), 300);
    assert!(all_at(&server, 2));

    server.stop().unwrap();
    let left = assert_down(&mut store, 3, "stopped");
    server.start_again().unwrap();
    assert!(all_at(&server, 2), "the server has saved its graph");
    assert_eq!(converge(&mut store, left), 300);
    assert!(all_at(&server, 3));

    server.kill();
    let left = assert_down(&mut store, 4, "killed");
    server.start_again().unwrap();
    assert_eq!(converge(&mut store, left), 300);
    assert!(all_at(&server, 4));
}

/// From now on the graph can be written to, or read alone; whoever writes is told what also an element is that can never
/// be stored.
fn set_writable(server: &GremlinServer, writable: bool) {
    let change =
        if writable { "removeStrategies(ReadOnlyStrategy)" } else { "addStrategies(ReadOnlyStrategy.instance())" };
    server.ask(&format!("g.getStrategies().{change};g.inject(0)")).unwrap();
    assert_eq!(server.ask("g.addV('Note').iterate();g.inject(0)").is_ok(), writable);
}

#[test]
fn a_graph_that_stores_nothing_is_an_outage_and_no_element_is_given_up() {
    let server = GremlinServer::start().unwrap();
    let patient = RetrySettings { attempt_timeout_ms: 30_000, total_timeout_ms: 120_000, ..RetrySettings::default() };
    let mut epoch = 0;
    for (flavor, upserts) in [(Flavor::Tinkerpop, UpsertForm::Detect), (Flavor::Neptune, UpsertForm::Coalesce)] {
        let endpoint = server.endpoint();
        let settings = GremlinSettings { endpoint, flavor, upserts, retry: patient, ..GremlinSettings::default() };
        let mut store = GremlinStore::new(settings).unwrap();
        epoch += 1;
        assert_eq!(converge(&mut store, changes(epoch)), 300);

        set_writable(&server, false);
        epoch += 1;
        let Outcome { applied, left, error } = store.apply(changes(epoch));
        assert_eq!((applied, left.len()), (Applied::default(), 300), "{error:?}");
        let error = error.unwrap();
        let SinkError::Gremlin { source, .. } = &error else { panic!("{error:?}") };
        assert!(matches!(**source, Failure::Unwritable(_)), "{error:?}");
        assert!(error.is_transient() && error.hint().is_some(), "{error:?}");
        store.probe().unwrap();

        set_writable(&server, true);
        let hidden =
            Vertex { id: "job:hidden".into(), label: "Job".into(), properties: vec![("~x".into(), "".into())] };
        let hidden = StoreChange::Upsert { epoch, item: StoreItem::Vertex(hidden) };
        let Outcome { applied, left, error } = store.apply(left.into_iter().chain([hidden]).collect());
        assert_eq!(applied, Applied { written: 300, refused: 1, ..Applied::default() }, "{error:?}");
        assert!(left.is_empty() && all_at(&server, epoch), "{error:?}");
        assert_eq!(server.ask("g.V('faultline:probe').count()").unwrap(), [0], "it leaves nothing behind");
    }
}

#[test]
fn a_slow_graph_takes_what_there_is_time_for_and_that_is_no_outage() {
    let server = GremlinServer::start().unwrap();
    let (proxy, delay) = (Proxy::start().unwrap(), Duration::from_millis(350));
    proxy.forward_to(server.port());
    let settings = |attempt_timeout_ms, total_timeout_ms| GremlinSettings {
        endpoint: format!("ws://127.0.0.1:{}/gremlin", proxy.port()),
        upserts: UpsertForm::Merge,
        request_elements: 75.try_into().unwrap(),
        retry: RetrySettings { attempt_timeout_ms, total_timeout_ms, ..RetrySettings::default() },
        ..GremlinSettings::default()
    };
    let edges = |of: &str| -> Vec<_> {
        let edge = |n| Edge {
            from: format!("urn:{of}/{n}").into(),
            label: EdgeLabel::Feeds,
            to: format!("job:{of}/{n}").into(),
            since: UnixMillis(0),
            confidence: None,
        };
        (0..10).map(|n| StoreChange::Upsert { epoch: 1, item: StoreItem::Edge(edge(n)) }).collect()
    };
    // So that all scripts are compiled.
    let all = changes(1).into_iter().chain(edges("first")).collect();
    assert_eq!(converge(&mut GremlinStore::new(settings(30_000, 120_000)).unwrap(), all), 310);

    // The vertices alone take four requests of 700 ms or more, and half of the time is for whole attempts to begin in.
    let mut store = GremlinStore::new(settings(3_000, 6_000)).unwrap();
    store.probe().unwrap();
    proxy.delay(delay);
    let (mut left, mut written, mut calls) = (changes(2).into_iter().chain(edges("slow")).collect::<Vec<_>>(), 0, 0);
    while !left.is_empty() {
        let outcome = store.apply(left);
        assert!(outcome.error.is_none(), "{:?}", outcome.error);
        assert_eq!(outcome.applied, Applied { written: outcome.applied.written, ..Applied::default() });
        assert!(outcome.applied.written > 0, "every call goes on");
        (left, written, calls) = (outcome.left, written + outcome.applied.written, calls + 1);
    }
    assert!(calls > 1, "all of it fits into one call");
    assert_eq!(written, 310, "nothing is written twice");
    assert!(all_at(&server, 2));
    assert_eq!(server.ask("g.E().has(T.id,TextP.startingWith('urn:slow/')).count()").unwrap(), [10]);
}
