//! The way in: TLS, certificates of clients, SCRAM, tokens. Consumers, producers and the admin client alike, against a
//! broker that lets in nobody else.

#![allow(clippy::unwrap_used)] // Functions that tests share stop the test, as tests do.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use faultline_sinks::kafka::{
    Enqueued, JSON, KafkaRecord, KafkaSettings, KafkaWriter, Token, TokenError, TokenProvider, Tokens, ensure_topics,
};
use faultline_tests::envelope::{Envelope, read_envelopes};
use faultline_tests::program::program;
use faultline_tests::reading::Reading;
use faultline_tests::scenario::orders;
use faultline_tests::servers::kafka::{Secured, unix_millis, unsecured_token};
use faultline_tests::servers::{KafkaOptions, KafkaServer, Security};
use faultline_tests::service::Service;

const DATA: &str = "raw.orders.events";
const EVIDENCE: &str = "signal_factory.evidence";

fn broker(security: Security) -> KafkaServer {
    let kafka = KafkaServer::start_with(&KafkaOptions { security: Some(security), ..KafkaOptions::default() }).unwrap();
    kafka.create_topic(DATA, 2).unwrap();
    kafka
}

fn records() -> Vec<Envelope> {
    let text = std::fs::read(orders::folder().join("input.jsonl")).unwrap();
    let mut records = read_envelopes(text.as_slice()).unwrap();
    records.retain(|record| record.topic == DATA);
    records.truncate(300);
    records
}

/// A configuration that gets in by the secured listener, with these settings of librdkafka besides.
fn configuration(secured: &Secured, besides: &[(&str, &str)]) -> String {
    let mut settings = secured.settings.clone();
    settings.extend(besides.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    format!(
        "catalog: {}\nkafka: {}\n",
        orders::folder().display(),
        serde_json::json!({"bootstrap": secured.bootstrap, "discovery_ms": 1_000, "settings": settings}),
    )
}

fn run(configuration: &str) -> Service {
    let mut program = Command::new(program().unwrap());
    program.args(["--log", "info"]);
    Service::run(program, 2, configuration).unwrap()
}

/// The service makes its topics, reads and writes, all by the secured listener.
fn judges_by(security: Security) {
    let kafka = broker(security);
    let service = run(&configuration(kafka.secured().unwrap(), &[]));
    service.wait_until_ready().unwrap();
    let records = records();
    kafka.publish(&records).unwrap();
    let begin = Instant::now();
    loop {
        let evidence = kafka.read_all(EVIDENCE).unwrap().len();
        if evidence == records.len() {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "{evidence} pieces of evidence; {}", service.log_tail());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(service.terminate().unwrap().code(), Some(0), "{}", service.log_tail());
}

/// It does not start, ends with this code, and says so.
fn refused(configuration: &str, code: i32, words: &[&str]) {
    let service = run(configuration);
    let error = service.wait_until_ready().unwrap_err().to_string();
    assert!(error.contains(&format!("exit status: {code}")), "{error}");
    for word in words {
        assert!(error.contains(word), "{word} in {error}");
    }
}

#[test]
fn by_tls() {
    judges_by(Security::Tls);
}

#[test]
fn by_a_certificate_and_not_without_one() {
    judges_by(Security::MutualTls);
    let kafka = broker(Security::MutualTls);
    let mut nobody = kafka.secured().unwrap().clone();
    nobody.settings.retain(|name, _| name != "ssl.certificate.location" && name != "ssl.key.location");
    refused(&configuration(&nobody, &[]), 3, &["cannot write to Kafka"]);
}

#[test]
fn by_scram_and_not_with_another_password() {
    judges_by(Security::Scram);
    let kafka = broker(Security::Scram);
    let secured = kafka.secured().unwrap();
    refused(&configuration(secured, &[("sasl.password", "hunter2")]), 3, &["invalid credentials", "SCRAM-SHA-512"]);
    refused(&configuration(secured, &[("ssl.ca.location", "/nowhere/ca.pem")]), 3, &["ssl.ca.location"]);
    refused(&configuration(secured, &[("sasl.mechansim", "PLAIN")]), 2, &["kafka.settings", "sasl.mechansim"]);
}

/// Gives tokens that hold for so many seconds, and counts them.
struct Short(i64, Arc<AtomicU32>);

impl TokenProvider for Short {
    fn token(&self) -> Result<Token, TokenError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        let now = unix_millis();
        let value = unsecured_token(now / 1_000 - 1, self.0 + 1);
        Ok(Token { value, principal: "faultline".to_owned(), expires_at_ms: now + self.0 * 1_000 })
    }
}

#[test]
fn by_tokens_that_are_renewed_while_nothing_happens() {
    let kafka = broker(Security::OAuthBearer);
    let (secured, given) = (kafka.secured().unwrap(), Arc::new(AtomicU32::new(0)));
    let mut settings = KafkaSettings::new(&secured.bootstrap);
    settings.properties = secured.settings.clone();
    settings.tokens = Some(Tokens::new(Short(4, Arc::clone(&given))));

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let made = runtime.block_on(ensure_topics(&settings, &[EVIDENCE], 1, 1, Duration::from_secs(30))).unwrap();
    assert_eq!(made, [EVIDENCE]);
    let writer = KafkaWriter::new(&settings).unwrap();
    let mut reading = Reading::start(&settings, "\"discovery_ms\": 500", "^(raw|signal_factory)\\..*").unwrap();
    let send = |number: u64| {
        let payload = format!("{{\"n\":{number}}}");
        let record =
            KafkaRecord { topic: DATA, partition: Some(0), key: b"k", headers: JSON, payload: payload.as_bytes() };
        assert_eq!(writer.send(number, &record).unwrap(), Enqueued::Accepted);
    };
    (0..50).for_each(send);
    reading.until("the first records", |taken| taken.count() == 50);
    let at_first = given.load(Ordering::Relaxed);
    // Three lives of a token; the broker cuts whoever does not show a new one.
    reading.go_on_for(Duration::from_secs(12));
    assert!(
        given.load(Ordering::Relaxed) >= at_first + 6,
        "consumer, watch and producer each take one in four seconds"
    );
    // With lives as short as these a connection may be cut before the next token is shown; it is made anew by itself.
    let begin = Instant::now();
    while let Some(error) = writer.last_error() {
        assert!(begin.elapsed() < Duration::from_secs(30), "{error}");
        std::thread::sleep(Duration::from_millis(50));
    }
    (50..100).for_each(send);
    reading.until("records after a pause", |taken| taken.count() == 100);
    writer.flush(Duration::from_secs(30)).unwrap();
    assert_eq!(writer.stats().delivered, 100);
    assert_eq!(reading.finish().offsets(DATA, 0), (0..100).collect::<Vec<_>>());
}

#[test]
fn without_a_token_it_says_why() {
    struct Never;
    impl TokenProvider for Never {
        fn token(&self) -> Result<Token, TokenError> {
            Err(TokenError("the role cannot be assumed".to_owned()))
        }
    }
    let kafka = broker(Security::OAuthBearer);
    let secured = kafka.secured().unwrap();
    let mut settings = KafkaSettings::new(&secured.bootstrap);
    settings.properties = secured.settings.clone();
    settings.tokens = Some(Tokens::new(Never));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(ensure_topics(&settings, &["a"], 1, 1, Duration::from_secs(5))).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("the role cannot be assumed"), "{cause}");
    let writer = KafkaWriter::new(&settings).unwrap();
    let begin = Instant::now();
    while !writer.last_error().is_some_and(|error| error.contains("the role cannot be assumed")) {
        assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", writer.last_error());
        std::thread::sleep(Duration::from_millis(100));
    }
}
