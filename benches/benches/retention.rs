//! Spans at capacity: 100,000 are held in 16 shards, and an epoch brings 1,000 newer ones, which drive out the oldest.

use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use faultline_benches::{random::SplitMix64, worker::worker};
use faultline_contracts::{
    time::UnixMillis,
    trace::{ServiceSpan, TraceId},
};
use faultline_operators::retention::{Retention, retain};
use faultline_operators::state::{Section, StatePorts};
use timely::dataflow::{
    ProbeHandle,
    operators::{Input, Probe},
};

const CAPACITY: usize = 100_000;
const SHARDS: usize = 16;
const ARRIVALS: u64 = 1_000;
const SERVICES: u64 = 100;

/// Spans of 100 services, a millisecond after one another, with random trace ids.
struct Spans {
    random: SplitMix64,
    services: Vec<Arc<str>>,
    at: UnixMillis,
}

impl Spans {
    fn new() -> Self {
        let services = (0..SERVICES).map(|n| format!("service-{n}").into()).collect();
        Self { random: SplitMix64(29), services, at: UnixMillis(1_698_400_500_000) }
    }

    fn epoch(&mut self) -> Vec<ServiceSpan> {
        (0..ARRIVALS).filter_map(|_| self.span()).collect()
    }

    /// `None` for the one trace id that there cannot be.
    fn span(&mut self) -> Option<ServiceSpan> {
        self.at = self.at.plus(1);
        let (high, low) = (self.random.below(u64::MAX), self.random.below(u64::MAX));
        let trace_id = TraceId::from_bytes((u128::from(high) << 64 | u128::from(low)).to_be_bytes())?;
        let service = Arc::clone(&self.services[self.random.below(SERVICES) as usize]);
        Some(ServiceSpan {
            trace_id,
            service,
            version: Some("v1".into()),
            topic: Some("raw.events".into()),
            at: self.at,
        })
    }
}

fn at_capacity(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("retention");
    group.throughput(Throughput::Elements(ARRIVALS)).sample_size(20);
    let mut worker = worker();
    let probe = ProbeHandle::new();
    let limits = Retention { keep_ms: i64::MAX, capacity: CAPACITY, shards: SHARDS };
    let mut spans = worker.dataflow::<u64, _, _>(|scope| {
        let (spans_in, spans) = scope.new_input();
        let kept = retain(
            spans,
            Section::Spans,
            |span: &ServiceSpan| span.trace_id.hash(),
            |span| span.at,
            limits,
            &StatePorts::closed(scope),
        );
        kept.facts.probe_with(&probe);
        kept.dropped.probe_with(&probe);
        spans_in
    });
    let (mut arriving, mut epoch) = (Spans::new(), 0);
    let mut close = |mut batch: Vec<ServiceSpan>| {
        spans.send_batch(&mut batch);
        epoch += 1;
        spans.advance_to(epoch);
        worker.step_while(|| probe.less_than(&epoch));
    };
    // A tenth more than fits: shards do not fill evenly.
    (0..CAPACITY as u64 / ARRIVALS * 11 / 10).for_each(|_| close(arriving.epoch()));
    group.bench_function("1,000 spans into 100,000 at capacity", |bencher| {
        bencher.iter_batched(|| arriving.epoch(), &mut close, BatchSize::LargeInput);
    });
    group.finish();
}

criterion_group!(benches, at_capacity);
criterion_main!(benches);
