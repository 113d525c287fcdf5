//! The servers, and one run of the orders incident beside them.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use faultline_tests::contents::Contents;
use faultline_tests::proxy::Proxy;
use faultline_tests::scenario::orders;
use faultline_tests::servers::{
    DynamoServer, GremlinServer, KafkaOptions, KafkaServer, Publisher, Storage,
    process::{freeze, thaw},
};
use faultline_tests::service::{CONTROL_TOPICS, Service};
use serde_json::Value;

use super::fault::{Fault, Target};

const DATA: &str = "raw.orders.events";
const EVIDENCE: &str = "signal_factory.evidence";
/// Over how long the incident's records are published.
const LOAD: Duration = Duration::from_secs(8);
/// When the fault begins: healthy windows are judged by then, and the breach is still to come.
const FAULT_AT: Duration = Duration::from_secs(2);
/// How long it lasts at least.
const FAULT_LASTS: Duration = Duration::from_secs(6);
/// How long it lasts at most, if health does not tell of it.
const FAULT_SEEN_WITHIN: Duration = Duration::from_secs(15);
const SLOWNESS: Duration = Duration::from_millis(400);
const SETTLED_WITHIN: Duration = Duration::from_secs(90);
/// Counts of an ongoing breach are refreshed each 5 s.
const AT_REST_AFTER: Duration = Duration::from_secs(12);

/// Servers that all runs share; each run has a broker, a table and a graph of its own.
pub struct Stage {
    dynamo: DynamoServer,
    gremlin: GremlinServer,
    to_dynamo: Proxy,
    to_gremlin: Proxy,
    runs: usize,
    undisturbed: Option<Contents>,
}

/// What one run came to.
pub struct Outcome {
    pub account: Account,
    pub contents: Contents,
}

/// What became of the records of a run.
#[derive(Debug, Default)]
pub struct Account {
    /// How long the fault lasted.
    lasted: Duration,
    /// How long after it began health told of it.
    pub degraded_after: Option<Duration>,
    /// How long after it ended health said that all is well.
    recovered_after: Duration,
    offered: usize,
    evidence: usize,
    pub lost: usize,
    pub duplicates: usize,
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lasted, degraded_after, recovered_after, offered, evidence, lost, duplicates } = self;
        let degraded = degraded_after.map_or("never".to_owned(), |after| format!("after {:.1} s", after.as_secs_f64()));
        write!(
            f,
            "for {:.1} s; degraded {degraded}, well {:.1} s after its end; offered {offered}, evidence {evidence}, \
             duplicates {duplicates}, lost {lost}",
            lasted.as_secs_f64(),
            recovered_after.as_secs_f64(),
        )
    }
}

impl Stage {
    /// The stage, set once for all tests of this process, which take turns on it.
    pub fn set() -> MutexGuard<'static, Self> {
        static STAGE: OnceLock<Mutex<Stage>> = OnceLock::new();
        STAGE.get_or_init(|| Mutex::new(Self::new())).lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn new() -> Self {
        let (dynamo, gremlin) = (DynamoServer::start(Storage::Disk).unwrap(), GremlinServer::start().unwrap());
        let (to_dynamo, to_gremlin) = (Proxy::start().unwrap(), Proxy::start().unwrap());
        to_dynamo.forward_to(dynamo.port());
        to_gremlin.forward_to(gremlin.port());
        Self { dynamo, gremlin, to_dynamo, to_gremlin, runs: 0, undisturbed: None }
    }

    /// What a run without a fault leaves in the stores.
    pub fn undisturbed(&mut self) -> &Contents {
        if self.undisturbed.is_none() {
            let run = self.run(None);
            assert_eq!((run.account.lost, run.account.duplicates), (0, 0), "undisturbed: {}", run.account);
            println!("undisturbed: {} {:?}", run.account, run.contents.counts());
            self.undisturbed = Some(run.contents);
        }
        self.undisturbed.as_ref().unwrap()
    }

    /// Runs the incident, with this fault in the middle of it.
    pub fn run(&mut self, disturbance: Option<(Target, Fault)>) -> Outcome {
        self.runs += 1;
        let table = format!("signal_state_{}", self.runs);
        self.gremlin.ask("g.V().drop()").unwrap();
        let to_kafka = Arc::new(Proxy::start().unwrap());
        let options = KafkaOptions { behind: Some(Arc::clone(&to_kafka)), ..KafkaOptions::default() };
        let mut kafka = KafkaServer::start_with(&options).unwrap();
        kafka.create_topic(DATA, 6).unwrap();
        for topic in CONTROL_TOPICS {
            kafka.create_topic(topic, 1).unwrap();
        }
        let configuration = format!(
            "windows: {{idle_timeout_ms: 3600000}}\n\
             dynamodb: {{table: {table}, region: us-east-1, endpoint: \"http://127.0.0.1:{}\", credentials: local}}\n\
             graph: {{endpoint: \"ws://127.0.0.1:{}/gremlin\"}}\n",
            self.to_dynamo.port(),
            self.to_gremlin.port(),
        );
        let service = Service::start(&kafka, &orders::folder(), 2, &configuration).unwrap();
        wait_until("all is well at the start", &service, || healthy(&service));

        let mut account = Account::default();
        let envelopes = &orders::capture().unwrap();
        account.offered = envelopes.iter().filter(|envelope| envelope.topic == DATA).count();
        let publisher = kafka.publisher();
        std::thread::scope(|threads| {
            let publisher = &publisher;
            let load = threads.spawn(move || publisher.publish_over(envelopes, LOAD).unwrap());
            if let Some((target, fault)) = disturbance {
                std::thread::sleep(FAULT_AT);
                let begin = Instant::now();
                self.inject(target, fault, &mut kafka, &to_kafka, publisher);
                while begin.elapsed() < FAULT_LASTS
                    || (fault.shows() && account.degraded_after.is_none() && begin.elapsed() < FAULT_SEEN_WITHIN)
                {
                    if account.degraded_after.is_none() && suffers(&service, target) {
                        account.degraded_after = Some(begin.elapsed());
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
                self.heal(target, fault, &mut kafka, &to_kafka);
                account.lasted = begin.elapsed();
            }
            load.join().unwrap();
        });
        let healed = Instant::now();
        wait_until("all is well again", &service, || healthy(&service));
        account.recovered_after = healed.elapsed();

        let offered = account.offered;
        wait_until("all evidence is there", &service, || evidence(&kafka).len() >= offered);
        let found = evidence(&kafka);
        account.evidence = found.len();
        account.duplicates = found.len() - found.iter().collect::<BTreeSet<_>>().len();
        account.lost = offered.saturating_sub(found.len() - account.duplicates);
        let contents = self.settled_contents(&service, &table);
        let status = service.terminate().unwrap();
        assert_eq!(status.code(), Some(0), "{}", service.log_tail());
        Outcome { account, contents }
    }

    fn inject(&mut self, target: Target, fault: Fault, kafka: &mut KafkaServer, to_kafka: &Proxy, load: &Publisher) {
        match (fault, target) {
            (Fault::Stopped | Fault::Restarted, Target::Kafka) => {
                let _nothing_on_its_way = load.pause();
                kafka.stop();
            }
            (Fault::Stopped | Fault::Restarted, Target::DynamoDb) => self.dynamo.stop(),
            // In good order: its graph is in memory, and saved then. Neptune's outlives a crash.
            (Fault::Stopped | Fault::Restarted, Target::Gremlin) => self.gremlin.stop().unwrap(),
            (Fault::Frozen, _) => freeze(self.pid(target, kafka)).unwrap(),
            (Fault::Slowed, _) => self.proxy(target, to_kafka).delay(SLOWNESS),
        }
        if fault == Fault::Restarted {
            self.start_again(target, kafka);
        }
    }

    fn heal(&mut self, target: Target, fault: Fault, kafka: &mut KafkaServer, to_kafka: &Proxy) {
        match fault {
            Fault::Stopped => self.start_again(target, kafka),
            Fault::Frozen => thaw(self.pid(target, kafka)).unwrap(),
            Fault::Slowed => self.proxy(target, to_kafka).delay(Duration::ZERO),
            Fault::Restarted => {}
        }
    }

    fn start_again(&mut self, target: Target, kafka: &mut KafkaServer) {
        match target {
            Target::Kafka => kafka.start_again().unwrap(),
            Target::DynamoDb => self.dynamo.start_again().unwrap(),
            Target::Gremlin => self.gremlin.start_again().unwrap(),
        }
    }

    fn pid(&self, target: Target, kafka: &KafkaServer) -> u32 {
        let pid = match target {
            Target::Kafka => kafka.pid(),
            Target::DynamoDb => self.dynamo.pid(),
            Target::Gremlin => self.gremlin.pid(),
        };
        pid.unwrap()
    }

    fn proxy<'a>(&'a self, target: Target, to_kafka: &'a Proxy) -> &'a Proxy {
        match target {
            Target::Kafka => to_kafka,
            Target::DynamoDb => &self.to_dynamo,
            Target::Gremlin => &self.to_gremlin,
        }
    }

    /// What the stores hold once that is what an undisturbed run leaves, or as long as one waits for it. The undisturbed
    /// run itself has come to rest when nothing has changed for longer than counts of a breach take to be refreshed.
    fn settled_contents(&self, service: &Service, table: &str) -> Contents {
        let begin = Instant::now();
        let (mut contents, mut since) = (self.contents(service, table), Instant::now());
        loop {
            let settled = match &self.undisturbed {
                Some(expected) => contents == *expected,
                None => contents.is_whole() && since.elapsed() > AT_REST_AFTER,
            };
            if settled || begin.elapsed() > SETTLED_WITHIN {
                return contents;
            }
            std::thread::sleep(Duration::from_secs(1));
            let now = self.contents(service, table);
            if now != contents {
                (contents, since) = (now, Instant::now());
            }
        }
    }

    fn contents(&self, service: &Service, table: &str) -> Contents {
        let mut contents = Contents::default();
        contents.add_sqlite(&service.dir().join("data/faultline.db"));
        contents.add("dynamodb", self.dynamo.items(table).unwrap());
        for (place, traversal) in [
            ("gremlin vertices", "g.V().project('id','label','of').by(T.id).by(T.label).by(valueMap())"),
            (
                "gremlin edges",
                "g.E().project('id','label','of','from','to').by(T.id).by(T.label).by(valueMap()).by(outV().id()).by(inV().id())",
            ),
        ] {
            contents.add(place, self.gremlin.ask(traversal).unwrap());
        }
        contents
    }
}

/// The ids of all evidence.
fn evidence(kafka: &KafkaServer) -> Vec<String> {
    let id = |payload: Option<Vec<u8>>| {
        let evidence: Value = serde_json::from_slice(&payload.unwrap()).unwrap();
        evidence["evidence_id"].as_str().unwrap().to_owned()
    };
    kafka.read_all(EVIDENCE).unwrap().into_iter().map(|message| id(message.payload)).collect()
}

fn healthy(service: &Service) -> bool {
    service.get("/healthz").is_ok_and(|text| text == "ok\n")
}

/// Whether both health and metrics say so.
fn suffers(service: &Service, target: Target) -> bool {
    let (Ok(health), Ok(metrics)) = (service.get("/healthz"), service.get("/metrics")) else { return false };
    let in_health = |name: &str| health.lines().any(|line| line.starts_with(&format!("{name}: ")));
    let down = metrics.lines().any(|line| line.starts_with("faultline_up{") && line.ends_with(" 0"));
    target.dependencies().iter().any(|name| in_health(name)) && down
}

fn wait_until(what: &str, service: &Service, mut so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !so() {
        let health = service.get("/healthz").unwrap_or_default();
        assert!(begin.elapsed() < SETTLED_WITHIN, "waited in vain until {what}; {health}\n{}", service.log_tail());
        std::thread::sleep(Duration::from_millis(100));
    }
}
