//! The records of `raw.orders.events`.

use super::{ScenarioError, millis};
use crate::envelope::Envelope;
use crate::scenario::order::{Item, Order, TraceContext};
use crate::scenario::random::Random;

/// The topic.
pub const TOPIC: &str = "raw.orders.events";
/// Where the first failing record lies.
pub const FIRST_FAILURE_PARTITION: i32 = 4;
/// Where the first failing record lies.
pub const FIRST_FAILURE_OFFSET: i64 = 9_918_273;
/// The trace of the first failing record.
pub const FIRST_FAILURE_TRACE: u128 = 0xab91_f3c0_7d2e_4b58_a6c1_9d0e_7f2b_8a43;

const SEED: u64 = 20_231_027;
const FIRST_FAILURE_ORDER: u64 = 99_123;
const PARTITIONS: usize = 6;
/// Ends of the partitions some time before the story; the fourth follows from the first failure's offset.
const OFFSETS: [i64; PARTITIONS] = [9_921_406, 9_917_055, 9_919_880, 9_920_342, 0, 9_916_731];

/// Orders a phase of the story sends: how many, over how many milliseconds.
struct Phase {
    start: &'static str,
    length: u64,
    count: u64,
    whole: bool,
}

const PHASES: [Phase; 5] = [
    Phase { start: "2023-10-27T09:45:00Z", length: 300_000, count: 298, whole: true },
    Phase { start: "2023-10-27T09:50:00Z", length: 300_000, count: 305, whole: true },
    Phase { start: "2023-10-27T09:55:00Z", length: 182_000, count: 112, whole: true },
    Phase { start: "2023-10-27T09:58:02.500Z", length: 37_500, count: 15, whole: true },
    Phase { start: "2023-10-27T09:58:02.001Z", length: 117_999, count: 1_119, whole: false },
];
const FIRST_FAILURE: &str = "2023-10-27T09:58:02Z";

/// All orders, in time order; offsets rise by one in each partition.
pub fn orders() -> Result<Vec<Envelope>, ScenarioError> {
    let mut random = Random::seeded(SEED);
    let first_failure = millis(FIRST_FAILURE)?;
    let mut times = vec![(first_failure, false)];
    for Phase { start, length, count, whole } in PHASES {
        times.extend(random.times(millis(start)?, length, count).into_iter().map(|time| (time, whole)));
    }
    times.sort_by_key(|(time, _)| *time);

    let partitions: Vec<usize> = times
        .iter()
        .map(|(time, _)| match random.below(PARTITIONS as u64) as usize {
            _ if *time == first_failure => FIRST_FAILURE_PARTITION as usize,
            any => any,
        })
        .collect();
    let before = times.iter().take_while(|(time, _)| *time < first_failure).count();
    let before_in_partition =
        partitions[..before].iter().filter(|partition| **partition == FIRST_FAILURE_PARTITION as usize).count();
    let mut offsets = OFFSETS;
    offsets[FIRST_FAILURE_PARTITION as usize] = FIRST_FAILURE_OFFSET - before_in_partition as i64;

    let first_order = FIRST_FAILURE_ORDER - before as u64;
    let mut envelopes = Vec::with_capacity(times.len());
    for (number, ((time, whole), partition)) in (first_order..).zip(times.into_iter().zip(partitions)) {
        let is_first_failure = time == first_failure;
        let order = if is_first_failure { first_failing_order() } else { Order::random(number, &mut random) };
        let order = if whole { order } else { order.without_customer() };
        let offset = offsets[partition];
        offsets[partition] += 1;
        envelopes.push(Envelope {
            topic: TOPIC.to_owned(),
            partition: partition as i32,
            offset,
            tstype: "create".to_owned(),
            ts: time,
            headers: headers(is_first_failure, &mut random),
            key: Some(order.order_id.clone()),
            payload: Some(serde_json::to_string(&order)?),
            payload_base64: None,
        });
    }
    Ok(envelopes)
}

fn first_failing_order() -> Order {
    Order {
        order_id: format!("O-{FIRST_FAILURE_ORDER}"),
        customer_id: None,
        total_amount: 149.99,
        currency: "USD",
        items: vec![Item { sku: "SKU-20417".to_owned(), qty: 1, price: 149.99 }],
    }
}

/// Two in five records are traced; one in fifty comes from the few instances that name themselves, by the
/// service's id or its alias, the others leave the producer to the topic mapping.
fn headers(is_first_failure: bool, random: &mut Random) -> Vec<Option<String>> {
    let mut headers = Vec::new();
    let mut add = |key: &str, value: String| headers.extend([Some(key.to_owned()), Some(value)]);
    let trace = TraceContext::random(random);
    let (traced, named) = (random.per_mille(400), random.per_mille(20));
    if is_first_failure {
        add("traceparent", TraceContext { trace_id: FIRST_FAILURE_TRACE, sampled: true, ..trace }.traceparent());
        return headers;
    }
    if traced {
        add("traceparent", trace.traceparent());
    }
    if named {
        add("x-obs-producer-service", random.pick(&["orders-svc", "orders-service"]).to_owned());
    }
    headers
}
