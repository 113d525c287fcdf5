//! The broker away: frozen, and killed, while records come. It is told within seconds, and no evidence is lost or made
//! twice.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // Functions that tests share stop the test and print, as tests do.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use faultline_tests::envelope::Envelope;
use faultline_tests::scenario::orders;
use faultline_tests::servers::KafkaServer;
use faultline_tests::servers::process::{freeze, thaw};
use faultline_tests::service::{CONTROL_TOPICS, Service};

const DATA: &str = "raw.orders.events";
const EVIDENCE: &str = "signal_factory.evidence";
const PATIENCE: Duration = Duration::from_secs(90);

fn publish(kafka: &KafkaServer, numbers: std::ops::Range<i64>) {
    let record = |number: i64| Envelope {
        topic: DATA.to_owned(),
        partition: (number % 4) as i32,
        offset: number,
        tstype: "create".to_owned(),
        ts: 1_700_000_000_000 + number,
        headers: Vec::new(),
        key: None,
        payload: Some(format!("{{\"order_id\":{number}}}")),
        payload_base64: None,
    };
    kafka.publish(&numbers.map(record).collect::<Vec<_>>()).unwrap();
}

/// What the metrics say of a dependency.
fn up(service: &Service, dependency: &str) -> Option<bool> {
    let text = service.get("/metrics").ok()?;
    let line = text.lines().find(|line| {
        line.starts_with("faultline_up{") && line.to_lowercase().replace('_', "").contains(&dependency.replace('_', ""))
    })?;
    Some(line.ends_with(" 1"))
}

/// Waits until a dependency is up, or degraded; says how long that took.
fn until(service: &Service, dependency: &str, wanted: bool) -> Duration {
    let begin = Instant::now();
    while up(service, dependency) != Some(wanted) {
        let text = service.get("/metrics").unwrap_or_default();
        assert!(begin.elapsed() < PATIENCE, "{dependency} is not {wanted}; {text}; {}", service.log_tail());
        std::thread::sleep(Duration::from_millis(50));
    }
    begin.elapsed()
}

/// Waits for so many pieces of evidence, and checks that there is one for each record.
fn evidence_is_whole(kafka: &KafkaServer, service: &Service, records: usize) {
    let begin = Instant::now();
    let mut evidence = Vec::new();
    while evidence.len() < records {
        assert!(begin.elapsed() < PATIENCE, "{} of {records}; {}", evidence.len(), service.log_tail());
        std::thread::sleep(Duration::from_millis(200));
        evidence = kafka.read_all(EVIDENCE).unwrap();
    }
    let mut found = BTreeMap::<String, u32>::new();
    for message in &evidence {
        let json: serde_json::Value = serde_json::from_slice(message.payload.as_deref().unwrap()).unwrap();
        *found.entry(json["evidence_id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let twice = found.values().filter(|&&times| times > 1).count();
    println!("{records} records, {} pieces of evidence, {twice} twice, {} lost", evidence.len(), records - found.len());
    assert_eq!((found.len(), twice), (records, 0));
}

#[test]
fn a_broker_that_hangs_or_dies_is_told_of_and_no_evidence_is_lost_or_made_twice() {
    let mut kafka = KafkaServer::start().unwrap();
    kafka.create_topic(DATA, 4).unwrap();
    for topic in CONTROL_TOPICS {
        kafka.create_topic(topic, 1).unwrap();
    }
    let service = Service::start(&kafka, &orders::folder(), 2, "").unwrap();
    publish(&kafka, 0..5_000);
    until(&service, "kafka_source", true);
    until(&service, "kafka_sink", true);

    // Frozen at rest: nothing is on its way that could fail.
    evidence_is_whole(&kafka, &service, 5_000);
    freeze(kafka.pid().unwrap()).unwrap();
    println!("frozen at rest: degraded after {:?}", until(&service, "kafka_source", false));
    thaw(kafka.pid().unwrap()).unwrap();
    println!("thawed: up after {:?}", until(&service, "kafka_source", true));

    // Frozen under load: records come, and evidence is on its way.
    std::thread::scope(|threads| {
        let producing = threads.spawn(|| (1..9).for_each(|part| publish(&kafka, part * 5_000..(part + 1) * 5_000)));
        while kafka.read_all(EVIDENCE).unwrap().len() < 10_000 {
            std::thread::sleep(Duration::from_millis(10));
        }
        freeze(kafka.pid().unwrap()).unwrap();
        println!("frozen under load: source degraded after {:?}", until(&service, "kafka_source", false));
        std::thread::sleep(Duration::from_secs(5));
        thaw(kafka.pid().unwrap()).unwrap();
        producing.join().unwrap();
    });
    until(&service, "kafka_source", true);
    until(&service, "kafka_sink", true);
    evidence_is_whole(&kafka, &service, 45_000);

    // Killed under load, and back.
    publish(&kafka, 45_000..85_000);
    kafka.stop();
    println!("killed: source degraded after {:?}", until(&service, "kafka_source", false));
    println!("killed: sink degraded after {:?} more", until(&service, "kafka_sink", false));
    kafka.start_again().unwrap();
    println!("back: source up after {:?}", until(&service, "kafka_source", true));
    println!("back: sink up after {:?} more", until(&service, "kafka_sink", true));
    publish(&kafka, 85_000..90_000);
    evidence_is_whole(&kafka, &service, 90_000);
    assert_eq!(service.terminate().unwrap().code(), Some(0), "{}", service.log_tail());
}

#[test]
fn positions_are_committed_at_the_end_and_a_start_from_them_judges_nothing_again() {
    let kafka = KafkaServer::start().unwrap();
    kafka.create_topic(DATA, 4).unwrap();
    for topic in CONTROL_TOPICS {
        kafka.create_topic(topic, 1).unwrap();
    }
    // A producer's queue of little, so that it pushes back all the time.
    let configuration = format!(
        "catalog: {}\nkafka: {{bootstrap: \"{}\", start: committed, settings: {{queue.buffering.max.messages: 100}}}}\n",
        orders::folder().display(),
        kafka.bootstrap(),
    );
    let run = || {
        let mut program = std::process::Command::new(faultline_tests::program::program().unwrap());
        program.args(["--log", "info"]);
        let service = Service::run(program, 2, &configuration).unwrap();
        service.wait_until_ready().unwrap();
        service
    };
    let mut published = 0;
    for round in 1..=3 {
        let service = run();
        publish(&kafka, published..round * 3_000);
        freeze(kafka.pid().unwrap()).unwrap();
        std::thread::sleep(Duration::from_secs(2));
        thaw(kafka.pid().unwrap()).unwrap();
        published = round * 3_000;
        evidence_is_whole(&kafka, &service, published as usize);
        assert_eq!(service.terminate().unwrap().code(), Some(0), "{}", service.log_tail());
    }
    let described = kafka.describe_group("faultline").unwrap();
    for partition in 0..4 {
        let row = described.lines().find(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            columns.get(1) == Some(&DATA) && columns.get(2) == Some(&partition.to_string().as_str())
        });
        let columns: Vec<&str> = row.unwrap_or_else(|| panic!("{described}")).split_whitespace().collect();
        assert_eq!((columns[3], columns[4], columns[5]), ("2250", "2250", "0"), "{described}");
    }
}
