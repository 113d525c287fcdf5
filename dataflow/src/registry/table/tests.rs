use faultline_contracts::registry::{SchemaFormat, SchemaText};

use super::*;

const LIMITS: TableLimits = TableLimits {
    known: 3,
    negative: 4,
    pending: 2,
    unknown_ttl: Duration::from_secs(30),
    outage_ttl: Duration::from_secs(5),
    rate: 10,
    burst: 20,
};

fn id(number: u32) -> SchemaId {
    SchemaId::Confluent(number)
}

fn schema(number: u32) -> Settled {
    let text = SchemaText {
        format: SchemaFormat::Json,
        name: "orders".to_owned(),
        version: Some(number.to_string()),
        text: "{}".to_owned(),
        other_names: Vec::new(),
        references: Vec::new(),
    };
    Settled::Known(Arc::new(RegisteredSchema::compile(id(number), text).unwrap()))
}

/// A table, and a clock that only moves when it is told to.
struct Bench {
    table: Table,
    now: Instant,
}

impl Bench {
    fn new(limits: TableLimits, stored: &[u32]) -> Self {
        let now = Instant::now();
        let stored = stored.iter().copied().map(id).collect();
        Self { table: Table::new(limits, &[Kind::Confluent], stored, now), now }
    }

    fn pass(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
    }

    /// What becomes of a question, in a word.
    fn ask(&mut self, number: u32) -> &'static str {
        self.ask_id(id(number))
    }

    fn ask_id(&mut self, id: SchemaId) -> &'static str {
        match self.table.ask(id, self.now) {
            Ask::Start => "start",
            Ask::Decline(Declined::Down) => "down",
            Ask::Decline(Declined::Limited) => "limited",
            Ask::Decline(Declined::NotConfigured) => "not configured",
            Ask::Answer(Lookup::Known(_)) => "known",
            Ask::Answer(Lookup::Broken(_)) => "broken",
            Ask::Answer(Lookup::Pending) => "pending",
            Ask::Answer(Lookup::Unknown) => "unknown",
            Ask::Answer(Lookup::Unavailable) => "unavailable",
        }
    }

    fn settle(&mut self, number: u32, settled: Settled) {
        self.table.settle(id(number), settled, self.now);
    }

    /// Asks for an id and settles it.
    fn find(&mut self, number: u32, settled: Settled) {
        assert_eq!(self.ask(number), "start");
        self.settle(number, settled);
    }
}

#[test]
fn an_id_is_looked_up_once_and_then_known_for_good() {
    let mut bench = Bench::new(LIMITS, &[]);
    assert_eq!(bench.ask(1), "start");
    assert_eq!([bench.ask(1), bench.ask(1)], ["pending", "pending"], "one look-up for all who ask");
    bench.settle(1, schema(1));
    assert_eq!(bench.ask(1), "known");
    bench.pass(1_000_000_000);
    assert_eq!(bench.ask(1), "known");
    assert_eq!(bench.ask_id(SchemaId::Glue([1; 16])), "not configured");
}

#[test]
fn negative_answers_hold_for_their_time_and_no_longer() {
    let mut bench = Bench::new(LIMITS, &[]);
    bench.find(1, Settled::Unknown);
    bench.find(2, Settled::Unavailable);
    bench.pass(4_999);
    assert_eq!([bench.ask(1), bench.ask(2)], ["unknown", "unavailable"]);
    bench.pass(1);
    assert_eq!([bench.ask(1), bench.ask(2)], ["unknown", "start"]);
    bench.pass(25_000);
    assert_eq!(bench.ask(1), "start");
    bench.settle(1, schema(1));
    assert_eq!(bench.ask(1), "known", "registered meanwhile");
}

#[test]
fn while_a_registry_is_down_only_the_disk_is_asked() {
    let mut bench = Bench::new(LIMITS, &[7]);
    bench.find(1, schema(1));
    bench.find(2, Settled::Unavailable);
    bench.table.set_up(Kind::Confluent, false);
    assert!(!bench.table.is_up(Kind::Confluent));
    assert_eq!([bench.ask(1), bench.ask(3), bench.ask(7)], ["known", "down", "start"]);
    bench.pass(60_000);
    assert_eq!(bench.ask(3), "down");
    bench.table.set_up(Kind::Confluent, true);
    assert_eq!(bench.ask(3), "start", "at once: nothing was remembered of it");
    bench.settle(3, Settled::Unavailable);
    assert_eq!(bench.ask(3), "unavailable");
    bench.table.set_up(Kind::Confluent, false);
    bench.table.set_up(Kind::Confluent, true);
    assert_eq!(bench.ask(3), "start", "a return takes back what was remembered of the outage");
    bench.table.set_up(Kind::Glue, true);
    assert!(!bench.table.is_up(Kind::Glue), "there is none");
}

#[test]
fn what_lies_on_the_disk_costs_no_look_up() {
    let limits = TableLimits { rate: 1, burst: 1, ..LIMITS };
    let mut bench = Bench::new(limits, &[1, 2]);
    for number in [1, 2] {
        bench.find(number, schema(number));
    }
    bench.find(3, schema(3));
    assert_eq!(bench.ask(4), "limited");
    bench.table.stored(Some(id(4)), &[id(1)]);
    assert_eq!(bench.ask(4), "start");
    bench.settle(4, Settled::Unavailable);
    bench.table.not_stored(id(4));
    bench.pass(5_000);
    assert_eq!([bench.ask(4), bench.ask(5)], ["start", "limited"]);
}

#[test]
fn invented_ids_cost_no_more_than_the_rate() {
    let mut bench = Bench::new(TableLimits { pending: usize::MAX, negative: 50, ..LIMITS }, &[]);
    let mut started = 0;
    for number in 0..10_000 {
        if bench.ask(number) == "start" {
            started += 1;
            bench.settle(number, Settled::Unknown);
        }
        bench.pass(1);
    }
    // 20 at once and 10 a second for 10 s.
    assert!((115..=121).contains(&started), "{started}");
    assert!(bench.table.entries.len() <= 51, "{}", bench.table.entries.len());
}

#[test]
fn look_ups_under_way_are_bounded() {
    let mut bench = Bench::new(LIMITS, &[]);
    assert_eq!([bench.ask(1), bench.ask(2), bench.ask(3)], ["start", "start", "limited"]);
    bench.settle(1, Settled::Unknown);
    assert_eq!(bench.ask(3), "start");
    // Settled twice, as after a defect, it is still counted once.
    bench.settle(2, Settled::Unknown);
    bench.settle(2, Settled::Unknown);
    assert_eq!([bench.ask(4), bench.ask(5)], ["start", "limited"]);
    for _ in 0..5 {
        bench.settle(4, schema(4));
    }
    assert_eq!((bench.table.schemas(), bench.ask(4)), (1, "known"));
}

#[test]
fn of_too_many_schemas_the_least_used_goes() {
    let mut bench = Bench::new(LIMITS, &[]);
    for number in 1..=3 {
        bench.find(number, schema(number));
        bench.pass(1);
    }
    assert_eq!(bench.ask(1), "known");
    bench.pass(1);
    bench.find(4, schema(4));
    assert_eq!(bench.table.schemas(), 3);
    assert_eq!([bench.ask(1), bench.ask(3), bench.ask(4)], ["known", "known", "known"]);
    assert_eq!(bench.ask(2), "start");
}

#[test]
fn negative_answers_are_bounded_and_the_oldest_go() {
    let mut bench = Bench::new(LIMITS, &[]);
    for number in 1..=5 {
        bench.find(number, Settled::Unknown);
        bench.pass(1);
    }
    assert_eq!(bench.ask(1), "start");
    assert_eq!([bench.ask(2), bench.ask(5)], ["unknown", "unknown"]);
}
