//! Streams of incidents and explanations, each of one dataset, over a few channels; all are read by one thread.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use faultline_proto::v1::{AsOf, Explanation, Incident, WatchExplanationRequest, WatchIncidentsRequest};
use tokio::sync::oneshot;

use super::load::Load;
use crate::{
    answers::{
        connection::{Client, channel, client},
        deployment_events,
        error::{AnswersError, Result, call},
        generated,
    },
    times::Times,
    wire::{clients::runtime, error::io, marks::now_us},
};

/// How long it may take until every watcher has its first message.
const SUBSCRIBED_WITHIN: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(100);

/// Updates that came since the last look.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    pub updates: u64,
    /// From the epoch that an update is based on, by its `as_of`.
    pub ages: Times,
}

/// What one stream is of.
#[derive(Debug, Clone)]
enum Watched {
    Incident { dataset: usize },
    Explanation { dataset: usize, incident: String },
}

#[derive(Default)]
struct State {
    /// Watchers that have their first message.
    ready: usize,
    tally: Tally,
    /// The failing records that each watcher knows of; watchers of probes come last.
    counts: BTreeMap<(usize, usize), u64>,
    /// When an incident of a dataset was first heard of after the first message.
    heard: BTreeMap<usize, Instant>,
    failure: Option<AnswersError>,
}

type Shared = Arc<Mutex<State>>;

fn lock(state: &Shared) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Watchers that watch until they are dropped.
pub(super) struct Watchers {
    state: Shared,
    /// Dropped to let the thread end.
    wanted: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchers {
    /// Subscribes so many watchers of the incidents, and one for each probe, at most so many to a channel. Returns when
    /// each has its first message.
    pub(super) fn subscribe(
        address: SocketAddr,
        incidents: &BTreeMap<usize, String>,
        probes: Range<usize>,
        (watchers, streams): (usize, usize),
    ) -> Result<Self> {
        let of_incidents = incidents.iter().cycle().take(watchers).zip(0..).map(|((&dataset, id), n)| {
            if (n + n / incidents.len().max(1)).is_multiple_of(2) {
                Watched::Incident { dataset }
            } else {
                Watched::Explanation { dataset, incident: id.clone() }
            }
        });
        let all: Vec<_> = of_incidents.chain(probes.map(|dataset| Watched::Incident { dataset })).collect();
        let (state, count) = (Shared::default(), all.len());
        let (wanted, until_unwanted) = oneshot::channel();
        let shared = Arc::clone(&state);
        let watching = move || {
            let outcome = runtime().map_err(AnswersError::from).and_then(|runtime| {
                runtime.block_on(async {
                    spawn_all(address, all, streams.max(1), &shared).await?;
                    // Nothing is ever sent: it ends when the sender is dropped.
                    let _ = until_unwanted.await;
                    Ok(())
                })
            });
            if let Err(error) = outcome {
                lock(&shared).failure.get_or_insert(error);
            }
        };
        let thread = std::thread::Builder::new().name("watchers".to_owned()).spawn(watching);
        let thread = thread.map_err(io("start a thread"))?;
        let watchers = Self { state, wanted: Some(wanted), thread: Some(thread) };
        watchers.wait(SUBSCRIBED_WITHIN, |state| {
            let ready = state.ready;
            if ready == count { Ok(()) } else { Err(format!("{ready} of {count} watchers have a first message")) }
        })?;
        Ok(watchers)
    }

    /// What came since the last call.
    pub(super) fn take(&self) -> Result<Tally> {
        let mut state = lock(&self.state);
        match state.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(std::mem::take(&mut state.tally)),
        }
    }

    /// When a probe's incident was heard of.
    pub(super) fn heard(&self, dataset: usize) -> Option<Instant> {
        lock(&self.state).heard.get(&dataset).copied()
    }

    /// Waits until each watcher knows of all failing records that were sent to its dataset.
    pub(super) fn settle(&self, load: &Load, within: Duration) -> Result<()> {
        self.wait(within, |state| {
            let wrong = state.counts.iter().find(|((_, dataset), count)| **count != load.failing(*dataset));
            wrong.map_or(Ok(()), |((_, dataset), count)| {
                Err(format!("{count} failing records of dataset {dataset}, not {}", load.failing(*dataset)))
            })
        })
    }

    fn wait(&self, within: Duration, mut done: impl FnMut(&State) -> Result<(), String>) -> Result<()> {
        let begin = Instant::now();
        loop {
            let mut state = lock(&self.state);
            if let Some(failure) = state.failure.take() {
                return Err(failure);
            }
            match done(&state) {
                Ok(()) => return Ok(()),
                Err(text) if begin.elapsed() > within => return Err(AnswersError::Silence(text)),
                Err(_) => drop(state),
            }
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for Watchers {
    fn drop(&mut self) {
        self.wanted = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn spawn_all(address: SocketAddr, all: Vec<Watched>, streams: usize, shared: &Shared) -> Result<()> {
    let mut clients: Vec<Client> = Vec::new();
    for (number, watched) in all.into_iter().enumerate() {
        if number / streams == clients.len() {
            clients.push(client(channel(address).await?));
        }
        let (client, shared) = (clients[number / streams].clone(), Arc::clone(shared));
        tokio::spawn(async move {
            if let Err(error) = watch(client, number, watched, &shared).await {
                lock(&shared).failure.get_or_insert(error);
            }
        });
    }
    Ok(())
}

async fn watch(mut client: Client, number: usize, watched: Watched, shared: &Shared) -> Result<()> {
    match watched {
        Watched::Incident { dataset } => {
            let request = WatchIncidentsRequest { dataset_urns: vec![generated::urn(dataset)], ..Default::default() };
            let updates = client.watch_incidents(request).await.map_err(call("WatchIncidents"))?;
            let (mut updates, mut first) = (updates.into_inner(), true);
            while let Some(update) = updates.message().await.map_err(call("WatchIncidents"))? {
                note(shared, (number, dataset), update.as_of.as_ref(), update.upserts.first(), first)?;
                first = false;
            }
        }
        Watched::Explanation { dataset, incident } => {
            let request = WatchExplanationRequest { incident_id: incident, ..Default::default() };
            let updates = client.watch_explanation(request).await.map_err(call("WatchExplanation"))?;
            let (mut updates, mut first) = (updates.into_inner(), true);
            while let Some(update) = updates.message().await.map_err(call("WatchExplanation"))? {
                update.upsert.as_ref().map_or(Ok(()), |explanation| names_cause(explanation, dataset))?;
                let incident = update.upsert.as_ref().and_then(|explanation| explanation.incident.as_ref());
                note(shared, (number, dataset), update.as_of.as_ref(), incident, first)?;
                first = false;
            }
        }
    }
    Err(AnswersError::Silence(format!("the stream of watcher {number} ended")))
}

fn names_cause(explanation: &Explanation, dataset: usize) -> Result<()> {
    let first = explanation.hypotheses.first().map_or("nothing", |cause| &cause.subject);
    if first == deployment_events::cause(dataset) {
        return Ok(());
    }
    Err(AnswersError::Wrong(format!("the cause of dataset {dataset} is {first}")))
}

/// Takes note of one message; one without an incident is a heartbeat, or the first one of a probe's watcher.
fn note(
    shared: &Shared,
    (number, dataset): (usize, usize),
    as_of: Option<&AsOf>,
    incident: Option<&Incident>,
    first: bool,
) -> Result<()> {
    let (now, now_ms) = (Instant::now(), now_us() / 1_000);
    let mut state = lock(shared);
    state.ready += usize::from(first);
    let Some(incident) = incident else { return Ok(()) };
    if generated::dataset(&incident.dataset_urn) != Some(dataset) {
        return Err(AnswersError::Wrong(format!("{} for a watcher of {dataset}", incident.dataset_urn)));
    }
    state.counts.insert((number, dataset), incident.evidence_count);
    if !first {
        let epoch = as_of.map_or(0, |as_of| as_of.epoch);
        state.tally.updates += 1;
        state.tally.ages.record(Duration::from_millis(now_ms.unsigned_abs().saturating_sub(epoch)));
        state.heard.entry(dataset).or_insert(now);
    }
    Ok(())
}
