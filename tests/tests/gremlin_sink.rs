//! The graph sink against a real Gremlin Server: what is written is there, once, as it was given, and no older than before.

#![allow(clippy::unwrap_used)] // Functions that tests share stop the test, as tests do.

#[path = "gremlin_sink/fixture.rs"]
mod fixture;
#[path = "gremlin_sink/tap.rs"]
mod tap;

use std::collections::BTreeSet;

use faultline_contracts::graph::EdgeLabel;
use faultline_sinks::gremlin::{Flavor, UpsertForm};
use faultline_sinks::store::{Applied, StateStore};
use faultline_tests::servers::python::ask_clients;
use faultline_tests::servers::{GremlinOptions, GremlinServer};
use serde_json::{Value, json};

use fixture::{apply, deletes, edge, graph, ids, orders, store, upserts, vertex};
use tap::Tap;

const WAYS: [(Flavor, UpsertForm); 4] = [
    (Flavor::Tinkerpop, UpsertForm::Merge),
    (Flavor::Tinkerpop, UpsertForm::Coalesce),
    (Flavor::Neptune, UpsertForm::Merge),
    (Flavor::Neptune, UpsertForm::Coalesce),
];

#[test]
fn all_flavors_and_forms_give_the_same_graph_and_repeat_it() {
    let server = GremlinServer::shared().unwrap();
    for (n, (flavor, form)) in WAYS.into_iter().enumerate() {
        let of = format!("same{n}:");
        let id = |name: &str| format!("{of}{name}");
        let items = vec![
            edge(&id("a"), EdgeLabel::Feeds, &id("j"), None),
            edge(&id("s"), EdgeLabel::Caused, &id("t"), Some(920)),
            vertex(&id("a"), "Dataset", &[("name", "created"), ("tier", "1")]),
            vertex(&id("j"), "Job", &[]),
            vertex(&id("s"), "FailureSignature", &[("epoch", "not ours")]),
            vertex(&id("t"), "Signal", &[("id", "as a name"), ("label", "too")]),
        ];
        let mut store = store(server, flavor, form);
        assert_eq!(apply(&mut store, upserts(7, items.clone())), Applied { written: 6, ..Applied::default() });
        let first = graph(server, &of);
        let since = "2023-10-27T10:00:00.000Z";
        let expected = json!([
            [
                {"id": id("a"), "label": "Dataset", "p": {"name": ["created"], "tier": ["1"], "epoch": [7]}},
                {"id": id("j"), "label": "Job", "p": {"epoch": [7]}},
                {"id": id("s"), "label": "FailureSignature", "p": {"epoch": [7]}},
                {"id": id("t"), "label": "Signal", "p": {"id": ["as a name"], "label": ["too"], "epoch": [7]}},
            ],
            [
                {"id": id("a") + "-[FEEDS]->" + &id("j"), "label": "FEEDS", "from": id("a"), "to": id("j"),
                 "p": {"since": since, "epoch": 7}},
                {"id": id("s") + "-[CAUSED]->" + &id("t"), "label": "CAUSED", "from": id("s"), "to": id("t"),
                 "p": {"since": since, "epoch": 7, "confidence": 0.92}},
            ],
        ]);
        assert_eq!(first, expected, "{flavor:?} {form:?}");
        assert_eq!(apply(&mut store, upserts(7, items)), Applied { written: 6, ..Applied::default() });
        assert_eq!(graph(server, &of), first, "again {flavor:?} {form:?}");
    }
}

#[test]
fn a_newer_epoch_replaces_as_a_whole_and_an_older_one_is_stale() {
    let server = GremlinServer::shared().unwrap();
    for (n, (flavor, form)) in WAYS.into_iter().enumerate() {
        let of = format!("newer{n}:");
        let (a, b) = (format!("{of}a"), format!("{of}b"));
        let items = |team: &[(&str, &str)], confidence| {
            let edge = edge(&a, EdgeLabel::Introduced, &b, confidence);
            vec![vertex(&a, "Deployment", team), vertex(&b, "FailureSignature", &[]), edge]
        };
        let mut store = store(server, flavor, form);
        apply(&mut store, upserts(10, items(&[("at", "ten"), ("by", "x")], Some(500))));
        assert_eq!(apply(&mut store, upserts(11, items(&[("at", "eleven")], None))).written, 3);
        let newest = graph(server, &of);
        assert_eq!(newest[0][0]["p"], json!({"at": ["eleven"], "epoch": [11]}));
        assert_eq!(newest[1][0]["p"], json!({"since": "2023-10-27T10:00:00.000Z", "epoch": 11}));
        let stale = apply(&mut store, upserts(9, items(&[("at", "nine")], Some(900))));
        assert_eq!(stale, Applied { stale: 3, ..Applied::default() });
        assert_eq!(graph(server, &of), newest);
    }
}

#[test]
fn what_is_retracted_is_gone_unless_it_is_newer() {
    let server = GremlinServer::shared().unwrap();
    for (n, (flavor, form)) in WAYS.into_iter().enumerate() {
        let of = format!("gone{n}:");
        let (a, b) = (format!("{of}a"), format!("{of}b"));
        let items = vec![vertex(&a, "Dataset", &[]), vertex(&b, "Job", &[]), edge(&a, EdgeLabel::Feeds, &b, None)];
        let mut store = store(server, flavor, form);
        apply(&mut store, upserts(10, items.clone()));
        let refused = apply(&mut store, deletes(9, &items));
        assert_eq!(refused, Applied { stale: 3, ..Applied::default() }, "{flavor:?} {form:?}");
        apply(&mut store, upserts(12, items[2..].to_vec()));
        let held = apply(&mut store, deletes(11, &items[..1]));
        assert_eq!(held, Applied { stale: 1, ..Applied::default() }, "an edge of epoch 12 needs it");
        assert_eq!(apply(&mut store, deletes(12, &items)), Applied { written: 3, ..Applied::default() });
        assert_eq!(graph(server, &of), json!([[], []]));
        assert_eq!(apply(&mut store, deletes(12, &items)), Applied { absent: 3, ..Applied::default() });
        assert_eq!(apply(&mut store, upserts(11, items.clone())).written, 3, "a replay writes it once more");
        assert_eq!(apply(&mut store, deletes(12, &items)).written, 3, "and removes it again");
    }
}

#[test]
fn an_edge_waits_for_nobody_and_its_ends_become_what_they_are() {
    let server = GremlinServer::shared().unwrap();
    for (n, (flavor, form)) in WAYS.into_iter().enumerate() {
        let of = format!("ends{n}:");
        let (table, job) = (format!("{of}t"), format!("{of}j"));
        let mut store = store(server, flavor, form);
        let written = apply(&mut store, upserts(5, vec![edge(&table, EdgeLabel::Feeds, &job, None)]));
        assert_eq!(written, Applied { written: 1, ..Applied::default() });
        let bare = graph(server, &of);
        assert_eq!(bare[0][1], json!({"id": table, "label": "Table", "p": {}}));
        assert_eq!(bare[1][0]["from"], table.as_str());

        // Somebody's own vertex and edge at it, with values of several types.
        let own = format!(
            "g.addV('Team').property(T.id,'{of}z').as('z').V('{table}').addE('ASKS').to('z')\
             .property('often',3).property('long',4L).property('share',0.5d).property('yes',true).iterate();g.inject(0)"
        );
        server.ask(&own).unwrap();
        let known = vertex(&table, "Dataset", &[("name", "t")]);
        assert_eq!(apply(&mut store, upserts(4, vec![known])).written, 1, "it has no epoch yet");
        let known = graph(server, &of);
        assert_eq!(known[0][1], json!({"id": table, "label": "Dataset", "p": {"name": ["t"], "epoch": [4]}}));
        assert_eq!(known[1].as_array().unwrap().len(), 2, "{known:#}");
        let asks = known[1].as_array().unwrap().iter().find(|edge| edge["label"] == "ASKS").unwrap();
        assert_eq!(asks["p"], json!({"often": 3, "long": 4, "share": 0.5, "yes": true}));
        assert_eq!(apply(&mut store, upserts(5, vec![edge(&table, EdgeLabel::Feeds, &job, None)])).written, 1);
    }
}

#[test]
fn texts_come_back_as_they_are() {
    let server = GremlinServer::shared().unwrap();
    let long = "é'\\".repeat(3_000);
    let texts = [
        "it's \"quoted\"",
        "${1 + 1} $x $",
        r"\",
        r"\\u0041\101\n",
        "'); g.V().drop(); ('",
        "a\nb\r\n\tc",
        "\0\u{1}\u{7f}",
        "\u{2028}\u{2029}\u{85}\u{feff}",
        "😀\u{10ffff}\u{ffff}",
        "//*/**/#",
        "",
        " ",
        "{{}}[:]",
        &long,
    ];
    for (n, (flavor, form)) in WAYS.into_iter().enumerate() {
        let of = format!("text{n}:");
        let mut items = Vec::new();
        for (k, text) in texts.iter().enumerate() {
            let id = format!("{of}{k}:{}", text.chars().take(40).collect::<String>());
            items.push(vertex(
                &id,
                "Job",
                &[("text", text), (&format!("name {text}").chars().take(30).collect::<String>(), "x")],
            ));
            items.push(edge(&id, EdgeLabel::Writes, &id, None));
        }
        let expected: BTreeSet<String> = ids(&items).into_iter().collect();
        let mut store = store(server, flavor, form);
        assert_eq!(apply(&mut store, upserts(1, items.clone())).written, 2 * texts.len() as u64, "{flavor:?} {form:?}");
        let graph = graph(server, &of);
        let all = || graph[0].as_array().unwrap().iter().chain(graph[1].as_array().unwrap());
        let found: BTreeSet<String> = all().map(|element| element["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(found, expected, "{flavor:?} {form:?}");
        let values: BTreeSet<&str> =
            graph[0].as_array().unwrap().iter().map(|vertex| vertex["p"]["text"][0].as_str().unwrap()).collect();
        assert_eq!(values, texts.iter().copied().collect(), "{flavor:?} {form:?}");
        assert_eq!(apply(&mut store, deletes(1, &items)).written, 2 * texts.len() as u64);
    }
}

#[test]
fn an_element_that_cannot_be_stored_does_not_hold_the_others() {
    // Without transactions the server keeps what it did before it met the element.
    let server = fixture::transactional();
    for flavor in [Flavor::Tinkerpop, Flavor::Neptune] {
        let of = format!("bad{flavor:?}:");
        let mut items: Vec<_> =
            (0..200).map(|n| vertex(&format!("{of}{n}"), "Job", &[("n", &n.to_string())])).collect();
        items.insert(77, vertex(&format!("{of}hidden"), "Job", &[("~hidden", "x")]));
        items.insert(111, vertex(&format!("{of}two"), "A::B", &[]));
        items.insert(150, vertex(&format!("{of}large"), "Job", &[("text", &"x".repeat(70_000))]));
        let applied = apply(&mut store(server, flavor, UpsertForm::Detect), upserts(1, items));
        assert_eq!(applied, Applied { written: 200, refused: 3, ..Applied::default() }, "{flavor:?}");
        assert_eq!(graph(server, &of)[0].as_array().unwrap().len(), 200);
    }
}

#[test]
fn two_writers_end_at_the_newest() {
    let server = fixture::transactional();
    const LAST: u64 = 24;
    let at = |epoch: u64| {
        let id = |n: usize| format!("both:{n}");
        let mut items: Vec<_> = (0..12).map(|n| vertex(&id(n), "Job", &[("at", &epoch.to_string())])).collect();
        items.extend((0..11).map(|n| edge(&id(n), EdgeLabel::Feeds, &id(n + 1), Some(epoch as u16))));
        upserts(epoch, items)
    };
    std::thread::scope(|threads| {
        for (first, flavor) in [(1, Flavor::Tinkerpop), (2, Flavor::Neptune)] {
            threads.spawn(move || {
                let mut store = store(server, flavor, UpsertForm::Detect);
                // Each writes its own epochs in order, and after each a former one again.
                for epoch in (first..=LAST).step_by(2) {
                    apply(&mut store, at(epoch));
                    apply(&mut store, at(epoch.saturating_sub(3).max(1)));
                }
            });
        }
    });
    let graph = graph(server, "both:");
    let vertices = graph[0].as_array().unwrap();
    assert_eq!((vertices.len(), graph[1].as_array().unwrap().len()), (12, 11));
    for vertex in vertices {
        assert_eq!(vertex["p"], json!({"at": [LAST.to_string()], "epoch": [LAST]}), "{vertex}");
    }
    for edge in graph[1].as_array().unwrap() {
        assert_eq!((&edge["p"]["epoch"], &edge["p"]["confidence"]), (&json!(LAST), &json!(0.024)), "{edge}");
    }
}

#[test]
fn a_connection_that_was_closed_meanwhile_is_made_anew_within_the_call() {
    let server = GremlinServer::shared().unwrap();
    let tap = Tap::before(server.port()).unwrap();
    let mut store = fixture::store_at(tap.endpoint(), Flavor::Tinkerpop, UpsertForm::Detect);
    for n in 0..3 {
        let item = vertex(&format!("idle:{n}"), "Job", &[]);
        assert_eq!(apply(&mut store, upserts(1, vec![item])).written, 1);
        store.probe().unwrap();
        tap.cut();
    }
    store.probe().unwrap();
    assert!(tap.connections() >= 4, "{}", tap.connections());
}

#[test]
fn what_neptune_is_sent_is_of_its_grammar() {
    let server = GremlinServer::shared().unwrap();
    for (n, form) in [UpsertForm::Merge, UpsertForm::Coalesce].into_iter().enumerate() {
        let of = format!("lang{n}:");
        let id = |name: &str| format!("{of}{name}'$\\é");
        let tap = Tap::before(server.port()).unwrap();
        let mut store = fixture::store_at(tap.endpoint(), Flavor::Neptune, form);
        let table = vertex(&id("a"), "Dataset", &[("name", "it's"), ("epoch", "no")]);
        let cause = edge(&id("s"), EdgeLabel::Caused, &id("t"), Some(1));
        apply(&mut store, upserts(7, vec![edge(&id("a"), EdgeLabel::Feeds, &id("j"), None), cause.clone()]));
        apply(&mut store, upserts(8, vec![table, vertex(&id("g"), "Job", &[])]));
        apply(&mut store, deletes(9, &[vertex(&id("g"), "Job", &[]), cause]));
        let written = graph(server, &of);
        drop(store);

        // The same again, read by the parser that Neptune's is like.
        server.ask(&format!("g.V().has(T.id,TextP.startingWith('{of}')).drop().iterate();g.inject(0)")).unwrap();
        let scripts = tap.scripts();
        assert!(scripts.len() > 8, "{scripts:#?}");
        for script in &scripts {
            assert!(script.starts_with("g.") && script.is_ascii(), "{script}");
            assert!(script.matches('(').count() < 1_500);
            server.ask_in("gremlin-lang", script).unwrap();
        }
        assert_eq!(graph(server, &of), written, "{form:?}");
        assert_eq!(written[1].as_array().unwrap().len(), 1);
    }
}

#[test]
fn a_server_without_merge_is_written_to_all_the_same() {
    let server = GremlinServer::start_with(GremlinOptions { old: true, ..GremlinOptions::default() }).unwrap();
    assert!(server.ask("g.mergeV([(T.id):'x'])").is_err(), "this server has mergeV()");
    for flavor in [Flavor::Tinkerpop, Flavor::Neptune] {
        let of = format!("old{flavor:?}:");
        let (a, b) = (format!("{of}a"), format!("{of}b"));
        let items = vec![edge(&a, EdgeLabel::Feeds, &b, Some(5)), vertex(&a, "Dataset", &[("name", "it's")])];
        let mut store = store(&server, flavor, UpsertForm::Detect);
        assert_eq!(apply(&mut store, upserts(3, items.clone())).written, 2);
        assert_eq!(apply(&mut store, upserts(2, items.clone())).stale, 2);
        let graph = graph(&server, &of);
        assert_eq!(graph[0][0], json!({"id": a, "label": "Dataset", "p": {"name": ["it's"], "epoch": [3]}}));
        assert_eq!(graph[1][0]["p"]["confidence"], 0.005);
        assert_eq!(apply(&mut store, deletes(3, &items)).written, 2);
    }
}

#[test]
fn the_orders_incident_leads_to_its_dashboard() {
    let server = GremlinServer::shared().unwrap();
    let story = orders();
    let applied = apply(&mut store(server, Flavor::Tinkerpop, UpsertForm::Detect), story.changes.clone());
    assert_eq!(applied, Applied { written: story.changes.len() as u64, ..Applied::default() });
    let path = server
        .ask(&format!(
            "g.V('{}').as('i').V().hasLabel('Dataset').where(eq('i')).by(T.id).by('dataset')\
             .repeat(out('FEEDS','WRITES','CONSUMED_BY').simplePath()).until(hasLabel('Dashboard')).path().by(T.id)",
            story.incident
        ))
        .unwrap();
    let names: Vec<Value> = path.iter().map(|path| path["objects"].clone()).collect();
    let (dataset, gold) = ("urn:dp:orders:created", "delta:orders_gold_daily");
    let reach = json!([dataset, "job:airflow/orders_daily_agg", gold, "dashboard:exec_orders"]);
    let expected: Vec<_> =
        [story.incident.as_str().into()].into_iter().chain(reach.as_array().unwrap().clone()).collect();
    assert_eq!(names, [json!(expected)]);

    // And a client that nobody here wrote.
    let seen =
        ask_clients(include_str!("gremlin_sink/paths.py"), &[&server.endpoint(), &story.incident, dataset]).unwrap();
    let cause = json!([
        "deployment:orders-svc:v3.17",
        "signature:urn:dp:orders:created:MISSING_FIELD:customer_id",
        "signal:urn:dp:orders:created:contract_compliance",
        story.incident,
    ]);
    assert_eq!(seen["cause"], cause);
    assert_eq!(seen["reach"], reach);
    assert!((seen["confidence"].as_f64().unwrap() - 0.92).abs() < 0.02, "{seen}");
    assert_eq!(seen["since"], "2023-10-27T09:57:45.000Z");
}
