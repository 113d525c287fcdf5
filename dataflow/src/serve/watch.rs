//! Watches: one task a stream, which sends the whole state and then what changed.
//!
//! A task keeps, of each row it sent, the key and a hash. When epochs bring changes it looks up the rows they touch in
//! the view as it is by then, and sends those whose hash differs: a reader that is slow gets fewer and larger messages,
//! and one that is further behind than the view's backlog gets the whole state again.

pub(super) mod subjects;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use prost::Message;
use tokio::{
    sync::{
        OwnedSemaphorePermit,
        broadcast::{
            Receiver,
            error::{RecvError, TryRecvError},
        },
        mpsc::Sender,
        watch,
    },
    time::{Instant, sleep_until},
};
use tonic::Status;
use xxhash_rust::xxh3::xxh3_64;

use super::errors::stopping;
use crate::view::{Change, EpochChanges, SharedView, View};

/// Which rows a change may touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Touch<K> {
    /// None.
    None,
    /// This one.
    Row(K),
    /// Any.
    All,
}

/// What changed in the rows.
pub(super) struct Delta<K, R> {
    /// Whether it is all there is.
    pub full: bool,
    /// New and changed rows, by key.
    pub upserts: Vec<R>,
    /// Rows that are gone.
    pub removals: Vec<K>,
}

/// What is watched.
pub(super) trait Subject: Send + Sync + 'static {
    /// What tells rows apart, and their order.
    type Key: Ord + Clone + Send + Sync;
    /// A row.
    type Row: Message;
    /// A message of the stream.
    type Response: Send + 'static;

    /// Which rows a change may touch.
    fn touched(&self, change: &Change) -> Touch<Self::Key>;
    /// The row of a key, where there is one that is wanted.
    fn row(&self, view: &View, key: &Self::Key) -> Option<Self::Row>;
    /// All rows that are wanted, by key.
    fn all(&self, view: &View) -> Vec<(Self::Key, Self::Row)>;
    /// The message that tells of a change; one without any is a heartbeat.
    fn response(&self, view: &View, delta: Delta<Self::Key, Self::Row>) -> Self::Response;
    /// Whether nothing can follow this.
    fn is_over(&self, _delta: &Delta<Self::Key, Self::Row>) -> bool {
        false
    }
}

/// A stream and what it needs.
pub(super) struct Watch<S: Subject> {
    pub view: Arc<SharedView>,
    pub subject: S,
    pub out: Sender<Result<S::Response, Status>>,
    pub stopped: watch::Receiver<bool>,
    pub heartbeat: Duration,
    /// Its place among the watchers.
    pub _place: OwnedSemaphorePermit,
}

/// What came of waiting.
enum Event {
    Changes(Arc<EpochChanges>),
    Lagged,
    Heartbeat,
    ReaderGone,
    Stopped,
}

/// What is to be sent.
#[derive(Debug, PartialEq, Eq)]
enum Step<K> {
    /// All there is.
    Full,
    /// What differs anywhere.
    All,
    /// What differs in these rows.
    Rows(BTreeSet<K>),
    /// Where the view is.
    Heartbeat,
}

impl<S: Subject> Watch<S> {
    /// Sends until the reader is gone, the service stops, or nothing can follow.
    pub(super) async fn run(mut self) {
        // First the subscription, then the state, so that nothing falls between them.
        let mut changes = self.view.subscribe();
        let mut sent = BTreeMap::new();
        let mut step = Step::Full;
        loop {
            if let Some((response, over)) = self.message(step, &mut sent)
                && (self.out.send(Ok(response)).await.is_err() || over)
            {
                return;
            }
            step = match self.wait(&mut changes).await {
                Event::Changes(first) => self.gather(&first, &mut changes),
                Event::Lagged => {
                    changes = self.view.subscribe();
                    Step::Full
                }
                Event::Heartbeat => Step::Heartbeat,
                Event::ReaderGone => return,
                Event::Stopped => {
                    // A reader that is gone needs no word.
                    let _ = self.out.try_send(Err(stopping()));
                    return;
                }
            };
        }
    }

    async fn wait(&mut self, changes: &mut Receiver<Arc<EpochChanges>>) -> Event {
        let Self { subject, out, stopped, heartbeat, .. } = self;
        let heartbeat = Instant::now() + *heartbeat;
        loop {
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => return Event::Stopped,
                () = out.closed() => return Event::ReaderGone,
                () = sleep_until(heartbeat) => return Event::Heartbeat,
                change = changes.recv() => match change {
                    Ok(epoch) if concerns(subject, &epoch) => return Event::Changes(epoch),
                    // What does not concern the reader does not put the heartbeat off.
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => return Event::Lagged,
                    Err(RecvError::Closed) => return Event::Stopped,
                },
            }
        }
    }

    /// What the epochs that are there already call for, taken together.
    fn gather(&self, first: &EpochChanges, changes: &mut Receiver<Arc<EpochChanges>>) -> Step<S::Key> {
        let mut touched = BTreeSet::new();
        let mut all = false;
        let mut add = |epoch: &EpochChanges| {
            for (change, _) in &epoch.changes {
                match self.subject.touched(change) {
                    Touch::None => {}
                    Touch::Row(key) => _ = touched.insert(key),
                    Touch::All => all = true,
                }
            }
        };
        add(first);
        loop {
            match changes.try_recv() {
                Ok(epoch) => add(&epoch),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                Err(TryRecvError::Lagged(_)) => {
                    *changes = self.view.subscribe();
                    return Step::Full;
                }
            }
        }
        if all { Step::All } else { Step::Rows(touched) }
    }

    /// The message that a step makes, and whether it is the last.
    fn message(&self, step: Step<S::Key>, sent: &mut BTreeMap<S::Key, u64>) -> Option<(S::Response, bool)> {
        let view = self.view.read();
        let mut delta = Delta { full: false, upserts: Vec::new(), removals: Vec::new() };
        match step {
            Step::Heartbeat => return Some((self.subject.response(&view, delta), false)),
            Step::Full => {
                delta.full = true;
                let rows = self.subject.all(&view);
                *sent = rows.iter().map(|(key, row)| (key.clone(), hash(row))).collect();
                delta.upserts = rows.into_iter().map(|(_, row)| row).collect();
            }
            Step::All => {
                let mut gone = std::mem::take(sent);
                for (key, row) in self.subject.all(&view) {
                    let hash = hash(&row);
                    if gone.remove(&key) != Some(hash) {
                        delta.upserts.push(row);
                    }
                    sent.insert(key, hash);
                }
                delta.removals = gone.into_keys().collect();
            }
            Step::Rows(keys) => {
                for key in keys {
                    if let Some(row) = self.subject.row(&view, &key) {
                        let hash = hash(&row);
                        if sent.insert(key, hash) != Some(hash) {
                            delta.upserts.push(row);
                        }
                    } else if sent.remove(&key).is_some() {
                        delta.removals.push(key);
                    }
                }
            }
        }
        if !delta.full && delta.upserts.is_empty() && delta.removals.is_empty() {
            return None;
        }
        let over = self.subject.is_over(&delta);
        Some((self.subject.response(&view, delta), over))
    }
}

fn concerns<S: Subject>(subject: &S, epoch: &EpochChanges) -> bool {
    epoch.changes.iter().any(|(change, _)| subject.touched(change) != Touch::None)
}

fn hash(row: &impl Message) -> u64 {
    xxh3_64(&row.encode_to_vec())
}
