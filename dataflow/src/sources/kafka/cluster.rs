//! The watch over the cluster: one thread of the process that asks the brokers what workers must not wait for.
//!
//! ```text
//!            ┌─ every second: does the leader of what we read answer? ──► health
//! watch ─────┼─ now and then: which topics, partitions and ids are there? ──► Topology, shared
//!            └─ when a worker asks: where does a partition begin and end, what is committed? ──► its channel
//! ```
//! It has a client of its own. A request that times out costs a connection, and the workers' connections are not
//! to be cut while a slow broker is still sending records over them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use faultline_sinks::kafka::{KafkaSettings, kafka_config};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    topic_partition_list::TopicPartitionListElem,
};

use super::{
    KafkaSourceError,
    clients::{Clients, InVain},
    context::Context,
    start::{Found, TopicId},
    topic_ids::topic_ids,
};
use crate::{
    config::KafkaConfig,
    health::{Dependency, Reporter},
    metrics::Metrics,
};

/// How long brokers may take to answer the first question about topics.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long they may take for any later one. While it is waited for, nothing else is asked: a broker that hangs is to be
/// told of within five seconds, whichever question it leaves open.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause between two look-ups, and after one that left questions open.
const LOOK_UP_EVERY: Duration = Duration::from_millis(50);
const LOOK_UP_AGAIN: Duration = Duration::from_secs(1);
/// The pause between two probes.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// After a probe that failed, how long brokers may take to say whether what it asked for is still there.
const DOUBT_TIMEOUT: Duration = Duration::from_millis(500);
/// How often the group is asked in vain before reading begins without knowing what it has committed.
const GROUP_ATTEMPTS: u32 = 3;

/// The topics of the cluster that we may see.
#[derive(Debug, Default)]
pub(super) struct Topology {
    pub(super) topics: BTreeMap<Arc<str>, Topic>,
}

/// A topic of the cluster.
#[derive(Debug, Default)]
pub(super) struct Topic {
    /// Its id, of topics that we read.
    pub(super) id: Option<TopicId>,
    /// The broker that leads each partition; negative where none does.
    pub(super) leaders: BTreeMap<i32, i32>,
}

impl Topology {
    pub(super) fn has(&self, topic: &str, partition: i32) -> bool {
        self.topics.get(topic).is_some_and(|topic| topic.leaders.contains_key(&partition))
    }

    fn leader(&self, topic: &str, partition: i32) -> Option<i32> {
        self.topics.get(topic)?.leaders.get(&partition).copied().filter(|&leader| leader >= 0)
    }

    /// One partition for each broker that leads any of these: a request for all of them asks each of those brokers.
    fn one_per_leader<'a>(&self, partitions: &'a BTreeSet<Place>) -> BTreeMap<i32, &'a Place> {
        let mut chosen = BTreeMap::new();
        for place in partitions {
            if let Some(leader) = self.leader(&place.0, place.1) {
                chosen.entry(leader).or_insert(place);
            }
        }
        chosen
    }
}

/// A topic's partition.
pub(super) type Place = (Arc<str>, i32);

/// What a worker wants to know before it reads a partition.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) place: Place,
    /// Whether it cannot begin without knowing what is committed.
    pub(super) needs_committed: bool,
    pub(super) answer: mpsc::Sender<Answer>,
}

/// What brokers say of a partition; `None` where it is not there any more.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) place: Place,
    pub(super) found: Option<Found>,
}

enum Message {
    Ask(Vec<Question>),
    LookAround,
    Stop,
}

/// What workers and the watch share.
#[derive(Default)]
struct Shared {
    topology: Mutex<Arc<Topology>>,
    generation: AtomicU64,
    /// What is read by any worker.
    reading: Mutex<BTreeSet<Place>>,
    /// How many partitions cannot be read though brokers answer, and what the last of them said.
    failing: AtomicI64,
    failure: Mutex<String>,
    /// Why brokers did not say, when they were asked last, which topics there are.
    silence: Mutex<Option<KafkaError>>,
}

impl Shared {
    fn brokers_answer(&self) -> bool {
        lock(&self.silence).is_none()
    }
}

/// The cluster, as all workers of a process see it.
pub struct KafkaCluster {
    settings: KafkaSettings,
    shared: Arc<Shared>,
    inbox: mpsc::Sender<Message>,
    watch: Option<JoinHandle<()>>,
}

impl KafkaCluster {
    /// Connects, and watches the cluster from then on.
    ///
    /// # Errors
    /// A setting is not taken, no broker answers, or the thread cannot be started.
    pub fn connect(
        settings: &KafkaSettings,
        kafka: &KafkaConfig,
        metrics: &Arc<Metrics>,
    ) -> Result<Arc<Self>, KafkaSourceError> {
        let mut config = kafka_config(settings, super::DEFAULTS);
        config.set("group.id", &kafka.group).set("enable.auto.commit", "false").set("auto.offset.reset", "error");
        let clients = Clients { config, metrics: Arc::clone(metrics), tokens: settings.tokens.clone() };
        let client = clients.client().map_err(|error| KafkaSourceError::settings(&error))?;
        let shared = Arc::<Shared>::default();
        let mut watch = Watch {
            clients,
            client,
            look_ups: InVain::default(),
            probes: InVain::default(),
            shared: Arc::clone(&shared),
            health: metrics.health.reporter(Dependency::KafkaSource),
            questions: Vec::new(),
            probe_failed: false,
            group_attempts: 0,
        };
        watch.serve();
        watch.discover(CONNECT_TIMEOUT).map_err(|source| KafkaSourceError::Unreachable {
            bootstrap: settings.bootstrap_servers.clone(),
            source,
        })?;
        watch.health.up();
        let (inbox, messages) = mpsc::channel();
        let discovery = Duration::from_millis(kafka.discovery_ms.max(100));
        let watch = std::thread::Builder::new()
            .name("kafka watch".to_owned())
            .spawn(move || watch.run(&messages, discovery))
            .map_err(KafkaSourceError::Thread)?;
        Ok(Arc::new(Self { settings: settings.clone(), shared, inbox, watch: Some(watch) }))
    }

    pub(super) fn settings(&self) -> &KafkaSettings {
        &self.settings
    }

    /// Counts the topologies seen, so that workers ask for one only when it is new.
    pub(super) fn generation(&self) -> u64 {
        self.shared.generation.load(Relaxed)
    }

    pub(super) fn topology(&self) -> Arc<Topology> {
        Arc::clone(&lock(&self.shared.topology))
    }

    /// Has the brokers asked; answers come when they are there.
    pub(super) fn ask(&self, questions: Vec<Question>) {
        // Only a watch that has ended, with its process, does not listen.
        let _ = self.inbox.send(Message::Ask(questions));
    }

    /// Has it looked at once for topics that are new.
    pub(super) fn look_around(&self) {
        let _ = self.inbox.send(Message::LookAround);
    }

    /// Why brokers do not answer, if none does.
    pub(super) fn silence(&self) -> Option<KafkaError> {
        lock(&self.shared.silence).clone()
    }

    /// Has the leaders of this partition watched, or not any more.
    pub(super) fn reading(&self, place: &Place, reading: bool) {
        let mut places = lock(&self.shared.reading);
        if reading {
            places.insert(place.clone());
        } else {
            places.remove(place);
        }
    }

    /// So many more partitions than before cannot be read.
    pub(super) fn failing(&self, more: i64, why: &str) {
        self.shared.failing.fetch_add(more, Relaxed);
        if more > 0 {
            why.clone_into(&mut lock(&self.shared.failure));
        }
    }
}

impl Drop for KafkaCluster {
    fn drop(&mut self) {
        let _ = self.inbox.send(Message::Stop);
        if let Some(watch) = self.watch.take() {
            let _ = watch.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Watch {
    clients: Clients,
    client: BaseConsumer<Context>,
    /// Look-ups and probes that left questions open.
    look_ups: InVain,
    probes: InVain,
    shared: Arc<Shared>,
    health: Reporter,
    questions: Vec<Question>,
    probe_failed: bool,
    group_attempts: u32,
}

impl Watch {
    fn run(mut self, inbox: &mpsc::Receiver<Message>, discovery: Duration) {
        let now = Instant::now();
        let (mut probe_at, mut discover_at, mut look_up_at) = (now, now + discovery, now);
        loop {
            let mut due = probe_at.min(discover_at);
            if !self.questions.is_empty() {
                due = due.min(look_up_at);
            }
            let mut message = inbox.recv_timeout(due.saturating_duration_since(Instant::now()));
            loop {
                match message {
                    Ok(Message::Ask(questions)) => self.questions.extend(questions),
                    Ok(Message::LookAround) => discover_at = Instant::now(),
                    Err(mpsc::RecvTimeoutError::Timeout) => break,
                    Ok(Message::Stop) | Err(mpsc::RecvTimeoutError::Disconnected) => return,
                }
                message = inbox.try_recv().map_err(|_| mpsc::RecvTimeoutError::Timeout);
            }
            self.serve();
            if Instant::now() >= discover_at {
                let outcome = self.discover(ANSWER_TIMEOUT);
                self.noted(&outcome);
                // What is read and was not there is gone, or comes back, soon.
                let pause = if self.all_there() { discovery } else { discovery.min(LOOK_UP_AGAIN) };
                discover_at = Instant::now() + pause;
            }
            if !self.questions.is_empty() && Instant::now() >= look_up_at {
                let outcome = self.look_up();
                self.noted(&outcome);
                if self.look_ups.again(!self.any_led(&self.questions), self.shared.brokers_answer()) {
                    self.take_new_client();
                }
                look_up_at = Instant::now() + LOOK_UP_EVERY;
                if !self.questions.is_empty() {
                    look_up_at += LOOK_UP_AGAIN;
                    // Leaders may have moved.
                    discover_at = discover_at.min(look_up_at);
                }
            }
            if Instant::now() >= probe_at {
                self.probe();
                probe_at = Instant::now() + PROBE_EVERY;
            }
        }
    }

    /// Does what waits besides answers: tokens, errors. No records come, as nothing is assigned.
    fn serve(&self) {
        while self.client.poll(Duration::ZERO).is_some() {}
    }

    fn noted(&self, outcome: &KafkaResult<()>) {
        if let Err(error) = outcome {
            tracing::debug!(%error, "the brokers were asked in vain");
            self.health.degraded(&format_args!("{error}; check that all brokers are up and can be reached"));
        }
    }

    /// Looks which topics and partitions there are, and which ids those have that are read.
    fn discover(&mut self, timeout: Duration) -> KafkaResult<()> {
        let outcome = self.see_topics(timeout);
        *lock(&self.shared.silence) = outcome.as_ref().err().cloned();
        outcome
    }

    fn see_topics(&self, timeout: Duration) -> KafkaResult<()> {
        let metadata = self.client.client().fetch_metadata(None, timeout)?;
        let old = Arc::clone(&lock(&self.shared.topology));
        let mut topics: BTreeMap<Arc<str>, Topic> = BTreeMap::new();
        for found in metadata.topics() {
            // A topic that is being made or deleted just now comes with an error: it is as it was.
            let leaders: BTreeMap<_, _> =
                found.partitions().iter().map(|partition| (partition.id(), partition.leader())).collect();
            if found.error().is_none() && !leaders.is_empty() {
                let known = old.topics.get(found.name()).and_then(|topic| topic.id.clone());
                topics.insert(found.name().into(), Topic { id: known, leaders });
            } else if let Some((name, topic)) = old.topics.get_key_value(found.name()) {
                let leaders = topic.leaders.keys().map(|&partition| (partition, -1)).collect();
                topics.insert(Arc::clone(name), Topic { id: topic.id.clone(), leaders });
            }
        }
        let read: BTreeSet<Arc<str>> = lock(&self.shared.reading).iter().map(|(topic, _)| Arc::clone(topic)).collect();
        let read: Vec<_> = read.into_iter().filter(|topic| topics.contains_key(topic)).collect();
        for (name, id) in topic_ids(self.client.client(), &read, timeout)? {
            if let (Some(topic), Ok(id)) = (topics.get_mut(&name), id) {
                topic.id = id;
            }
        }
        *lock(&self.shared.topology) = Arc::new(Topology { topics });
        self.shared.generation.fetch_add(1, Relaxed);
        Ok(())
    }

    /// Answers the questions that can be answered now; the others stay.
    fn look_up(&mut self) -> KafkaResult<()> {
        let topology = Arc::clone(&lock(&self.shared.topology));
        let questions = std::mem::take(&mut self.questions);
        let (there, gone): (Vec<_>, Vec<_>) = questions
            .into_iter()
            .partition(|Question { place: (topic, partition), .. }| topology.has(topic, *partition));
        gone.into_iter().for_each(|question| question.answered(None));
        let (led, leaderless): (Vec<_>, Vec<_>) = there
            .into_iter()
            .partition(|Question { place: (topic, partition), .. }| topology.leader(topic, *partition).is_some());
        self.questions = leaderless;
        if led.is_empty() {
            return if self.questions.is_empty() {
                Ok(())
            } else {
                Err(KafkaError::MetadataFetch(RDKafkaErrorCode::LeaderNotAvailable))
            };
        }
        match self.answers(&led) {
            Ok(answers) => {
                for question in led {
                    match answers.get(&question.place) {
                        Some(Outcome::Found(found)) => question.answered(Some(found.clone())),
                        Some(Outcome::Gone) => question.answered(None),
                        None => self.questions.push(question),
                    }
                }
                Ok(())
            }
            Err(error) => {
                self.questions.extend(led);
                Err(error)
            }
        }
    }

    /// What the brokers say of these partitions; those of which they do not are left out.
    fn answers(&mut self, questions: &[Question]) -> KafkaResult<BTreeMap<Place, Outcome>> {
        let topics: BTreeSet<Arc<str>> = questions.iter().map(|question| Arc::clone(&question.place.0)).collect();
        let topics: Vec<_> = topics.into_iter().collect();
        let ids = topic_ids(self.client.client(), &topics, ANSWER_TIMEOUT)?;
        let positions = self.positions(questions)?;
        let lows = self.offsets(questions, Offset::Beginning)?;
        let highs = self.offsets(questions, Offset::End)?;
        let mut outcomes = BTreeMap::new();
        for Question { place, .. } in questions {
            let (topic, _) = place;
            let unknown = RDKafkaErrorCode::UnknownTopicOrPartition;
            let id = match ids.get(topic) {
                Some(Err(code)) if *code == unknown => {
                    outcomes.insert(place.clone(), Outcome::Gone);
                    continue;
                }
                Some(Ok(id)) => id.clone(),
                // Without its id a topic that was made anew would be taken for the old one.
                Some(Err(_)) | None => continue,
            };
            if let (Some(&low), Some(&high)) = (lows.get(place), highs.get(place)) {
                let committed = positions.get(place).copied();
                outcomes.insert(place.clone(), Outcome::Found(Found { id, low, high, committed }));
            }
        }
        Ok(outcomes)
    }

    /// What the group has committed. Where nobody depends on it, it may remain unknown.
    fn positions(&mut self, questions: &[Question]) -> KafkaResult<BTreeMap<Place, i64>> {
        let error = match self.client.committed_offsets(list(questions, Offset::Invalid), ANSWER_TIMEOUT) {
            Ok(list) => {
                self.group_attempts = 0;
                return Ok(offsets_of(&list));
            }
            Err(error) => error,
        };
        let forbidden = error.rdkafka_error_code() == Some(RDKafkaErrorCode::GroupAuthorizationFailed);
        let needed = questions.iter().any(|question| question.needs_committed);
        self.group_attempts += 1;
        if needed || (!forbidden && self.group_attempts < GROUP_ATTEMPTS) {
            return Err(error);
        }
        tracing::warn!(%error, "what the group has committed is not known: what was lost before the start is not told");
        Ok(BTreeMap::new())
    }

    /// Where partitions begin or end. Those of which brokers do not say are left out.
    fn offsets(&self, questions: &[Question], which: Offset) -> KafkaResult<BTreeMap<Place, i64>> {
        self.client.offsets_for_times(list(questions, which), ANSWER_TIMEOUT).map(|list| offsets_of(&list))
    }

    /// Asks each broker that leads anything we read for the end of one of its partitions.
    fn probe(&mut self) {
        let topology = Arc::clone(&lock(&self.shared.topology));
        let probed: Vec<Place> = topology.one_per_leader(&lock(&self.shared.reading)).into_values().cloned().collect();
        let mut asked = TopicPartitionList::new();
        for (topic, partition) in &probed {
            // Fails for offsets that are none alone.
            let _ = asked.add_partition_offset(topic, *partition, Offset::End);
        }
        let answer = if asked.count() == 0 {
            self.client.client().fetch_metadata(Some(super::NO_TOPIC), ANSWER_TIMEOUT).map(drop)
        } else {
            self.client.offsets_for_times(asked, ANSWER_TIMEOUT).map(drop)
        };
        match answer {
            Ok(()) => {
                if std::mem::take(&mut self.probe_failed) {
                    let outcome = self.discover(ANSWER_TIMEOUT);
                    self.noted(&outcome);
                }
                self.probes = InVain::default();
                self.tell_partitions();
            }
            Err(error) => {
                // A topic that is gone is no broker that hangs: the next probe leaves it out.
                let gone = self.discover(DOUBT_TIMEOUT).is_ok() && !self.there(&probed);
                if !gone {
                    if self.probes.again(false, self.shared.brokers_answer()) {
                        self.take_new_client();
                    }
                    self.probe_failed = true;
                    self.health
                        .degraded(&format_args!("a broker does not answer: {error}; check that all brokers are up"));
                }
            }
        }
    }

    /// Brokers answer; whether partitions can be read is the workers' word.
    fn tell_partitions(&self) {
        let (failing, waiting) = (self.shared.failing.load(Relaxed), self.questions.len());
        if failing > 0 {
            let why = lock(&self.shared.failure).clone();
            self.health.degraded(&format_args!("{failing} partitions cannot be read: {why}"));
        } else if waiting > 0 {
            self.health.degraded(&format_args!("{waiting} partitions wait for a leader, or for their positions"));
        } else {
            self.health.up();
        }
    }

    /// Whether the last topology has all of these.
    fn there<'a>(&self, places: impl IntoIterator<Item = &'a Place>) -> bool {
        let topology = Arc::clone(&lock(&self.shared.topology));
        places.into_iter().all(|(topic, partition)| topology.has(topic, *partition))
    }

    /// Whether any question is of a partition that a broker leads, which it could answer.
    fn any_led(&self, questions: &[Question]) -> bool {
        let topology = Arc::clone(&lock(&self.shared.topology));
        questions.iter().any(|Question { place: (topic, partition), .. }| topology.leader(topic, *partition).is_some())
    }

    /// Whether the last topology has all that is read. Workers let go of what it has not.
    fn all_there(&self) -> bool {
        self.there(&*lock(&self.shared.reading))
    }

    fn take_new_client(&mut self) {
        match self.clients.client() {
            Ok(client) => {
                tracing::warn!("brokers leave questions about partitions open; they are asked by a new client");
                self.client = client;
                // A token, where one is needed, is made while the client is served.
                self.serve();
            }
            Err(error) => tracing::warn!(%error, "no new client to ask the brokers"),
        }
    }
}

enum Outcome {
    Found(Found),
    Gone,
}

impl Question {
    fn answered(self, found: Option<Found>) {
        // A worker that has ended wants no answer.
        let _ = self.answer.send(Answer { place: self.place, found });
    }
}

/// The partitions that questions are about, each once: of one that went and came back before it was answered there are
/// two, and librdkafka sets the offset of a partition's first entry alone. Brokers refuse what the second has.
fn list(questions: &[Question], offset: Offset) -> TopicPartitionList {
    let places: BTreeSet<&Place> = questions.iter().map(|question| &question.place).collect();
    let mut list = TopicPartitionList::with_capacity(places.len());
    for (topic, partition) in places {
        // Fails for offsets that are none alone.
        let _ = list.add_partition_offset(topic, *partition, offset);
    }
    list
}

/// The offsets of a list that brokers have filled; of partitions that have one.
fn offsets_of(list: &TopicPartitionList) -> BTreeMap<Place, i64> {
    let offset = |element: TopicPartitionListElem<'_>| match (element.error(), element.offset()) {
        (Ok(()), Offset::Offset(offset)) => Some(((Arc::from(element.topic()), element.partition()), offset)),
        _ => None,
    };
    list.elements().into_iter().filter_map(offset).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_that_is_asked_about_twice_is_one_of_a_request() {
        let (answer, _) = mpsc::channel();
        let question = |topic: &str, partition| Question {
            place: (topic.into(), partition),
            needs_committed: false,
            answer: answer.clone(),
        };
        let list = list(&[question("a", 0), question("b", 1), question("a", 0)], Offset::End);
        let offsets: Vec<_> =
            list.elements().iter().map(|element| (element.topic().to_owned(), element.offset())).collect();
        assert_eq!(offsets, [("a".to_owned(), Offset::End), ("b".to_owned(), Offset::End)]);
    }

    #[test]
    fn one_partition_is_probed_for_each_broker_that_leads_what_is_read() {
        let leaders = |leaders: &[i32]| (0..).zip(leaders.iter().copied()).collect();
        let topics = [("a", leaders(&[1, 2, 1])), ("b", leaders(&[3, -1]))];
        let topics = topics.map(|(name, leaders)| (name.into(), Topic { id: None, leaders })).into();
        let topology = Topology { topics };
        let reading: BTreeSet<Place> =
            [("a", 0), ("a", 1), ("a", 2), ("b", 1), ("gone", 0)].map(|(topic, number)| (topic.into(), number)).into();
        let chosen = topology.one_per_leader(&reading);
        let chosen: Vec<_> = chosen.into_iter().map(|(leader, (topic, number))| (leader, &**topic, *number)).collect();
        assert_eq!(
            chosen,
            [(1, "a", 0), (2, "a", 1)],
            "nobody reads of broker 3, and b's other partition has no leader"
        );
        assert!(topology.has("b", 1) && !topology.has("b", 2) && !topology.has("gone", 0));
    }
}
