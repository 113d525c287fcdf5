//! The graph sink and a server with TLS, users and passwords.

#![allow(clippy::unwrap_used)] // Functions that tests share stop the test, as tests do.

use std::path::Path;
use std::process::Command;

use faultline_contracts::graph::Vertex;
use faultline_sinks::SinkError;
use faultline_sinks::gremlin::{Failure, GremlinSettings, GremlinStore, Meaning};
use faultline_sinks::retry::RetrySettings;
use faultline_sinks::store::{StateStore, StoreChange, StoreItem};
use faultline_tests::servers::{GremlinOptions, GremlinServer};

/// Set where this test is to play a process that trusts the server's certificate; names the server.
const TRUSTING: &str = "FAULTLINE_TESTS_TRUSTING";

fn settings(endpoint: String, password_file: &Path) -> GremlinSettings {
    let retry = RetrySettings { attempt_timeout_ms: 30_000, total_timeout_ms: 60_000, ..RetrySettings::default() };
    let (user, password_file) = (Some(GremlinServer::USER.to_owned()), Some(password_file.to_path_buf()));
    GremlinSettings { endpoint, user, password_file, retry, ..GremlinSettings::default() }
}

fn change() -> StoreChange {
    let vertex = Vertex { id: "job:secured".into(), label: "Job".into(), properties: Vec::new() };
    StoreChange::Upsert { epoch: 1, item: StoreItem::Vertex(vertex) }
}

fn failure(error: &SinkError) -> &Failure {
    let SinkError::Gremlin { source, .. } = error else { panic!("{error:?}") };
    source
}

#[test]
fn certificates_and_passwords_are_checked() {
    if let Ok(endpoint) = std::env::var(TRUSTING) {
        let folder = tempfile::tempdir().unwrap();
        let password_file = folder.path().join("password");
        std::fs::write(&password_file, GremlinServer::PASSWORD).unwrap();
        let outcome = GremlinStore::new(settings(endpoint, &password_file)).unwrap().apply(vec![change()]);
        assert_eq!((outcome.applied.written, outcome.left.len()), (1, 0), "{:?}", outcome.error);
        return;
    }
    let server = GremlinServer::start_with(GremlinOptions { secured: true, ..GremlinOptions::default() }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let password_file = folder.path().join("password");
    std::fs::write(&password_file, format!("{}\n", GremlinServer::PASSWORD)).unwrap();

    // Nobody has told this process of the certificate.
    let retry = RetrySettings { total_timeout_ms: 3_000, ..RetrySettings::default() };
    let wary = GremlinSettings { retry, ..settings(server.endpoint(), &password_file) };
    let error = GremlinStore::new(wary).unwrap().probe().unwrap_err();
    assert!(matches!(failure(&error), Failure::Unreachable(_)), "{error:?}");
    assert!(format!("{error:?}").contains("certificate verify failed"), "{error:?}");
    assert!(error.hint().is_some_and(|hint| hint.contains("TLS")), "{error:?}");

    let trusting = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "certificates_and_passwords_are_checked"])
        .env(TRUSTING, server.endpoint())
        .env("SSL_CERT_FILE", server.certificate())
        .output()
        .unwrap();
    assert!(trusting.status.success(), "{}", String::from_utf8_lossy(&trusting.stdout));

    let careless = GremlinSettings { verify_certificate: false, ..settings(server.endpoint(), &password_file) };
    let mut store = GremlinStore::new(careless).unwrap();
    store.probe().unwrap();
    drop(store);

    std::fs::write(&password_file, "another").unwrap();
    let careless = GremlinSettings { verify_certificate: false, ..settings(server.endpoint(), &password_file) };
    let mut store = GremlinStore::new(careless).unwrap();
    let outcome = store.apply(vec![change()]);
    let error = outcome.error.unwrap();
    assert!(matches!(failure(&error), Failure::Status { code: 401, meaning: Meaning::Denied, .. }), "{error:?}");
    assert!(!error.is_transient() && error.hint().is_some_and(|hint| hint.contains("password")), "{error:?}");
    assert_eq!(outcome.left, [change()], "it is nobody's fault but the password's");

    // The file is read again with the next connection.
    std::fs::write(&password_file, GremlinServer::PASSWORD).unwrap();
    assert_eq!(store.apply(outcome.left).applied.written, 1);
}
