//! What the tests of the graph sink share.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use faultline_contracts::graph::{Edge, EdgeLabel, Vertex};
use faultline_contracts::time::UnixMillis;
use faultline_sinks::gremlin::{Flavor, GremlinSettings, GremlinStore, UpsertForm};
use faultline_sinks::retry::RetrySettings;
use faultline_sinks::store::{Applied, StateStore, StoreChange, StoreItem};
use faultline_tests::replaying::Replaying;
use faultline_tests::scenario::orders as scenario;
use faultline_tests::servers::{GremlinOptions, GremlinServer};
use serde_json::{Value, json};

pub fn vertex(id: &str, label: &str, properties: &[(&str, &str)]) -> StoreItem {
    let properties = properties.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    StoreItem::Vertex(Vertex { id: id.into(), label: label.into(), properties })
}

/// Since 2023-10-27T10:00:00Z.
pub fn edge(from: &str, label: EdgeLabel, to: &str, confidence: Option<u16>) -> StoreItem {
    StoreItem::Edge(Edge { from: from.into(), label, to: to.into(), since: UnixMillis(1_698_400_800_000), confidence })
}

pub fn upserts(epoch: u64, items: Vec<StoreItem>) -> Vec<StoreChange> {
    items.into_iter().map(|item| StoreChange::Upsert { epoch, item }).collect()
}

pub fn deletes(epoch: u64, items: &[StoreItem]) -> Vec<StoreChange> {
    items.iter().map(|item| StoreChange::Delete { epoch, key: item.key() }).collect()
}

pub fn ids(items: &[StoreItem]) -> Vec<String> {
    let id = |item: &StoreItem| match item {
        StoreItem::Vertex(vertex) => vertex.id.to_string(),
        StoreItem::Edge(edge) => edge.id().to_string(),
        other => panic!("{other:?} is no element of a graph"),
    };
    items.iter().map(id).collect()
}

/// A server whose requests are transactions, for the tests that are about them.
pub fn transactional() -> &'static GremlinServer {
    static SERVER: LazyLock<GremlinServer> = LazyLock::new(|| {
        GremlinServer::start_with(GremlinOptions { transactions: true, ..GremlinOptions::default() }).unwrap()
    });
    &SERVER
}

/// Patient, so that a slow machine fails no test that is not about time.
pub fn settings(server: &GremlinServer) -> GremlinSettings {
    let retry = RetrySettings { attempt_timeout_ms: 30_000, total_timeout_ms: 120_000, ..RetrySettings::default() };
    GremlinSettings { endpoint: server.endpoint(), retry, ..GremlinSettings::default() }
}

pub fn store(server: &GremlinServer, flavor: Flavor, upserts: UpsertForm) -> GremlinStore {
    GremlinStore::new(GremlinSettings { flavor, upserts, ..settings(server) }).unwrap()
}

pub fn store_at(endpoint: String, flavor: Flavor, upserts: UpsertForm) -> GremlinStore {
    let retry = RetrySettings { attempt_timeout_ms: 30_000, total_timeout_ms: 120_000, ..RetrySettings::default() };
    GremlinStore::new(GremlinSettings { endpoint, flavor, upserts, retry, ..GremlinSettings::default() }).unwrap()
}

/// Applies until nothing is left, as the service does. What is left for a while is another writer's doing.
pub fn apply(store: &mut GremlinStore, changes: Vec<StoreChange>) -> Applied {
    let (mut sum, mut left) = (Applied::default(), changes);
    let begun = Instant::now();
    loop {
        let outcome = store.apply(left);
        sum.written += outcome.applied.written;
        sum.stale += outcome.applied.stale;
        sum.absent += outcome.applied.absent;
        sum.refused += outcome.applied.refused;
        left = outcome.left;
        match outcome.error {
            None if left.is_empty() => return sum,
            // For want of time, on a slow machine.
            None => assert!(outcome.applied != Applied::default(), "left without a reason: {left:?}"),
            Some(error) => {
                assert!(error.is_transient() && begun.elapsed() < Duration::from_secs(240), "{error:?}");
            }
        }
    }
}

/// All vertices and edges whose ids start with `of`, in the order of their ids, as another client reads them.
pub fn graph(server: &GremlinServer, of: &str) -> Value {
    let ask = |all: &str, more: &str| {
        let traversal = format!(
            "g.{all}().has(T.id,TextP.startingWith('{of}')).order().by(T.id).project('id','label','p'{more}\
             .by(T.id).by(T.label).by(valueMap())"
        );
        match more {
            ")" => server.ask(&traversal),
            _ => server.ask(&format!("{traversal}.by(outV().id()).by(inV().id())")),
        }
        .unwrap()
    };
    let mut edges = ask("E", ",'from','to')");
    // Those of others have ids of others.
    edges.extend(
        server
            .ask(&format!(
                "g.V().has(T.id,TextP.startingWith('{of}')).outE().not(hasLabel(\
                 'INTRODUCED','CAUSED','TRIGGERED','OWNS','FEEDS','WRITES','CONSUMED_BY'))\
                 .project('id','label','p','from','to').by(T.id).by(T.label).by(valueMap()).by(outV().id()).by(inV().id())"
            ))
            .unwrap(),
    );
    json!([ask("V", ")"), edges])
}

/// The graph of the orders incident as the engine makes it.
pub struct Orders {
    pub changes: Vec<StoreChange>,
    /// The vertex.
    pub incident: String,
}

pub fn orders() -> Orders {
    let inputs = [scenario::folder().join("input.jsonl")];
    let outputs = Replaying::of(scenario::folder(), inputs).run().unwrap();
    let changes: Vec<_> = outputs.lines("graph.jsonl").unwrap().iter().map(change).collect();
    let incident = outputs.lines("incidents.jsonl").unwrap()[0]["id"].as_str().unwrap().to_owned();
    Orders { changes, incident: format!("incident:{incident}") }
}

/// A line of `graph.jsonl`.
fn change(line: &Value) -> StoreChange {
    let text = |name: &str| line[name].as_str().unwrap_or_else(|| panic!("no {name} in {line}"));
    let item = if line["type"] == "vertex" {
        let properties: Vec<(&str, &str)> = line["properties"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
            .collect();
        vertex(text("id"), text("label"), &properties)
    } else {
        StoreItem::Edge(Edge {
            from: text("from").into(),
            label: serde_json::from_value(line["label"].clone()).unwrap(),
            to: text("to").into(),
            since: text("since").parse().unwrap(),
            confidence: line["confidence"].as_f64().map(|confidence| (confidence * 1000.0).round() as u16),
        })
    };
    StoreChange::Upsert { epoch: line["epoch"].as_u64().unwrap(), item }
}
