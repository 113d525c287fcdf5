//! A source while topics change under it: made later, grown, cut by retention, deleted and made anew. Every record is
//! read once, or counted as lost.

#![allow(clippy::unwrap_used)] // Functions that tests share stop the test, as tests do.

use std::time::Duration;

use faultline_sinks::kafka::KafkaSettings;
use faultline_tests::envelope::Envelope;
use faultline_tests::reading::Reading;
use faultline_tests::servers::KafkaServer;
use rdkafka::consumer::{BaseConsumer, Consumer};

const QUICK: &str = "\"discovery_ms\": 300";

fn broker() -> &'static KafkaServer {
    KafkaServer::shared().unwrap()
}

fn settings() -> KafkaSettings {
    KafkaSettings::new(broker().bootstrap())
}

fn publish(topic: &str, partition: i32, numbers: std::ops::Range<i64>) {
    let record = |number: i64| Envelope {
        topic: topic.to_owned(),
        partition,
        offset: number,
        tstype: "create".to_owned(),
        ts: 1_700_000_000_000 + number,
        headers: Vec::new(),
        key: None,
        payload: Some(number.to_string()),
        payload_base64: None,
    };
    broker().publish(&numbers.map(record).collect::<Vec<_>>()).unwrap();
}

fn all(numbers: std::ops::Range<i64>) -> Vec<i64> {
    numbers.collect()
}

#[test]
fn topics_and_partitions_that_come_later_are_read_whole() {
    let pattern = "^new\\.reading\\..*";
    broker().create_topic("new.reading.first", 1).unwrap();
    publish("new.reading.first", 0, 0..10);
    // `latest` holds for what is there at the start; what comes later is new, and all of it counts.
    let mut reading = Reading::start(&settings(), &format!("{QUICK}, \"start\": \"latest\""), pattern).unwrap();
    broker().create_topic("new.reading.second", 2).unwrap();
    publish("new.reading.second", 0, 0..50);
    publish("new.reading.second", 1, 0..50);
    publish("new.reading.first", 0, 10..20);
    reading.until("records of the topic made later", |taken| taken.count() == 110);
    broker().add_partitions("new.reading.second", 4).unwrap();
    // A producer of ours learns of partitions when it is made.
    std::thread::sleep(Duration::from_millis(500));
    publish("new.reading.second", 2, 0..30);
    publish("new.reading.second", 3, 0..30);
    reading.until("records of the partitions added", |taken| taken.count() == 170);
    let taken = reading.finish();
    assert_eq!(taken.offsets("new.reading.first", 0), all(10..20));
    assert_eq!(taken.offsets("new.reading.second", 1), all(0..50));
    assert_eq!(taken.offsets("new.reading.second", 3), all(0..30));
    assert_eq!(taken.rejected, Vec::<String>::new());
}

#[test]
fn where_reading_starts_is_set_by_topic_and_committed_positions_hold() {
    let (group, pattern) = ("\"group\": \"start.reading\"", "^start\\.reading\\..*");
    for topic in ["start.reading.a", "start.reading.b", "start.reading.c"] {
        broker().create_topic(topic, 1).unwrap();
        publish(topic, 0, 0..20);
    }
    let mut first = Reading::start(&settings(), group, pattern).unwrap();
    first.until("all records", |taken| taken.count() == 60);
    let _ = first.finish();
    for topic in ["start.reading.a", "start.reading.b", "start.reading.c"] {
        publish(topic, 0, 20..30);
    }
    let rules = "\"start\": \"committed\", \"start_per_topic\": \
                 {\"start.reading.a\": \"earliest\", \"^start\\\\.reading\\\\.[ab]\": \"latest\"}";
    let mut second = Reading::start(&settings(), &format!("{group}, {rules}"), pattern).unwrap();
    second.until("a from its beginning, c from where it was", |taken| taken.count() == 40);
    publish("start.reading.b", 0, 30..31);
    second.until("b from its end", |taken| taken.count() == 41);
    let taken = second.finish();
    assert_eq!(taken.offsets("start.reading.a", 0), all(0..30));
    assert_eq!(taken.offsets("start.reading.b", 0), all(30..31));
    assert_eq!(taken.offsets("start.reading.c", 0), all(20..30));
}

#[test]
fn what_retention_takes_while_nobody_reads_is_counted_as_lost() {
    let kafka = "\"group\": \"away.reading\", \"start\": \"committed\"";
    broker().create_topic("away.reading", 2).unwrap();
    publish("away.reading", 0, 0..50);
    publish("away.reading", 1, 0..50);
    let mut first = Reading::start(&settings(), kafka, "^away\\.reading").unwrap();
    first.until("the first records", |taken| taken.count() == 100);
    let _ = first.finish();

    publish("away.reading", 0, 50..150);
    publish("away.reading", 1, 50..150);
    broker().delete_records("away.reading", 0, 120).unwrap();
    broker().delete_records("away.reading", 1, 30).unwrap();
    let mut second = Reading::start(&settings(), kafka, "^away\\.reading").unwrap();
    second.until("what is left", |taken| taken.count() == 130);
    assert_eq!(second.sample("faultline_lost_records_total{topic=\"away.reading\",partition=\"0\"}"), Some(70));
    assert_eq!(second.sample("faultline_lost_records_total{topic=\"away.reading\",partition=\"1\"}"), None);
    let taken = second.finish();
    assert_eq!(taken.offsets("away.reading", 0), all(120..150));
    assert_eq!(taken.offsets("away.reading", 1), all(50..150), "what was read before is no loss");
}

#[test]
fn what_retention_takes_from_under_a_reader_is_counted_as_lost_and_reading_goes_on() {
    broker().create_topic("under.reading", 1).unwrap();
    publish("under.reading", 0, 0..100);
    // A queue of little, so that the consumer is behind.
    let mut settings = settings();
    for (name, value) in [("queued.min.messages", "1"), ("fetch.message.max.bytes", "1000"), ("fetch.min.bytes", "1")] {
        settings.properties.insert(name.to_owned(), value.to_owned());
    }
    let mut reading = Reading::start(&settings, QUICK, "^under\\.reading").unwrap();
    reading.until("the first records", |taken| taken.count() == 100);
    // Nobody polls while these come and go: what the consumer has fetched of them meanwhile is not lost.
    for round in 1..=20_i64 {
        publish("under.reading", 0, round * 100..(round + 1) * 100);
    }
    broker().delete_records("under.reading", 0, 2_050).unwrap();
    publish("under.reading", 0, 2_100..2_200);
    reading.until("the last record", |taken| taken.offsets("under.reading", 0).last() == Some(&2_199));
    let lost = reading.sample("faultline_lost_records_total{topic=\"under.reading\",partition=\"0\"}").unwrap_or(0);
    let taken = reading.finish();
    let offsets = taken.offsets("under.reading", 0);
    assert!(offsets.is_sorted_by(|a, b| a < b), "each once");
    println!("{} read, {lost} lost", offsets.len());
    assert!(lost > 0, "the consumer was not behind");
    assert_eq!(offsets.len() as u64 + lost, 2_200, "read or counted as lost");
}

#[test]
fn a_topic_that_is_deleted_and_made_anew_is_read_from_its_beginning() {
    broker().create_topic("anew.reading", 1).unwrap();
    publish("anew.reading", 0, 0..100);
    let mut reading = Reading::start(&settings(), QUICK, "^anew\\.reading").unwrap();
    reading.until("the first records", |taken| taken.count() == 100);
    broker().delete_topic("anew.reading").unwrap();
    reading.go_on_for(Duration::from_millis(200));
    broker().create_topic("anew.reading", 1).unwrap();
    publish("anew.reading", 0, 1_000..1_040);
    reading.until("records of the new topic", |taken| taken.count() >= 140);
    reading.go_on_for(Duration::from_secs(2));
    // Whether it was seen to be gone first, or by its new id, depends on when the topics were looked for; its id tells.
    let anew = "faultline_recreated_partitions_total{topic=\"anew.reading\",partition=\"0\"}";
    assert_eq!(reading.sample(anew), Some(1));
    let taken = reading.finish();
    assert_eq!(taken.offsets("anew.reading", 0), [all(0..100), all(0..40)].concat());
    let payloads = taken.payloads("anew.reading", 0);
    assert_eq!((payloads[100], payloads[139]), ("1000", "1039"));
}

#[test]
fn a_topic_that_is_made_anew_while_nobody_reads_is_read_from_its_beginning() {
    let kafka = "\"group\": \"other.reading\", \"start\": \"committed\"";
    broker().create_topic("other.reading", 1).unwrap();
    publish("other.reading", 0, 0..20);
    let mut first = Reading::start(&settings(), kafka, "^other\\.reading").unwrap();
    first.until("the first records", |taken| taken.count() == 20);
    let _ = first.finish();
    broker().delete_topic("other.reading").unwrap();
    std::thread::sleep(Duration::from_secs(1));
    broker().create_topic("other.reading", 1).unwrap();
    // Past the old position: by offsets alone nobody could tell.
    publish("other.reading", 0, 0..60);
    let mut second = Reading::start(&settings(), kafka, "^other\\.reading").unwrap();
    second.until("the new topic's records", |taken| taken.count() == 60);
    // The broker has forgotten the position with the topic.
    assert_eq!(second.finish().offsets("other.reading", 0), all(0..60));
}

/// Partition, current offset, end of the log and lag, as Kafka's tool prints them.
fn described(group: &str, topic: &str) -> Vec<(i32, i64, i64, i64)> {
    let text = broker().describe_group(group).unwrap();
    let row = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let number = |index: usize| columns.get(index)?.parse().ok();
        (columns.get(1) == Some(&topic)).then(|| Some((number(2)? as i32, number(3)?, number(4)?, number(5)?)))?
    };
    let mut rows: Vec<_> = text.lines().filter_map(row).collect();
    rows.sort_unstable();
    rows
}

#[test]
fn kafkas_own_tool_shows_positions_and_lag() {
    broker().create_topic("lag.reading", 2).unwrap();
    publish("lag.reading", 0, 0..30);
    publish("lag.reading", 1, 0..12);
    let mut reading = Reading::start(&settings(), "\"group\": \"lag.group\"", "^lag\\.reading").unwrap();
    reading.until("all records", |taken| taken.count() == 42);
    let _ = reading.finish();
    publish("lag.reading", 0, 30..35);
    assert_eq!(described("lag.group", "lag.reading"), [(0, 30, 35, 5), (1, 12, 12, 0)]);
}

#[test]
fn a_member_that_joins_the_group_does_not_disturb_reading() {
    broker().create_topic("joined.reading", 2).unwrap();
    publish("joined.reading", 0, 0..10);
    let mut reading = Reading::start(&settings(), "\"group\": \"joined.group\"", "^joined\\.reading").unwrap();
    reading.until("the first records", |taken| taken.count() == 10);
    let mut config = rdkafka::ClientConfig::new();
    config.set("bootstrap.servers", broker().bootstrap()).set("group.id", "joined.group");
    config.set("auto.offset.reset", "earliest").set("session.timeout.ms", "6000");
    let member: BaseConsumer = config.create().unwrap();
    member.subscribe(&["joined.reading"]).unwrap();
    let begin = std::time::Instant::now();
    while member.assignment().unwrap().count() == 0 {
        assert!(begin.elapsed() < Duration::from_secs(30), "the other consumer is given no partitions");
        member.poll(Duration::from_millis(50));
        reading.turn();
    }
    publish("joined.reading", 1, 0..500);
    reading.until("records after the other joined", |taken| taken.count() == 510);
    // Brokers take no positions from outside while a group has members: that is told, and no more.
    reading.go_on_for(Duration::from_secs(1));
    assert!(reading.sample("faultline_commit_failures_total").unwrap() > 0);
    drop(member);
    let taken = reading.finish();
    assert_eq!(taken.offsets("joined.reading", 1), all(0..500));
}
