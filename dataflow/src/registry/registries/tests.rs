use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, Uri},
};
use faultline_contracts::{
    catalog::{Catalog, CatalogFiles},
    registry::SchemaId,
};

use super::*;
use crate::config::ConfluentConfig;

/// A registry that answers what a test says, and counts what it is asked besides whether it is there.
struct Scripted {
    address: String,
    script: Arc<Script>,
    _runtime: tokio::runtime::Runtime,
}

#[derive(Default)]
struct Script {
    /// By path. What is not here is 40403.
    answers: Mutex<BTreeMap<String, (u16, String)>>,
    /// How long each answer takes.
    delay_ms: AtomicUsize,
    /// Whether all that it says is 503.
    failing: AtomicUsize,
    asked: Mutex<Vec<String>>,
}

async fn answer(State(script): State<Arc<Script>>, uri: Uri) -> (StatusCode, String) {
    tokio::time::sleep(Duration::from_millis(script.delay_ms.load(Ordering::Relaxed) as u64)).await;
    if uri.path() != "/schemas/types" {
        script.asked.lock().unwrap().push(uri.path().to_owned());
    }
    if script.failing.load(Ordering::Relaxed) > 0 {
        return (StatusCode::SERVICE_UNAVAILABLE, String::new());
    }
    let answers = script.answers.lock().unwrap();
    let (status, body) = answers.get(uri.path()).cloned().unwrap_or((404, r#"{"error_code": 40403}"#.to_owned()));
    (StatusCode::from_u16(status).unwrap(), body)
}

impl Scripted {
    fn start(schemas: &[(&str, &str)]) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let script = Arc::new(Script::default());
        for (path, body) in schemas {
            script.answers.lock().unwrap().insert((*path).to_owned(), (200, (*body).to_owned()));
        }
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&script));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { address, script, _runtime: runtime }
    }

    fn asked(&self) -> Vec<String> {
        self.script.asked.lock().unwrap().clone()
    }

    fn config(&self) -> RegistryConfig {
        RegistryConfig {
            confluent: Some(ConfluentConfig { urls: vec![self.address.clone()], ..ConfluentConfig::default() }),
            timeout_ms: 1_000,
            probe_ms: 300,
            ..RegistryConfig::default()
        }
    }
}

const ONE: (&str, &str) = ("/schemas/ids/1", r#"{"schemaType": "JSON", "schema": "{\"type\": \"object\"}"}"#);
const ONE_PLACE: (&str, &str) = ("/schemas/ids/1/versions", r#"[{"subject": "orders-value", "version": 4}]"#);

fn start(config: &RegistryConfig) -> (Arc<Registries>, Arc<Metrics>) {
    let metrics = Metrics::new();
    (Registries::start(config, None, Arc::clone(&metrics)).unwrap().unwrap(), metrics)
}

fn reference(lookup: &Lookup) -> Option<&str> {
    match lookup {
        Lookup::Known(schema) => Some(schema.reference()),
        _ => None,
    }
}

/// Waits until a gauge or counter is so.
fn until(metrics: &Metrics, line: &str) {
    let begin = Instant::now();
    while !metrics.text().lines().any(|found| found == line) {
        assert!(begin.elapsed() < Duration::from_secs(30), "{line} is not in\n{}", metrics.text());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn no_registry_is_no_source() {
    let none = Registries::start(&RegistryConfig::default(), None, Metrics::new()).unwrap();
    assert!(none.is_none());
}

#[test]
fn an_id_is_asked_for_once_by_all_and_wakes_them() {
    let server = Scripted::start(&[ONE, ONE_PLACE]);
    server.script.delay_ms.store(100, Ordering::Relaxed);
    let (registries, metrics) = start(&server.config());
    let woken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&woken);
    registries.subscribe(Arc::new(move || {
        count.fetch_add(1, Ordering::Relaxed);
    }));
    assert!(matches!(registries.lookup(SchemaId::Confluent(1)), Lookup::Pending));
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                let found = registries.wait(SchemaId::Confluent(1));
                assert_eq!(reference(&found), Some("confluent:orders-value:4"), "{found:?}");
            });
        }
    });
    assert_eq!(reference(&registries.lookup(SchemaId::Confluent(1))), Some("confluent:orders-value:4"));
    assert_eq!(server.asked(), ["/schemas/ids/1", "/schemas/ids/1/versions"]);
    let begin = Instant::now();
    while woken.load(Ordering::Relaxed) == 0 {
        assert!(begin.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(woken.load(Ordering::Relaxed), 1);
    until(&metrics, r#"faultline_registry_lookups_total{registry="confluent",outcome="found"} 1"#);
    assert!(matches!(registries.wait(SchemaId::Glue([1; 16])), Lookup::Unavailable), "no Glue is configured");
}

#[test]
fn an_unknown_id_is_not_asked_for_again_for_a_while() {
    let server = Scripted::start(&[]);
    let (registries, metrics) = start(&RegistryConfig { unknown_ttl_ms: 400, ..server.config() });
    for _ in 0..10 {
        assert!(matches!(registries.wait(SchemaId::Confluent(9)), Lookup::Unknown));
    }
    assert_eq!(server.asked(), ["/schemas/ids/9"]);
    std::thread::sleep(Duration::from_millis(500));
    let (path, body) = ("/schemas/ids/9".to_owned(), (200, ONE.1.to_owned()));
    server.script.answers.lock().unwrap().insert(path, body);
    // It has no versions to tell, as in an old registry.
    assert_eq!(reference(&registries.wait(SchemaId::Confluent(9))), Some("confluent:9"));
    until(&metrics, r#"faultline_registry_lookups_total{registry="confluent",outcome="unknown"} 1"#);
}

#[test]
fn silence_is_told_without_look_ups_and_known_schemas_go_on() {
    let server = Scripted::start(&[ONE, ONE_PLACE]);
    let (registries, metrics) = start(&server.config());
    until(&metrics, r#"faultline_up{dependency="Registry"} 1"#);
    assert!(reference(&registries.wait(SchemaId::Confluent(1))).is_some());
    server.script.delay_ms.store(60_000, Ordering::Relaxed);
    until(&metrics, r#"faultline_up{dependency="Registry"} 0"#);
    assert!(reference(&registries.lookup(SchemaId::Confluent(1))).is_some());
    assert!(matches!(registries.lookup(SchemaId::Confluent(2)), Lookup::Unavailable), "at once");
    server.script.delay_ms.store(0, Ordering::Relaxed);
    until(&metrics, r#"faultline_up{dependency="Registry"} 1"#);
    assert!(matches!(registries.wait(SchemaId::Confluent(2)), Lookup::Unknown), "asked again at once");
}

#[test]
fn a_refusal_is_repeated_within_a_look_up_and_degrades_when_it_is_general() {
    let server = Scripted::start(&[ONE, ONE_PLACE]);
    let (registries, metrics) = start(&server.config());
    let refused = ("/schemas/ids/5".to_owned(), (500, String::new()));
    server.script.answers.lock().unwrap().extend([refused]);
    assert!(matches!(registries.wait(SchemaId::Confluent(5)), Lookup::Unavailable));
    assert_eq!(server.asked(), ["/schemas/ids/5", "/schemas/ids/5", "/schemas/ids/5"]);
    assert!(reference(&registries.wait(SchemaId::Confluent(1))).is_some(), "one schema's trouble is its own");
    server.script.failing.store(1, Ordering::Relaxed);
    until(&metrics, r#"faultline_up{dependency="Registry"} 0"#);
}

#[test]
fn what_was_known_is_known_after_a_restart_without_the_registry() {
    let dir = tempfile::tempdir().unwrap();
    let server = Scripted::start(&[ONE, ONE_PLACE]);
    let config = RegistryConfig { cache_dir: Some(dir.path().to_owned()), ..server.config() };
    let (registries, _) = start(&config);
    assert!(reference(&registries.wait(SchemaId::Confluent(1))).is_some());
    let folder = std::fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
    let begin = Instant::now();
    while !folder.join("confluent-1.json").exists() {
        assert!(begin.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(registries);
    drop(server);
    let (registries, metrics) = start(&config);
    until(&metrics, r#"faultline_up{dependency="Registry"} 0"#);
    assert_eq!(reference(&registries.wait(SchemaId::Confluent(1))), Some("confluent:orders-value:4"));
    assert!(matches!(registries.wait(SchemaId::Confluent(2)), Lookup::Unavailable));
    until(&metrics, r#"faultline_registry_lookups_total{registry="confluent",outcome="cached"} 1"#);
}

#[test]
fn references_are_fetched_and_a_name_that_leads_nowhere_is_told() {
    let order = r#"{"schemaType": "JSON", "schema": "{\"$ref\": \"money.json\"}",
        "references": [{"name": "money.json", "subject": "money", "version": 2}]}"#;
    let money = r#"{"subject": "money", "version": 2, "schemaType": "JSON", "schema": "{\"type\": \"number\"}"}"#;
    let server = Scripted::start(&[
        ("/schemas/ids/3", order),
        ("/subjects/money/versions/2", money),
        ("/subjects/money/versions/latest", money),
    ]);
    let (registries, _) = start(&server.config());
    registries.wait(SchemaId::Confluent(3));
    assert_eq!(server.asked(), ["/schemas/ids/3", "/schemas/ids/3/versions", "/subjects/money/versions/2"]);

    let catalog = "datasets:
      - {urn: 'urn:a', topics: [a], schema: 'confluent:money:2'}
      - {urn: 'urn:b', topics: [b], schema: 'confluent:money:latest'}
      - {urn: 'urn:c', topics: [c], schema: 'confluent:gone:1'}
      - {urn: 'urn:d', topics: [d], schema: 'confluent:here:1'}
      - {urn: 'urn:e', topics: [e], schema: 'glue:money:2'}";
    let files = || CatalogFiles::of("c", [("catalog.yaml", catalog), ("schemas/here/1.json", "{}")]);
    let mut filled_files = files();
    let filled = registries.fill(&mut filled_files);
    let problems: Vec<String> = filled.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].starts_with("c/catalog.yaml:4:"), "{problems:?}");
    assert!(problems[0].contains("confluent:gone:1") && problems[0].contains("WARN"), "{problems:?}");
    assert!(problems[1].contains("schemas/here/1.json stands in"), "{problems:?}");
    assert_eq!(filled.again_after, Some(Duration::from_secs(60)));
    assert_ne!(
        Catalog::from_files(&filled_files).catalog.version(),
        Catalog::from_files(&files()).catalog.version(),
        "what a registry says is part of a catalog"
    );

    let before = server.asked().len();
    registries.fill(&mut files());
    let again = server.asked().split_off(before);
    assert!(
        !again.contains(&"/subjects/money/versions/2".to_owned()),
        "a number leads to the same for good: {again:?}"
    );
    assert!(again.contains(&"/subjects/money/versions/latest".to_owned()), "{again:?}");
}

#[test]
fn another_address_is_asked_where_one_is_silent() {
    let server = Scripted::start(&[ONE, ONE_PLACE]);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = server.config();
    let urls = vec![format!("http://{}", silent.local_addr().unwrap()), server.address.clone()];
    config.confluent = Some(ConfluentConfig { urls, ..ConfluentConfig::default() });
    config.timeout_ms = 4_000;
    let (registries, _) = start(&config);
    assert!(reference(&registries.wait(SchemaId::Confluent(1))).is_some());
}
