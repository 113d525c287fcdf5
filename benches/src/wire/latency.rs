//! How long it takes from a record to its evidence on the topic, measured from outside at a fixed rate.
//!
//! ```text
//! pace (due times) ─► raw.orders.events ─► faultline run ─► evidence ─► this: now − due, by the record's place
//! ```

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use faultline_tests::servers::{KafkaOptions, KafkaServer};
use hdrhistogram::Histogram;
use rdkafka::{Message, consumer::BaseConsumer};

use super::{
    clients,
    error::{Result, WireError, kafka},
    evidence::id_of,
    load::{INPUT, PARTITIONS},
    pace::{Pace, Stretch},
    service::{Service, ServiceOptions, Settings, evidence_topic},
    usage::{peak_resident, processor_seconds_during},
};

/// The rate and length at which everything is warmed up before the first measurement: enough for the broker's compilers.
const WARM_UP: (u64, Duration) = (20_000, Duration::from_secs(8));
/// How far ahead a stretch is announced, so that its first record is not late.
const AHEAD: Duration = Duration::from_millis(100);
/// What its topics begin with.
const PREFIX: &str = "wire.latency";
/// The longest latency that is told apart, in microseconds.
const LONGEST_US: u64 = 60_000_000;

/// What to measure.
#[derive(Debug, Clone)]
pub struct LatencyOptions {
    /// The program `faultline`.
    pub program: PathBuf,
    /// The catalog's directory.
    pub catalog: PathBuf,
    /// Worker threads.
    pub workers: usize,
    /// Records a second, one after the other.
    pub rates: Vec<u64>,
    /// How long each rate is kept up before and while it is measured.
    pub lengths: [Duration; 2],
    /// The generator's `linger.ms`.
    pub linger_ms: u64,
    /// The longest that the measuring consumer lets the broker wait for [`LatencyOptions::fetch_bytes`].
    pub fetch_wait_ms: u64,
    /// How much the measuring consumer would have at once.
    pub fetch_bytes: u64,
    /// What is set of the service besides.
    pub settings: Settings,
}

/// One rate's figures.
#[derive(Debug)]
pub struct Latencies {
    /// Records a second.
    pub rate: u64,
    /// From when a record was due to when its evidence was here, in microseconds.
    pub histogram: Histogram<u64>,
    /// How far behind its time the generator has sent a record, at most.
    pub generator_behind: Duration,
    /// Share of a core that the service used.
    pub service: f64,
    /// Share of a core that the broker used.
    pub broker: f64,
    /// Share of a core that this process used: generator and measuring consumer.
    pub harness: f64,
    /// The most memory that the service has had resident so far, in bytes.
    pub peak_resident: u64,
}

/// Measures all rates beside one broker and one service.
///
/// # Errors
/// One of them fails, or evidence does not come.
pub fn measure(options: &LatencyOptions, mut told: impl FnMut(&Latencies)) -> Result<Vec<Latencies>> {
    let kafka = KafkaServer::start_with(&KafkaOptions::production())?;
    let topic = evidence_topic(PREFIX);
    for topic in [INPUT, &topic] {
        kafka.create_topic(topic, PARTITIONS.unsigned_abs())?;
    }
    let service = Service::start(&ServiceOptions {
        program: &options.program,
        catalog: &options.catalog,
        bootstrap: kafka.bootstrap(),
        workers: options.workers,
        pass: "all",
        prefix: PREFIX,
        settings: &options.settings,
    })?;
    service.wait_until_ready()?;
    let pace = Pace::connect(kafka.bootstrap(), options.linger_ms)?;
    // Larger answers and fewer of them: a record's evidence may wait here for as long as `fetch_wait_ms`, and the broker
    // and this process take less of the machine that the service runs on.
    let consumer: BaseConsumer = clients::client(kafka.bootstrap())
        .set("group.id", "faultline-latency")
        .set("enable.auto.commit", "false")
        .set("fetch.min.bytes", options.fetch_bytes.to_string())
        .set("fetch.wait.max.ms", options.fetch_wait_ms.to_string())
        .create()
        .map_err(kafka_error())?;
    clients::assign_whole(&consumer, &topic)?;

    let processes = [service.pid(), kafka.pid().unwrap_or_default(), std::process::id()];
    let mut first = 0;
    let mut run = |rate: u64, length: Duration| {
        let count = (u128::from(rate) * length.as_millis() / 1_000) as u64;
        let stretch = Stretch { start: Instant::now() + AHEAD, first, count, rate };
        first += count;
        let (used, (histogram, generator_behind)) =
            processor_seconds_during(processes, || one(&pace, &consumer, &stretch))?;
        let lasted = stretch.start.elapsed().as_secs_f64();
        let [service, broker, harness] = used.map(|seconds| seconds / lasted);
        let peak_resident = peak_resident(processes[0]).unwrap_or_default();
        Ok::<_, WireError>(Latencies { rate, histogram, generator_behind, service, broker, harness, peak_resident })
    };
    let (rate, length) = WARM_UP;
    run(rate, length)?;
    let mut all = Vec::new();
    for &rate in &options.rates {
        let [before, measured] = options.lengths;
        run(rate, before)?;
        let latencies = run(rate, measured)?;
        told(&latencies);
        all.push(latencies);
    }
    service.stop()?;
    Ok(all)
}

/// One stretch: sent by a thread of its own, its evidence awaited here.
fn one(pace: &Pace, consumer: &BaseConsumer, stretch: &Stretch) -> Result<(Histogram<u64>, Duration)> {
    let mut histogram = Histogram::new_with_bounds(1, LONGEST_US, 3)
        .map_err(|error| WireError::Form { what: "histogram".to_owned(), message: error.to_string() })?;
    std::thread::scope(|threads| {
        let sending = threads.spawn(|| pace.send(stretch));
        let mut last = Instant::now();
        while histogram.len() < stretch.count {
            let polled = consumer.poll(Duration::from_millis(200));
            let now = Instant::now();
            match polled {
                Some(Ok(message)) => {
                    last = now;
                    let number = number_of(&message)?;
                    if number < stretch.first {
                        let what = format!("a second piece of evidence of record {number}");
                        return Err(WireError::Wrong { contestant: message.topic().to_owned(), what });
                    }
                    let latency = now.saturating_duration_since(stretch.start + stretch.due(number));
                    histogram.saturating_record(latency.as_micros() as u64);
                }
                Some(Err(error)) => return Err(kafka_error()(error)),
                None if last.elapsed() > clients::SILENCE => {
                    let what = format!("evidence of {} of {} records came", histogram.len(), stretch.count);
                    return Err(WireError::Stuck { contestant: "faultline".to_owned(), what });
                }
                None => {}
            }
        }
        let stopped = || WireError::Stuck { contestant: "the generator".to_owned(), what: "it panicked".to_owned() };
        let behind = sending.join().map_err(|_| stopped())??;
        Ok((histogram, behind))
    })
}

fn number_of(message: &rdkafka::message::BorrowedMessage<'_>) -> Result<u64> {
    let evidence = message.payload().unwrap_or_default();
    id_of(evidence).map(|id| Stretch::number(id.partition(), id.offset())).ok_or_else(|| WireError::Form {
        what: message.topic().to_owned(),
        message: format!("no evidence: {}", String::from_utf8_lossy(evidence)),
    })
}

fn kafka_error() -> impl FnOnce(rdkafka::error::KafkaError) -> WireError {
    kafka("read evidence")
}

/// The figures as a Markdown table, and what they were measured on.
#[must_use]
pub fn markdown(options: &LatencyOptions, all: &[Latencies], machine: &[String]) -> String {
    use std::fmt::Write as _;
    let mut text = format!(
        "From when a record was due to its evidence in a consumer, {} s a rate after {} s to warm up, `faultline run --workers {}`. \
         Cores: share of one core.\n\n\
         | records/s | p50 ms | p90 | p99 | p99.9 | most | generator late by, most | faultline cores | CPU s per million \
         | broker cores | harness cores | peak RSS MB |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n",
        options.lengths[1].as_secs(),
        options.lengths[0].as_secs(),
        options.workers,
    );
    for latencies in all {
        let Latencies { rate, histogram, generator_behind, service, broker, harness, peak_resident } = latencies;
        let [p50, p90, p99, p999] =
            [0.5, 0.9, 0.99, 0.999].map(|quantile| histogram.value_at_quantile(quantile) as f64 / 1e3);
        _ = writeln!(
            text,
            "| {rate} | {p50:.1} | {p90:.1} | {p99:.1} | {p999:.1} | {:.1} | {:.1} | {service:.3} | {:.2} | {broker:.3} | {harness:.3} | {:.0} |",
            histogram.max() as f64 / 1e3,
            generator_behind.as_secs_f64() * 1e3,
            service * 1e6 / *rate as f64,
            *peak_resident as f64 / 1e6,
        );
    }
    text.push('\n');
    for line in machine {
        _ = writeln!(text, "- {line}");
    }
    text
}
