//! The gates over 10,000 orders of about 325 bytes, of which 6.6 % are broken in one of four ways, and each of their
//! parts alone. The yardstick, in the same run over the same records: `serde_json` and `jsonschema`, which judge by the
//! schema alone.

use std::{hint::black_box, path::Path, sync::Arc};

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use faultline_benches::orders::{self, Order, Orders};
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

fn orders() -> Vec<Vec<u8>> {
    let (mut orders, mut order) = (Orders::new(RECORDS as u64), Order::default());
    std::iter::from_fn(|| orders.next_into(&mut order).then(|| order.text.as_bytes().to_vec())).collect()
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
            schema_id: None,
        },
        has_key: true,
        payload: Some(payload),
    }
}

fn gates(criterion: &mut Criterion) {
    let dir = Path::new(orders::CATALOG);
    let catalog = Arc::new(Catalog::load(dir).catalog);
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
