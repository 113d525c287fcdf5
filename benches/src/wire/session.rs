//! Rounds of contestants over the same records on the same broker, each with a fresh output topic.

use std::{
    collections::BTreeMap,
    fmt,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use clap::ValueEnum as _;
use faultline_tests::servers::{KafkaOptions, KafkaServer};
use rdkafka::{
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
    consumer::BaseConsumer,
};

use super::{
    child::{Report, Work},
    clients,
    contestant::{Contestant, Run},
    error::{Result, WireError, io, kafka},
    evidence::{self, Found},
    load::{self, INPUT, PARTITIONS},
    marks::{Mark, Marks, now_us},
    service::{Service, ServiceOptions, Settings, evidence_topic},
    usage::{INTERVAL, Watch},
};
use crate::orders::Windows;

/// How long one run may take.
const RUN_LIMIT: Duration = Duration::from_secs(180);
/// How often the end of an output is looked for.
const LOOK: Duration = Duration::from_millis(100);
/// Between two runs, for what the first has left the broker to do.
const PAUSE: Duration = Duration::from_millis(500);

/// What to measure.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// How many records each contestant has before it.
    pub records: u64,
    /// How often each contestant runs.
    pub rounds: usize,
    /// The program `faultline`.
    pub program: PathBuf,
    /// The catalog's directory.
    pub catalog: PathBuf,
    /// Who runs, in the order of the first round.
    pub contestants: Vec<Contestant>,
    /// What is set of the service besides.
    pub settings: Settings,
}

/// A broker with the input in it.
pub struct Session {
    options: SessionOptions,
    kafka: KafkaServer,
    broker: u32,
    consumer: BaseConsumer,
    expected: Windows,
    lengths: Vec<i64>,
}

impl Session {
    /// Starts a broker and publishes the input.
    ///
    /// # Errors
    /// The broker does not start, or does not take the records.
    pub fn start(options: SessionOptions) -> Result<Self> {
        let mut broker = KafkaOptions::production();
        // What was measured is not to be written to the disk while the next one runs.
        broker.properties.insert("log.segment.delete.delay.ms".to_owned(), "100".to_owned());
        let kafka = KafkaServer::start_with(&broker)?;
        kafka.create_topic(INPUT, PARTITIONS.unsigned_abs())?;
        let expected = load::publish(kafka.bootstrap(), options.records)?;
        let consumer = clients::consumer(kafka.bootstrap())?;
        let lengths = clients::lengths(&consumer, INPUT)?;
        let broker = kafka.pid().unwrap_or_default();
        Ok(Self { options, kafka, broker, consumer, expected, lengths })
    }

    /// Runs all rounds; each begins with another contestant, so that none always follows the same one. `told` hears
    /// of each run. The runs are given by contestant, in the order of rounds.
    ///
    /// # Errors
    /// A run fails, or its results are wrong.
    pub fn run(&self, mut told: impl FnMut(usize, Contestant, &Run)) -> Result<Vec<(Contestant, Vec<Run>)>> {
        // The broker's compilers know their work when the first round begins.
        self.measure(Contestant::Child { work: Work::Passthrough, compression: "none" }, "warmup")?;
        let contestants = &self.options.contestants;
        let mut runs: BTreeMap<usize, Vec<Run>> = BTreeMap::new();
        for round in 0..self.options.rounds {
            for turn in 0..contestants.len() {
                let place = (turn + round) % contestants.len();
                let run = self.measure(contestants[place], &format!("round{round}.contestant{place}"))?;
                told(round, contestants[place], &run);
                runs.entry(place).or_default().push(run);
            }
        }
        Ok(runs.into_iter().map(|(place, runs)| (contestants[place], runs)).collect())
    }

    fn measure(&self, contestant: Contestant, name: &str) -> Result<Run> {
        std::thread::sleep(PAUSE);
        let prefix = format!("wire.{name}");
        let output = evidence_topic(&prefix);
        let appended = [("message.timestamp.type", "LogAppendTime")];
        self.kafka.create_topic_with(&output, PARTITIONS.unsigned_abs(), &appended)?;
        let run = match contestant {
            Contestant::Child { work, compression } => self.child(contestant, work, compression, &output),
            Contestant::Faultline { workers, ranges } => self.faultline(contestant, workers, ranges, &prefix, &output),
        };
        self.delete_topic(&output)?;
        run
    }

    fn child(&self, contestant: Contestant, work: Work, compression: &str, output: &str) -> Result<Run> {
        let from_ms = now_us() / 1_000;
        let program = std::env::current_exe().map_err(io("find this program"))?;
        let name = work.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let child = Command::new(program)
            .args(["contestant", "--work", &name, "--bootstrap", self.kafka.bootstrap(), "--output", output])
            .args(["--compression", compression, "--catalog"])
            .arg(&self.options.catalog)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(io(format!("start {contestant}")))?;
        let watch = Watch::start(child.id(), self.broker)?;
        // It gives up by itself when nothing comes.
        let done = child.wait_with_output().map_err(io(format!("wait for {contestant}")))?;
        let usage = watch.stop();
        if !done.status.success() {
            let output = String::from_utf8_lossy(&done.stderr).into_owned();
            return Err(WireError::Contestant { contestant: contestant.to_string(), status: done.status, output });
        }
        let report: Report = serde_json::from_slice(&done.stdout)
            .map_err(|error| WireError::Form { what: contestant.to_string(), message: error.to_string() })?;
        self.agree(contestant, "records", self.options.records, report.records)?;
        if work == Work::PlainLoop {
            self.agree(contestant, "windows", &self.expected, &report.windows)?;
        }
        let marks = match work {
            Work::Consume => report.marks,
            Work::Passthrough | Work::PlainLoop => {
                Marks::of_topic(&self.consumer, output, self.options.records, from_ms)?
            }
        };
        Ok(Run::of(marks, &usage, 0.0))
    }

    fn faultline(
        &self,
        contestant: Contestant,
        workers: usize,
        ranges: bool,
        prefix: &str,
        output: &str,
    ) -> Result<Run> {
        let SessionOptions { program, catalog, settings, records, .. } = &self.options;
        let from_ms = now_us() / 1_000;
        let service = Service::start(&ServiceOptions {
            program,
            catalog,
            bootstrap: self.kafka.bootstrap(),
            workers,
            pass: if ranges { "ranges" } else { "all" },
            prefix,
            settings,
        })?;
        let watch = Watch::start(service.pid(), self.broker)?;
        let marks = if ranges {
            self.looks(contestant, &service)?
        } else {
            service.wait_until_ready()?;
            self.wait_for(contestant, &service, LOOK, || {
                Ok(clients::lengths(&self.consumer, output)?.iter().sum::<i64>().unsigned_abs() >= *records)
            })?;
            Marks::of_topic(&self.consumer, output, *records, from_ms)?
        };
        let usage = watch.stop();
        self.agree(contestant, "windows", &self.expected, &service.windows(&self.lengths)?)?;
        service.stop()?;
        let found = if ranges {
            evidence::check_ranges(self.kafka.bootstrap(), output)?
        } else {
            evidence::check_all(self.kafka.bootstrap(), output, &self.lengths)?
        };
        let Found { pass, fail, bytes, pieces } = found;
        let sum = |verdict: usize| self.expected.values().map(|window| window[verdict]).sum::<u64>();
        self.agree(contestant, "evidence", [sum(0), sum(1)], [pass, fail])?;
        Ok(Run::of(marks, &usage, bytes as f64 / pieces.max(1) as f64))
    }

    /// Looks again and again how many records the service has judged, from before it answers.
    fn looks(&self, contestant: Contestant, service: &Service) -> Result<Marks> {
        let mut looks: Vec<Mark> = Vec::new();
        self.wait_for(contestant, service, INTERVAL, || {
            if let Ok(records) = service.records() {
                looks.push(Mark { at_us: now_us(), records });
            }
            Ok(looks.last().is_some_and(|look| look.records >= self.options.records))
        })?;
        self.agree(contestant, "records", Some(self.options.records), looks.last().map(|look| look.records))?;
        Marks::of_looks(&looks).ok_or_else(|| WireError::Wrong {
            contestant: contestant.to_string(),
            what: "it was over before the second look".to_owned(),
        })
    }

    fn wait_for(
        &self,
        contestant: Contestant,
        service: &Service,
        every: Duration,
        mut done: impl FnMut() -> Result<bool>,
    ) -> Result<()> {
        let begin = Instant::now();
        while !done()? {
            if begin.elapsed() > RUN_LIMIT {
                let what = format!("not done after {RUN_LIMIT:?}; end of its log:\n{}", service.log_tail());
                return Err(WireError::Stuck { contestant: contestant.to_string(), what });
            }
            std::thread::sleep(every);
        }
        Ok(())
    }

    fn agree<T: PartialEq + fmt::Debug>(&self, by: Contestant, what: &str, expected: T, found: T) -> Result<()> {
        if expected == found {
            return Ok(());
        }
        let what = format!("{what}: {found:?}, not {expected:?}");
        Err(WireError::Wrong { contestant: by.to_string(), what })
    }

    fn delete_topic(&self, topic: &str) -> Result<()> {
        let action = format!("delete {topic}");
        let admin: AdminClient<DefaultClientContext> =
            clients::client(self.kafka.bootstrap()).create().map_err(kafka(&action))?;
        let runtime = clients::runtime()?;
        let deleted = runtime.block_on(admin.delete_topics(&[topic], &AdminOptions::new())).map_err(kafka(&action))?;
        for outcome in deleted {
            outcome.map_err(|(_, code)| kafka(&action)(rdkafka::error::KafkaError::AdminOp(code)))?;
        }
        Ok(())
    }
}

/// Says one line of how it goes, beside the results.
pub fn progress(line: &str) {
    // Whether anyone listens is of no account to a measurement.
    let _ = writeln!(std::io::stderr(), "{line}");
}
