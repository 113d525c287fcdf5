//! Kafka as a source: each worker assigns itself its partitions and reads them with one consumer.
//!
//! There is no group protocol and so no rebalance: a partition's worker is a function of its name
//! ([`owner`]). Positions are still committed to a group, so that Kafka's tools show the lag.
//!
//! ```text
//! KafkaCluster (a thread) ── topology ──► worker: which new partitions are mine? ── question ──► KafkaCluster
//!                                                     ▲                                              │
//!        records ◄── consumer ◄── assign ◄── begin or resume, and what was missed ◄──── answer ──────┘
//! ```
//! A worker never waits for a broker but at the start: what it has to know is looked up for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use faultline_contracts::{
    catalog::Catalog,
    record::{RawRecord, RecordCoordinates, TopicPartition},
    time::UnixMillis,
};
use faultline_operators::positions::{PartitionBegin, Position as ResumeAt};
use faultline_sinks::kafka::{kafka_config, refusal};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};

use self::{
    cluster::{Answer, CONNECT_TIMEOUT, Place, Question, Topology},
    commits::Commits,
    consumer::{Failure, Fetched, PartitionConsumer},
    context::Context,
    left::{Left, LeftAt},
    selection::Selection,
    start::{Gap, Start, TopicId, begin, cut_at, resume},
};
use super::{ControlRecord, Intake, TopicRole, hold_back, owner};
use crate::{
    config::{KafkaConfig, StartFrom, StartRules, Topics},
    metrics::{Metrics, PartitionLabel},
};

mod clients;
mod cluster;
mod commits;
mod consumer;
mod context;
mod left;
mod loss;
mod selection;
mod start;
pub(crate) mod topic_ids;

pub use cluster::KafkaCluster;
pub use loss::KafkaMetrics;

/// The most headers of a record that are looked at.
const HEADERS_READ: usize = 256;
/// How long the last commit may take, at the end.
const LAST_COMMIT: Duration = Duration::from_secs(5);
const LAST_COMMIT_POLL: Duration = Duration::from_millis(10);
/// No topic has this name; a question about it is answered by any broker, and makes nothing.
const NO_TOPIC: &str = "faultline-no-topic";

/// What a consumer asks of librdkafka where `kafka.settings` say nothing.
const DEFAULTS: &[(&str, &str)] = &[
    // A broker answers when so much has come, or after so long. Without it, it answers every batch that any producer
    // sends, and at thousands of small batches a second that costs both sides more than the records do.
    ("fetch.min.bytes", "16384"),
    ("fetch.wait.max.ms", "50"),
    // What is read ahead, for each worker: a tenth of a second at the speed of the wire. A full queue is looked at again
    // soon; librdkafka's own second would be most of the time a pause.
    ("queued.min.messages", "50000"),
    ("queued.max.messages.kbytes", "32768"),
    ("fetch.queue.backoff.ms", "2"),
    // What a transaction has not committed, or has aborted, is nobody's data.
    ("isolation.level", "read_committed"),
    // Back soon after a broker is; librdkafka's own pauses grow to ten seconds.
    ("reconnect.backoff.max.ms", "1000"),
    // A topic that is deleted and made anew is not believed to be there for as long as news of it may be late, and looked
    // at again as rarely: librdkafka's half a minute and five minutes would be as long a silence.
    ("topic.metadata.propagation.max.ms", "2000"),
    ("topic.metadata.refresh.interval.ms", "10000"),
    ("statistics.interval.ms", "5000"),
];

/// A source that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum KafkaSourceError {
    /// librdkafka does not take a setting.
    #[error("kafka.settings: {0}")]
    Settings(String),
    /// The brokers do not answer.
    #[error("no answer from the brokers at {bootstrap}: {source}; check kafka.bootstrap and that the broker is up")]
    Unreachable {
        /// `bootstrap.servers`
        bootstrap: String,
        /// What librdkafka says.
        source: KafkaError,
    },
    /// A pattern of topics is no regular expression.
    #[error("topics.data or kafka.start_per_topic: {0}")]
    Pattern(#[from] regex::Error),
    /// A thread cannot be started.
    #[error("cannot start the thread that watches the brokers: {0}")]
    Thread(#[source] std::io::Error),
}

impl KafkaSourceError {
    fn settings(error: &KafkaError) -> Self {
        Self::Settings(refusal(error))
    }
}

/// A partition of this worker.
struct Position {
    /// The topic's id when reading began.
    id: Option<TopicId>,
    stage: Stage,
    /// The offset to be read next; negative before reading begins.
    next: i64,
    /// What the group has taken.
    committed: i64,
    /// Whether it cannot be read though brokers answer.
    trouble: Option<Trouble>,
    /// Whether the last topology was without it.
    absent: bool,
}

/// Why a partition cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// It is told again if it lasts.
    Passing,
    /// It is told once, and lasts until a record comes.
    Lasting,
}

/// How far a partition is on its way to being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Where it begins is being looked up.
    Starting(Beginning),
    /// It is assigned.
    Reading,
    /// Its position is not in the log any more; what is, is being looked up.
    Resuming {
        /// Where the log was cut off, if librdkafka knows.
        cut_at: Option<i64>,
    },
}

/// Where a partition is read from first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beginning {
    /// It was there before us: as configured.
    Configured(StartFrom),
    /// It is new: all of it counts.
    New,
}

/// One worker's consumer.
pub struct KafkaSource {
    consumer: PartitionConsumer<Context>,
    cluster: Arc<KafkaCluster>,
    selection: Selection,
    topics: Topics,
    start: StartFrom,
    start_rules: StartRules,
    worker: usize,
    workers: usize,
    partitions: Partitions,
    /// How far partitions were read that are not read any more, or not yet after a restart.
    left: Left,
    /// The topics of which a snapshot had positions.
    resumed: BTreeSet<Arc<str>>,
    /// Whether to choose anew at the next poll.
    choose_now: bool,
    /// The topology that `partitions` are of, and its number.
    topology: Arc<Topology>,
    generation: u64,
    asking: mpsc::Sender<Answer>,
    answers: mpsc::Receiver<Answer>,
    future_ms: i64,
    metrics: Arc<Metrics>,
    commits: Commits,
}

/// How to make a source.
pub struct KafkaSourceOptions<'a> {
    /// The brokers.
    pub cluster: Arc<KafkaCluster>,
    /// Where to start, and under which group.
    pub kafka: &'a KafkaConfig,
    /// Which topics are what.
    pub topics: &'a Topics,
    /// Whose datasets' topics are read too.
    pub catalog: Arc<Catalog>,
    /// How far ahead of the clock a record may be, in milliseconds.
    pub future_ms: i64,
    /// This worker.
    pub worker: usize,
    /// All workers of the cluster.
    pub workers: usize,
    /// Where reading goes on after a restart; of no partition on a first start.
    pub positions: &'a BTreeMap<TopicPartition, ResumeAt>,
    /// Where lag and loss go.
    pub metrics: Arc<Metrics>,
    /// Called when records arrive at an empty queue.
    pub wake: Arc<dyn Fn() + Send + Sync>,
}

impl KafkaSource {
    /// Makes the consumer and assigns this worker's partitions. Those that have no leader just now follow later.
    ///
    /// # Errors
    /// A setting is not taken, or no broker answers.
    pub fn connect(options: KafkaSourceOptions<'_>, intake: &mut impl Intake) -> Result<Self, KafkaSourceError> {
        let KafkaSourceOptions {
            cluster,
            kafka,
            topics,
            catalog,
            future_ms,
            worker,
            workers,
            positions,
            metrics,
            wake,
        } = options;
        let mut config = kafka_config(cluster.settings(), DEFAULTS);
        config
            .set("group.id", &kafka.group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "false")
            // A position that is not in the log is told, and not mended in silence.
            .set("auto.offset.reset", "error");
        let context = Context::new(Arc::clone(&metrics), cluster.settings().tokens.clone());
        let refused = |error: KafkaError| KafkaSourceError::settings(&error);
        let consumer: BaseConsumer<Context> = config.create_with_context(context).map_err(refused)?;
        let consumer = PartitionConsumer::new(consumer, move || wake()).map_err(refused)?;
        let (asking, answers) = mpsc::channel();
        let mut source = Self {
            consumer,
            selection: Selection::new(topics, catalog)?,
            topics: topics.clone(),
            start: kafka.start,
            start_rules: kafka.start_per_topic.matcher()?,
            worker,
            workers,
            partitions: BTreeMap::new(),
            left: Left::with_room_for(positions.len()),
            resumed: BTreeSet::new(),
            choose_now: false,
            topology: cluster.topology(),
            generation: cluster.generation(),
            cluster,
            asking,
            answers,
            future_ms,
            metrics,
            commits: Commits::new(Instant::now()),
        };
        for (at, position) in positions {
            source.resumed.insert(Arc::clone(&at.topic));
            if owner(&at.topic, at.partition, workers) == worker {
                let id = position.topic_id.clone().map(TopicId);
                source.left.insert((Arc::clone(&at.topic), at.partition), LeftAt { next: position.next, id });
            }
        }
        // Whatever is there now was there before us.
        let asked = source.choose(&Arc::clone(&source.topology), intake);
        source.wait_for(asked, intake)?;
        Ok(source)
    }

    /// Waits until the first questions are answered, as far as they can be.
    fn wait_for(&mut self, asked: usize, intake: &mut impl Intake) -> Result<(), KafkaSourceError> {
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        let mut answered = 0;
        while answered < asked {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.answers.recv_timeout(left) {
                Ok(answer) => {
                    self.answered(vec![answer], intake);
                    answered += 1;
                }
                Err(_) => {
                    if let Some(source) = unreachable(answered, self.cluster.silence()) {
                        let bootstrap = self.cluster.settings().bootstrap_servers.clone();
                        return Err(KafkaSourceError::Unreachable { bootstrap, source });
                    }
                    tracing::warn!(waiting = asked - answered, "partitions are read once they have a leader");
                    return Ok(());
                }
            }
        }
        tracing::info!(worker = self.worker, partitions = asked, "partitions assigned");
        Ok(())
    }

    /// Takes partitions of this worker that are not known yet, and asks where they begin. What was in `before` is not
    /// new, only newly wanted. Returns how many there were.
    fn choose(&mut self, before: &Arc<Topology>, intake: &mut impl Intake) -> usize {
        let mut questions = Vec::new();
        let topology = Arc::clone(&self.topology);
        for (name, topic) in &topology.topics {
            if !self.selection.contains(name) {
                continue;
            }
            for &partition in topic.leaders.keys() {
                let mine = owner(name, partition, self.workers) == self.worker;
                if !mine || self.partitions.get(name).is_some_and(|them| them.contains_key(&partition)) {
                    continue;
                }
                let place = (Arc::clone(name), partition);
                let (stage, next, id) = match self.left.remove(&place) {
                    Some(LeftAt { next, id }) => (Stage::Resuming { cut_at: None }, next, id),
                    // The others of its topic were there when the snapshot was taken, and it was not.
                    None if self.resumed.contains(name) => (Stage::Starting(Beginning::New), -1, None),
                    None if before.has(name, partition) => {
                        let start = self.start_rules.of(name, self.start);
                        (Stage::Starting(Beginning::Configured(start)), -1, None)
                    }
                    None => (Stage::Starting(Beginning::New), -1, None),
                };
                if self.topics.role(name) == TopicRole::Data {
                    intake.assigned(name, partition);
                }
                let position = Position { id, stage, next, committed: -1, trouble: None, absent: false };
                self.partitions.entry(Arc::clone(name)).or_default().insert(partition, position);
                questions.push(self.question(place, stage));
            }
        }
        let asked = questions.len();
        if asked > 0 {
            self.cluster.ask(questions);
        }
        asked
    }

    fn question(&self, place: Place, stage: Stage) -> Question {
        let needs_committed = stage == Stage::Starting(Beginning::Configured(StartFrom::Committed));
        Question { place, needs_committed, answer: self.asking.clone() }
    }

    /// Goes over to the topology that is new: takes what is new in it, and lets go of what is not there any more.
    fn go_over(&mut self, intake: &mut impl Intake) {
        self.generation = self.cluster.generation();
        let before = std::mem::replace(&mut self.topology, self.cluster.topology());
        let (mut gone, mut anew) = (Vec::new(), Vec::new());
        for (name, partitions) in &mut self.partitions {
            let topic = self.topology.topics.get(name);
            for (&partition, position) in partitions {
                let there = topic.is_some_and(|topic| topic.leaders.contains_key(&partition));
                // Once may be a broker that has just started; twice is gone.
                if !there && std::mem::replace(&mut position.absent, true) {
                    gone.push((Arc::clone(name), partition));
                    continue;
                }
                position.absent = !there;
                let led = topic.is_some_and(|topic| topic.leaders.get(&partition).is_some_and(|&leader| leader >= 0));
                if led && position.trouble == Some(Trouble::Passing) {
                    position.trouble = None;
                    self.cluster.failing(-1, "");
                }
                let id = topic.and_then(|topic| topic.id.as_ref());
                let other = id.is_some() && position.id.is_some() && id != position.id.as_ref();
                if there && other && position.stage == Stage::Reading {
                    anew.push((Arc::clone(name), partition));
                }
            }
        }
        if !gone.is_empty() {
            tracing::warn!(partitions = ?gone, "topics are gone; they are not read any more");
            self.stop(&gone);
            self.leave(gone, outlives_absence);
        }
        self.resume(anew.into_iter().map(|place| Stopped { place, at: -1, cut_at: None }).collect());
        let asked = self.choose(&before, intake);
        if asked > 0 {
            tracing::info!(worker = self.worker, partitions = asked, "new partitions");
        }
    }

    /// Reads what another catalog names: its topics are chosen at the next poll, and those that nothing names any more are
    /// left where they are.
    pub fn follow_catalog(&mut self, catalog: &Arc<Catalog>) {
        if !self.selection.follow(catalog) {
            return;
        }
        self.choose_now = true;
        // It may name a topic that has just been made.
        self.cluster.look_around();
        let mut gone = Vec::new();
        for (name, partitions) in self.partitions.iter().filter(|(name, _)| !self.selection.contains(name)) {
            gone.extend(partitions.keys().map(|&partition| (Arc::clone(name), partition)));
        }
        if gone.is_empty() {
            return;
        }
        tracing::info!(worker = self.worker, partitions = gone.len(), "partitions left, by the catalog");
        self.stop(&gone);
        self.leave(gone, |_| true);
    }

    /// Drops partitions that have been stopped. How far they were read is kept of those whose position may hold when they
    /// come back.
    fn leave(&mut self, places: Vec<Place>, holds: impl Fn(&LeftAt) -> bool) {
        for place in places {
            let position = self.partitions.get_mut(&place.0).and_then(|partitions| partitions.remove(&place.1));
            let Some(Position { next, id, .. }) = position.filter(|position| position.next >= 0) else { continue };
            let at = LeftAt { next, id };
            if holds(&at)
                && let Some((topic, partition)) = self.left.insert(place, at)
            {
                tracing::warn!(%topic, partition, "too many partitions were left: if this one comes back it is read as new");
            }
        }
        self.partitions.retain(|_, partitions| !partitions.is_empty());
    }

    /// Takes partitions from the consumer. What it has of them is dropped.
    fn stop(&mut self, places: &[Place]) {
        let mut list = TopicPartitionList::new();
        for place in places {
            self.cluster.reading(place, false);
            let Some(position) = position(&mut self.partitions, place) else { continue };
            if position.trouble.take().is_some() {
                self.cluster.failing(-1, "");
            }
            if position.stage == Stage::Reading {
                list.add_partition(&place.0, place.1);
            }
        }
        if list.count() > 0
            && let Err(error) = self.consumer.unassign(&list)
        {
            tracing::error!(%error, partitions = ?places, "partitions not let go; restart the service if they stay silent");
        }
        for (topic, partition) in places {
            self.metrics.lag.remove(&PartitionLabel { topic: topic.to_string(), partition: *partition });
        }
    }

    /// Has it looked up where to go on with partitions that cannot be read from where they are.
    fn resume(&mut self, stopped: Vec<Stopped>) {
        for Stopped { place, at, cut_at } in stopped {
            self.stop(std::slice::from_ref(&place));
            if let Some(position) = position(&mut self.partitions, &place) {
                // What lies between the last record and where the consumer was is markers of transactions.
                position.next = position.next.max(at);
            }
            self.ask_again(vec![place], Stage::Resuming { cut_at });
        }
    }

    /// Begins, or goes on, reading where answers say.
    fn answered(&mut self, answers: Vec<Answer>, intake: &mut impl Intake) {
        let mut list = TopicPartitionList::new();
        let (mut begun, mut gone) = (Vec::new(), Vec::new());
        for Answer { place, found } in answers {
            let (name, partition) = &place;
            let Some(position) = position(&mut self.partitions, &place) else { continue };
            if position.stage == Stage::Reading {
                // An answer to what was asked before it was gone, and came back.
                continue;
            }
            let Some(found) = found else {
                gone.push(place);
                continue;
            };
            let Start { at, gap } = match position.stage {
                Stage::Starting(Beginning::Configured(policy)) => begin(policy, &found),
                Stage::Starting(Beginning::New) => Start { at: found.low, gap: None },
                Stage::Resuming { cut_at } => resume(position.next, position.id.as_ref(), cut_at, &found),
                Stage::Reading => continue,
            };
            if let Some(gap) = gap {
                self.metrics.kafka.missed(name, *partition, gap);
            }
            let partition = TopicPartition { topic: Arc::clone(name), partition: *partition };
            if self.topics.role(name) == TopicRole::Data {
                let anew = matches!(position.stage, Stage::Starting(_)) || gap.is_some_and(Gap::is_of_another_log);
                intake.reads_on(&partition, at, found.high, anew);
            }
            let topic_id = found.id.as_ref().map(|id| Arc::clone(&id.0));
            let begin = PartitionBegin { partition, position: ResumeAt { next: at, topic_id } };
            intake.begins(self.topics.role(name), begin);
            (position.id, position.next, position.stage) = (found.id, at, Stage::Reading);
            // An offset is one that the list takes.
            let _ = list.add_partition_offset(name, place.1, Offset::Offset(at));
            // It may have been asked about twice, and have come back between the answers.
            gone.retain(|gone| *gone != place);
            begun.push(place);
        }
        if !gone.is_empty() {
            self.stop(&gone);
            self.leave(gone, outlives_absence);
        }
        if list.count() == 0 {
            return;
        }
        match self.consumer.assign(&list) {
            Ok(()) => begun.iter().for_each(|place| self.cluster.reading(place, true)),
            Err(error) => {
                tracing::error!(%error, partitions = ?begun, "partitions not assigned; will be tried again");
                self.ask_again(begun, Stage::Resuming { cut_at: None });
            }
        }
    }

    /// Has looked up what is needed to bring partitions on from this stage.
    fn ask_again(&mut self, places: Vec<Place>, stage: Stage) {
        let mut questions = Vec::new();
        for place in places {
            if let Some(position) = position(&mut self.partitions, &place) {
                position.stage = stage;
                questions.push(self.question(place, stage));
            }
        }
        if !questions.is_empty() {
            self.cluster.ask(questions);
        }
    }

    /// Hands over at most `budget` records that are there now, and says how many.
    pub fn poll(&mut self, budget: usize, now: UnixMillis, intake: &mut impl Intake) -> usize {
        if self.cluster.generation() != self.generation {
            self.go_over(intake);
        }
        if std::mem::take(&mut self.choose_now) {
            self.choose(&Arc::clone(&self.topology), intake);
        }
        let answers: Vec<Answer> = self.answers.try_iter().collect();
        if !answers.is_empty() {
            self.answered(answers, intake);
        }
        if let Err(error) = self.consumer.serve() {
            // librdkafka reconnects by itself, and whether brokers answer is the cluster's word.
            tracing::debug!(%error, "kafka source");
        }
        let (mut taken, mut stopped, mut look_around) = (0, Vec::new(), false);
        while taken < budget && intake.ready() {
            let records = self.consumer.take(budget - taken);
            if records.len() == 0 {
                break;
            }
            taken += records.len();
            let mut run: Option<Run<'_>> = None;
            for fetched in records.iter() {
                let record = match fetched {
                    Ok(record) => record,
                    Err(failure) => {
                        let place = (Arc::from(failure.topic), failure.partition);
                        look_around |= topics_may_have_changed(failure.code);
                        if failure.code == RDKafkaErrorCode::AutoOffsetReset {
                            let cut_at = cut_at(failure.reason);
                            stopped.push(Stopped { place, at: failure.offset, cut_at });
                        } else {
                            fails(&mut self.partitions, &self.cluster, &place, &failure);
                            let at = format_args!("{}[{}]: {}", place.0, place.1, failure.reason);
                            intake.rejected("kafka_source", &at);
                        }
                        continue;
                    }
                };
                let (topic, partition) = (record.topic, record.partition());
                let run = match &mut run {
                    Some(run) if run.partition == partition && run.topic == topic => run,
                    run => {
                        if let Some(ended) = run.take() {
                            reached(&mut self.partitions, &self.cluster, &ended);
                        }
                        run.insert(Run { topic, role: self.topics.role(topic), partition, next: 0 })
                    }
                };
                hand_over(record, run.role, self.future_ms, now, intake);
                run.next = record.offset() + 1;
            }
            if let Some(ended) = run {
                reached(&mut self.partitions, &self.cluster, &ended);
            }
        }
        if !stopped.is_empty() {
            self.resume(stopped);
        }
        if look_around {
            // Until it is known that a topic was made anew, its records are read from where the old one's were.
            self.cluster.look_around();
        }
        taken
    }

    /// Commits the positions that were reached by an epoch whose evidence is acknowledged, at most once in `every`.
    /// Evidence of epochs before `durable_before` is; `epoch` is the one that is open.
    pub fn commit(&mut self, every: Duration, epoch: u64, durable_before: impl FnOnce() -> u64) {
        self.note_outcome();
        let now = Instant::now();
        if self.commits.due(every, now) {
            let positions = self.reached_positions();
            self.commits.take(epoch, positions, now);
        }
        if let Some(positions) = self.commits.ready(durable_before) {
            self.send_commit(&positions);
        }
    }

    /// Commits all positions, at the end, if all evidence that was made is acknowledged; waits for the group's word.
    pub fn finish(mut self, all_durable: bool) {
        if !all_durable {
            tracing::warn!("positions not committed at the end: there is evidence that is not acknowledged");
            return;
        }
        let deadline = Instant::now() + LAST_COMMIT;
        while Instant::now() < deadline {
            let _ = self.consumer.serve();
            self.note_outcome();
            if !self.commits.under_way() {
                let positions = self.reached_positions();
                if positions.count() == 0 {
                    return;
                }
                self.send_commit(&positions);
            }
            std::thread::sleep(LAST_COMMIT_POLL);
        }
        tracing::warn!("the group did not take the last positions in time");
    }

    fn send_commit(&mut self, positions: &TopicPartitionList) {
        match self.consumer.commit(positions) {
            Ok(()) => self.commits.set_under_way(true),
            Err(error) => self.consumer.consumer().context().commit_failed(&error),
        }
    }

    /// The positions that the group has not taken yet.
    fn reached_positions(&self) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (topic, partitions) in &self.partitions {
            for (&partition, position) in partitions {
                if position.stage != Stage::Reading || position.next < 0 || position.next == position.committed {
                    continue;
                }
                // An offset is one that the list takes.
                let _ = list.add_partition_offset(topic, partition, Offset::Offset(position.next));
            }
        }
        list
    }

    /// Notes what the group has said of the commit that is under way.
    fn note_outcome(&mut self) {
        if !self.commits.under_way() {
            return;
        }
        let Some(taken) = self.consumer.consumer().context().outcome() else { return };
        self.commits.set_under_way(false);
        for (topic, partition, offset) in taken {
            if let Some(position) = self.partitions.get_mut(&*topic).and_then(|them| them.get_mut(&partition)) {
                position.committed = offset;
            }
        }
    }
}

/// A partition whose position is not in the log any more.
struct Stopped {
    place: Place,
    /// Where the consumer was, if it says so; else negative.
    at: i64,
    cut_at: Option<i64>,
}

type Partitions = BTreeMap<Arc<str>, BTreeMap<i32, Position>>;

fn position<'a>(partitions: &'a mut Partitions, (topic, partition): &Place) -> Option<&'a mut Position> {
    partitions.get_mut(topic)?.get_mut(partition)
}

/// Whether a position holds when its topic is there again after it was gone. Without an id nobody can tell the topic from
/// one that was made anew, which is read from its beginning.
fn outlives_absence(at: &LeftAt) -> bool {
    at.id.is_some()
}

/// Why a source cannot start whose first questions nobody has answered in time, if it cannot: brokers say nothing at all.
/// Where they speak, what is asked about is read once somebody leads it.
fn unreachable(answered: usize, silence: Option<KafkaError>) -> Option<KafkaError> {
    silence.filter(|_| answered == 0)
}

/// Whether this failure may come of topics that are not as they were: deleted, made anew, or led by others.
fn topics_may_have_changed(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::NotLeaderForPartition
            | RDKafkaErrorCode::LeaderNotAvailable
            | RDKafkaErrorCode::FencedLeaderEpoch
            | RDKafkaErrorCode::UnknownLeaderEpoch
            | RDKafkaErrorCode::OffsetOutOfRange
            | RDKafkaErrorCode::AutoOffsetReset
    )
}

/// Notes how far a partition is read.
fn reached(partitions: &mut Partitions, cluster: &KafkaCluster, run: &Run<'_>) {
    if let Some(position) = partitions.get_mut(run.topic).and_then(|them| them.get_mut(&run.partition)) {
        position.next = run.next;
        if position.trouble.take().is_some() {
            cluster.failing(-1, "");
        }
    }
}

/// Notes that a partition cannot be read.
fn fails(partitions: &mut Partitions, cluster: &KafkaCluster, place: &Place, failure: &Failure<'_>) {
    let lasting = failure.code == RDKafkaErrorCode::TopicAuthorizationFailed;
    let trouble = if lasting { Trouble::Lasting } else { Trouble::Passing };
    if let Some(position) = position(partitions, place)
        && position.trouble.replace(trouble).is_none()
    {
        cluster.failing(1, &format!("{}[{}]: {}", place.0, place.1, failure.reason));
    }
}

/// What the run of records that are taken just now has in common.
struct Run<'a> {
    topic: &'a str,
    role: TopicRole,
    partition: i32,
    next: i64,
}

fn hand_over(record: Fetched<'_>, role: TopicRole, future_ms: i64, now: UnixMillis, intake: &mut impl Intake) {
    let at = RecordCoordinates { topic: record.topic, partition: record.partition(), offset: record.offset() };
    if role == TopicRole::Data {
        let timestamp = record.timestamp();
        let (event_time, real) = hold_back(timestamp, now, future_ms);
        let headers = record.gate_headers(HEADERS_READ);
        let record = RawRecord { at, timestamp, headers, has_key: record.has_key(), payload: record.payload() };
        intake.data(&record, event_time, real);
    } else {
        let headers: Vec<_> = record.headers(HEADERS_READ).collect();
        intake.control(role, &ControlRecord { at, headers: &headers, payload: record.payload() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_outlives_its_topics_absence_where_an_id_tells_whether_it_is_the_same() {
        assert!(outlives_absence(&LeftAt { next: 7, id: Some(TopicId("a".into())) }));
        assert!(!outlives_absence(&LeftAt { next: 7, id: None }));
    }

    #[test]
    fn a_source_cannot_start_only_if_brokers_say_nothing() {
        let silence = || Some(KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut));
        assert_eq!(unreachable(0, silence()), silence());
        assert_eq!(unreachable(0, None), None, "no partition of this worker has a leader");
        assert_eq!(unreachable(3, silence()), None, "they fell silent since");
    }

    #[test]
    fn topics_are_looked_at_when_a_failure_may_come_of_their_change() {
        for code in [
            RDKafkaErrorCode::UnknownTopicOrPartition,
            RDKafkaErrorCode::UnknownTopic,
            RDKafkaErrorCode::NotLeaderForPartition,
            RDKafkaErrorCode::AutoOffsetReset,
        ] {
            assert!(topics_may_have_changed(code), "{code}");
        }
        for code in [RDKafkaErrorCode::TopicAuthorizationFailed, RDKafkaErrorCode::BadMessage] {
            assert!(!topics_may_have_changed(code), "{code}");
        }
    }
}
