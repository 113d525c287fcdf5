//! What it costs to write and read back a thousand pieces of evidence as an owned value would be sent between
//! processes: `serde_json`, `bincode` 1.3 (which timely uses between its own), and, with the feature `abomonation`,
//! abomonation 0.7.3.
//!
//! abomonation is here to be measured and nowhere else. It has no maintainer and is unsound (RUSTSEC-2021-0120): it
//! copies memory as the compiler laid it out, padding included, which is undefined behaviour under miri in both aliasing
//! models, it trusts what it reads, and its references may be unaligned, which debug builds answer with a panic. timely
//! has dropped it for `columnar`, which reads in place faster and safely. So no product path uses it, and the feature is
//! off unless asked for:
//!
//! ```text
//! cargo bench -p faultline-benches --bench serialization --features abomonation
//! ```

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

const RECORDS: usize = 1_000;

/// Evidence that owns what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct OwnedEvidence {
    id_high: u64,
    id_low: u64,
    timestamp: i64,
    event_time: i64,
    dataset: String,
    producer: String,
    reason_codes: Vec<String>,
    topic: String,
    partition: i32,
    offset: i64,
    trace_id: Option<String>,
    result: u8,
    failed_gates: u8,
}

/// One in ten fails.
fn evidence() -> Vec<OwnedEvidence> {
    let one = |n: usize| OwnedEvidence {
        id_high: 0x018b_70b8_4dfe ^ n as u64,
        id_low: 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(n as u64),
        timestamp: 1_698_400_682_113 + n as i64,
        event_time: 1_698_400_681_950 + n as i64,
        dataset: "urn:dp:orders:created".to_owned(),
        producer: "orders-svc".to_owned(),
        reason_codes: if n.is_multiple_of(10) { vec!["MISSING_FIELD:customer_id".to_owned()] } else { Vec::new() },
        topic: "raw.orders.events".to_owned(),
        partition: (n % 4) as i32,
        offset: 9_918_273 + n as i64,
        trace_id: n.is_multiple_of(2).then(|| format!("{n:032x}")),
        result: u8::from(n.is_multiple_of(10)),
        failed_gates: if n.is_multiple_of(10) { 0b1000 } else { 0 },
    };
    (0..RECORDS).map(one).collect()
}

/// Measures both ways of a codec after a look at whether it gives back what it was given.
fn codec<E: std::fmt::Debug>(
    criterion: &mut Criterion,
    name: &str,
    encode: impl Fn(&Vec<OwnedEvidence>, &mut Vec<u8>) -> Result<(), E>,
    decode: impl Fn(&[u8]) -> Result<Vec<OwnedEvidence>, E>,
) {
    let evidence = evidence();
    let mut bytes = Vec::new();
    let there = encode(&evidence, &mut bytes);
    let back = decode(&bytes);
    assert!(there.is_ok() && back.is_ok_and(|back| back == evidence), "{name} gives back what it was given");
    let mut group = criterion.benchmark_group(format!("serialization, {} bytes a record", bytes.len() / RECORDS));
    group.throughput(Throughput::Elements(RECORDS as u64));
    group.bench_function(format!("{name}, write"), |bencher| {
        let mut bytes = Vec::with_capacity(bytes.len());
        bencher.iter(|| {
            bytes.clear();
            black_box(encode(black_box(&evidence), &mut bytes).is_ok())
        });
    });
    group.bench_function(format!("{name}, read"), |bencher| {
        bencher.iter(|| black_box(decode(black_box(&bytes)).is_ok()))
    });
    group.finish();
}

fn json<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(bytes)
}

fn serialization(criterion: &mut Criterion) {
    codec(criterion, "serde_json", |evidence, bytes| serde_json::to_writer(bytes, evidence), json);
    codec(
        criterion,
        "bincode",
        |evidence, bytes| bincode::serialize_into(bytes, evidence),
        |bytes| bincode::deserialize(bytes),
    );
    #[cfg(feature = "abomonation")]
    unsound::measure(criterion);
}

/// abomonation, see the head of this file.
#[cfg(feature = "abomonation")]
mod unsound {
    use std::{hint::black_box, io};

    use abomonation::{Abomonation, decode, encode};
    use criterion::{Criterion, Throughput};

    use super::{OwnedEvidence, RECORDS, evidence};

    impl Abomonation for OwnedEvidence {
        unsafe fn entomb<W: io::Write>(&self, write: &mut W) -> io::Result<()> {
            let Self { dataset, producer, reason_codes, topic, trace_id, .. } = self;
            // SAFETY: every field that owns memory is handed on, and `exhume` takes them in the same order.
            unsafe {
                dataset.entomb(write)?;
                producer.entomb(write)?;
                reason_codes.entomb(write)?;
                topic.entomb(write)?;
                trace_id.entomb(write)
            }
        }

        unsafe fn exhume<'b>(&mut self, bytes: &'b mut [u8]) -> Option<&'b mut [u8]> {
            let Self { dataset, producer, reason_codes, topic, trace_id, .. } = self;
            // SAFETY: as in `entomb`.
            unsafe {
                let bytes = dataset.exhume(bytes)?;
                let bytes = producer.exhume(bytes)?;
                let bytes = reason_codes.exhume(bytes)?;
                let bytes = topic.exhume(bytes)?;
                trace_id.exhume(bytes)
            }
        }
    }

    /// Reading is in place, so what it costs does not include copies that the other codecs make.
    pub(super) fn measure(criterion: &mut Criterion) {
        let evidence = evidence();
        let mut group = criterion.benchmark_group("serialization, as it lies in memory");
        group.throughput(Throughput::Elements(RECORDS as u64));
        // SAFETY: of this there is no proof, see the head of this file. The bytes stay in this process, and each read
        // starts from bytes that were written by `encode` for the same type.
        group.bench_function("abomonation, write", |bencher| {
            let mut bytes = Vec::new();
            bencher.iter(|| {
                bytes.clear();
                black_box(unsafe { encode(black_box(&evidence), &mut bytes) }.is_ok())
            });
        });
        let mut bytes = Vec::new();
        let written = unsafe { encode(&evidence, &mut bytes) };
        assert!(written.is_ok());
        group.bench_function("abomonation, read", |bencher| {
            bencher.iter(|| black_box(unsafe { decode::<Vec<OwnedEvidence>>(black_box(&mut bytes)) }.is_some()));
        });
        group.finish();
    }
}

criterion_group!(benches, serialization);
criterion_main!(benches);
