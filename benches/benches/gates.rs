//! The gates over 10,000 orders of about 325 bytes, of which 6.6 % are broken in one of four ways, and each of their
//! parts alone. The yardstick, in the same run over the same records: `serde_json` and `jsonschema`, which judge by the
//! schema alone.

use std::{fmt::Write as _, hint::black_box, path::Path, sync::Arc};

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use faultline_benches::random::SplitMix64;
use faultline_contracts::{
    catalog::Catalog,
    document::{Limits, Parser},
    evidence::GateResult,
    ids::EvidenceId,
    record::{GateHeaders, RawRecord, RecordCoordinates},
    time::UnixMillis,
    validator::Findings,
};
use faultline_operators::gates::Gates;

const RECORDS: usize = 10_000;
const TOPIC: &str = "raw.orders.events";
const START: UnixMillis = UnixMillis(1_698_400_500_000);

/// What is wrong with an order.
#[derive(PartialEq, Eq)]
enum Fault {
    None,
    Cut,
    Currency,
    Amount,
    Customer,
}

impl Fault {
    /// 0.1 % are cut off, 0.5 % in no known currency, 1 % with a text for an amount, 5 % without their customer.
    fn draw(random: &mut SplitMix64) -> Self {
        match random.below(1_000) {
            0 => Self::Cut,
            1..6 => Self::Currency,
            6..16 => Self::Amount,
            16..66 => Self::Customer,
            _ => Self::None,
        }
    }
}

fn cents(random: &mut SplitMix64, below: u64) -> String {
    let cents = 50 + random.below(below);
    format!("{}.{:02}", cents / 100, cents % 100)
}

fn order(n: usize, random: &mut SplitMix64) -> Vec<u8> {
    let fault = Fault::draw(random);
    let mut text = format!(r#"{{"order_id":"O-{n:010}","#);
    let customer = random.below(300_000);
    if fault != Fault::Customer {
        _ = write!(text, r#""customer_id":"C-{customer:08}","#);
    }
    let quote = if fault == Fault::Amount { "\"" } else { "" };
    _ = write!(text, r#""total_amount":{quote}{}{quote},"#, cents(random, 99_900));
    let currency = random.of(&["EUR", "USD", "GBP", "JPY", "CHF"]);
    let currency = if fault == Fault::Currency { "XXX" } else { currency };
    _ = write!(text, r#""currency":"{currency}","items":["#);
    for item in 0..1 + random.below(3) {
        let comma = if item > 0 { "," } else { "" };
        let (sku, qty, price) = (random.below(100_000), 1 + random.below(9), cents(random, 30_000));
        _ = write!(text, r#"{comma}{{"sku":"SKU-{sku:06}","qty":{qty},"price":{price}}}"#);
    }
    let street = random.of(&["Hauptstrasse", "Rue de Rivoli", "Baker Street", "Gran Via"]);
    let (number, zip) = (1 + random.below(200), random.below(100_000));
    let [city, country] = [["Berlin", "DE"], ["Paris", "FR"], ["London", "GB"]][random.below(3) as usize];
    _ = write!(
        text,
        r#"],"created_at":"{}","shipping_address":{{"street":"{street} {number}","city":"{city}","zip":"{zip:05}","country":"{country}"}}}}"#,
        START.plus(n as i64)
    );
    if fault == Fault::Cut {
        text.truncate(text.len() / 2);
    }
    text.into_bytes()
}

fn orders() -> Vec<Vec<u8>> {
    let mut random = SplitMix64(42);
    (0..RECORDS).map(|n| order(n, &mut random)).collect()
}

/// One pass over all orders; `judge` says whether one is kept.
fn pass(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    orders: &[Vec<u8>],
    mut judge: impl FnMut(usize, &[u8]) -> bool,
) {
    let kept = orders.iter().enumerate().filter(|(n, order)| judge(*n, order)).count();
    assert!(kept > RECORDS * 9 / 10, "{name} keeps {kept} of {RECORDS}");
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            for (n, order) in orders.iter().enumerate() {
                black_box(judge(n, order));
            }
        });
    });
}

fn record(n: usize, payload: &[u8]) -> RawRecord<'_> {
    RawRecord {
        at: RecordCoordinates { topic: TOPIC, partition: (n % 4) as i32, offset: n as i64 },
        timestamp: Some(START.plus(n as i64)),
        headers: GateHeaders {
            producer_service: Some(b"orders-service"),
            traceparent: Some(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            dag_run_id: None,
        },
        has_key: true,
        payload: Some(payload),
    }
}

fn gates(criterion: &mut Criterion) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/examples/orders");
    let catalog = Arc::new(Catalog::load(&dir).catalog);
    let dataset = catalog.dataset_of_topic(TOPIC).cloned();
    let Some(validator) = dataset.and_then(|dataset| dataset.validator.clone()) else {
        panic!("the example catalog has a validator for {TOPIC}");
    };
    let orders = orders();
    let bytes: usize = orders.iter().map(Vec::len).sum();
    assert!((300..350).contains(&(bytes / RECORDS)), "{} bytes an order", bytes / RECORDS);

    let mut group = criterion.benchmark_group("gates");
    group.throughput(Throughput::Elements(RECORDS as u64));

    let mut gates = Gates::new(Arc::clone(&catalog), Limits::default(), Findings::MAX_REASONS);
    pass(&mut group, "gates", &orders, |n, order| gates.judge(&record(n, order)).result == GateResult::Pass);

    let mut json = Vec::new();
    pass(&mut group, "gates and evidence", &orders, |n, order| {
        let record = record(n, order);
        let judgement = gates.judge(&record);
        json.clear();
        judgement.evidence(EvidenceId::of(record.at, START), record.at, START, START).write_json(&mut json);
        judgement.result == GateResult::Pass
    });

    let mut parser = Parser::new(Limits::default());
    pass(&mut group, "parse", &orders, |_, order| parser.parse(order).is_ok());

    // What cannot be parsed is left out: there is nothing to validate.
    let mut parsers: Vec<Parser> = orders.iter().map(|_| Parser::new(Limits::default())).collect();
    let documents: Vec<_> = parsers.iter_mut().zip(&orders).map(|(parser, order)| parser.parse(order).ok()).collect();
    let mut findings = Findings::default();
    pass(&mut group, "validate", &orders, |n, _| {
        findings.clear();
        let Some(document) = &documents[n] else { return false };
        validator.check(document, &mut findings);
        findings.is_empty()
    });

    let schema = std::fs::read_to_string(dir.join("schemas/orders.created/17.json"));
    let schema = schema.ok().and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok());
    let baseline = schema.and_then(|schema| jsonschema::options().should_validate_formats(true).build(&schema).ok());
    let Some(baseline) = baseline else { panic!("the example schema compiles") };
    pass(&mut group, "baseline: serde_json and jsonschema", &orders, |_, order| {
        serde_json::from_slice::<serde_json::Value>(order).is_ok_and(|order| baseline.is_valid(&order))
    });
    group.finish();
}

criterion_group!(benches, gates);
criterion_main!(benches);
