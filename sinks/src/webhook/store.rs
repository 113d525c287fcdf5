//! A receiver as a state store: what is brought to it is told, if it is news.

use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use faultline_contracts::{
    ids::IncidentId,
    incident::{Incident, IncidentStatus},
    time::UnixMillis,
};

use super::{
    answer::Answer,
    client::{Client, Post},
    error::WebhookError,
    ledger::Ledger,
    message::{self, Notice},
    pace::Pace,
    settings::WebhookSettings,
    signature::delivery,
    transition::{Now, Step, Told, steps},
};
use crate::{
    SinkError,
    retry::Jitter,
    store::{Outcome, StateStore, StoreChange, StoreItem, StoreKey},
};

mod allowance;
mod known;

use self::{
    allowance::{LONGEST_CALL, first_attempt},
    known::Known,
};

/// The most incidents about which a receiver's refusal is remembered.
const REFUSALS: usize = 10_000;
/// How long a call waits at most for a sure cause of an incident that has just opened.
const SETTLING: Duration = Duration::from_millis(200);

/// One receiver. It keeps what it has to know of incidents that are open; what it was told is in the ledger.
pub struct WebhookStore<P = Client> {
    settings: WebhookSettings,
    routing_key: String,
    receiver: P,
    ledger: Ledger,
    /// Of each incident that is open, or has news that are not told.
    known: BTreeMap<IncidentId, Known>,
    /// What a receiver is taken to know although it refused to hear it, or although the ledger could not be written.
    assumed: BTreeMap<IncidentId, Told>,
    /// Failures since the last success, by incident: those that fail often come last.
    failures: BTreeMap<IncidentId, u32>,
    pace: Pace,
    started: Instant,
    /// When the receiver, which asked for it, need not be left alone any more.
    alone_until: Option<Instant>,
    probed: Option<Instant>,
    /// What was wrong when the receiver was called last, if anything was. It stands until a call shows otherwise.
    trouble: Option<Trouble>,
    /// Whether this turn has called it.
    called: bool,
    dice: Jitter,
}

/// What was wrong with a receiver.
#[derive(Debug)]
enum Trouble {
    /// It refused a message for good.
    Refused { status: u16, said: String },
    /// It could not be reached, or took nothing.
    Away { since: Instant },
}

/// Why news of an incident were not told.
enum Untold {
    /// It is to wait a little for a cause that is sure.
    Settling,
    /// This call has too little time left to begin another message. Nothing is wrong; the rest waits for the next call.
    NoTime,
    /// The receiver, the ledger or a limit is in the way: the rest waits as well.
    Later(SinkError),
    /// It was refused for good.
    Refused(SinkError),
}

impl WebhookStore {
    /// A receiver with these settings. What it was told is kept in the database `ledger`, or in memory without one.
    ///
    /// # Errors
    /// [`SinkError::Webhook`] where a setting or secret cannot be used; [`SinkError::Sqlite`] and
    /// [`SinkError::ForeignStore`] where the ledger cannot be opened.
    pub fn open(settings: &WebhookSettings, ledger: Option<&Path>) -> Result<Self, SinkError> {
        let failed =
            |source: WebhookError| SinkError::Webhook { webhook: settings.name.clone(), source: source.into() };
        settings.validate().map_err(|error| failed(error.into()))?;
        let client = Client::new(settings)?;
        let routing_key = match &settings.routing_key {
            Some(key) => {
                let setting = "routing_key".to_owned();
                key.read().map_err(|source| failed(WebhookError::Secret { setting, source }))?
            }
            None => String::new(),
        };
        Ok(Self::with(settings.clone(), routing_key, client, Ledger::open(ledger, &settings.name)?))
    }
}

impl<P: Post> WebhookStore<P> {
    fn with(settings: WebhookSettings, routing_key: String, receiver: P, ledger: Ledger) -> Self {
        let pace = Pace::new(settings.per_minute);
        Self {
            settings,
            routing_key,
            receiver,
            ledger,
            known: BTreeMap::new(),
            assumed: BTreeMap::new(),
            failures: BTreeMap::new(),
            pace,
            started: Instant::now(),
            alone_until: None,
            probed: None,
            trouble: None,
            called: false,
            dice: Jitter::new(),
        }
    }

    fn failed(&self, error: WebhookError) -> SinkError {
        SinkError::Webhook { webhook: self.settings.name.clone(), source: error.into() }
    }

    fn told(&self, id: IncidentId) -> Result<Option<Told>, SinkError> {
        match self.assumed.get(&id) {
            Some(told) => Ok(Some(told.clone())),
            None => self.ledger.told(id),
        }
    }

    /// Notes what the receiver knows. Where that cannot be written it is kept in mind: better to tell twice after a restart
    /// than to tell twice now.
    fn note(&mut self, told: Told) {
        let id = told.incident.id;
        match self.ledger.note(&told, now()) {
            Ok(()) => {
                self.assumed.remove(&id);
            }
            Err(error) => {
                tracing::error!(
                    webhook = self.settings.name,
                    incident = %id,
                    error = &error as &dyn std::error::Error,
                    hint = error.hint(),
                    "what was told is not noted; it may be told again after a restart"
                );
                self.assume(told);
            }
        }
    }

    fn assume(&mut self, told: Told) {
        if self.assumed.len() >= REFUSALS {
            self.assumed.pop_first();
        }
        self.assumed.insert(told.incident.id, told);
    }

    /// Takes note of changes; returns them by incident. Stale ones, and deletes of what is not known, are settled.
    fn take_note(
        &mut self,
        changes: Vec<StoreChange>,
        outcome: &mut Outcome,
    ) -> BTreeMap<IncidentId, Vec<StoreChange>> {
        let mut by_incident: BTreeMap<IncidentId, Vec<StoreChange>> = BTreeMap::new();
        let (incidents, explanations): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|change| matches!(change.key(), StoreKey::Incident(_)));
        for change in incidents {
            let StoreKey::Incident(id) = change.key() else { continue };
            match self.take_incident(id, &change) {
                Ok(true) => by_incident.entry(id).or_default().push(change),
                Ok(false) => match change {
                    StoreChange::Upsert { .. } => outcome.applied.stale += 1,
                    StoreChange::Delete { .. } => outcome.applied.absent += 1,
                },
                Err(error) => {
                    outcome.left.push(change);
                    outcome.error = Some(error);
                }
            }
        }
        for change in explanations {
            let StoreKey::Explanation(id) = change.key() else { continue };
            match self.known.get_mut(&id) {
                Some(known) => {
                    known.take_explanation(&change);
                    by_incident.entry(id).or_default().push(change);
                }
                // Of an incident that is over, or none that the receiver is told of.
                None => outcome.applied.written += 1,
            }
        }
        by_incident
    }

    /// Takes note of an incident's change; whether it is one.
    fn take_incident(&mut self, id: IncidentId, change: &StoreChange) -> Result<bool, SinkError> {
        let known = self.known.get_mut(&id);
        if known.as_ref().is_some_and(|known| known.epoch > change.epoch()) {
            return Ok(false);
        }
        match (change, known) {
            (StoreChange::Upsert { epoch, item: StoreItem::Incident(incident) }, Some(known)) => {
                (known.epoch, known.retracted, known.incident) = (*epoch, false, incident.clone());
            }
            (StoreChange::Upsert { epoch, item: StoreItem::Incident(incident) }, None) => {
                self.known.insert(id, Known::new(incident.clone(), *epoch));
            }
            (StoreChange::Delete { epoch, .. }, Some(known)) => known.retract(*epoch),
            (StoreChange::Delete { epoch, .. }, None) => {
                let Some(told) = self.told(id)? else { return Ok(false) };
                let mut known = Known::new(told.incident, *epoch);
                known.retract(*epoch);
                self.known.insert(id, known);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Tells what is news of an incident.
    fn tell(&mut self, id: IncidentId, begin: Instant, waiting: usize) -> Result<(), Untold> {
        let told = self.told(id).map_err(Untold::Later)?;
        let Some(known) = self.known.get(&id) else { return Ok(()) };
        if told.is_none() {
            if !self.settings.concerns(&known.incident) || self.is_too_old(&known.incident) {
                self.known.remove(&id);
                self.failures.remove(&id);
                return Ok(());
            }
            let settle = Duration::from_millis(self.settings.settle_ms);
            let open = known.incident.status == IncidentStatus::Open;
            if open && !known.is_sure() && known.since.elapsed() < settle {
                return Err(Untold::Settling);
            }
        }
        let now = Now { incident: &known.incident, cause: known.cause(), retracted: known.retracted };
        let steps = steps(self.settings.format, told.as_ref(), now);
        if steps.is_empty()
            && let Some(unsaid) = told.and_then(|told| told.unsaid(now))
        {
            // What a receiver refused is not what it was told.
            if self.assumed.contains_key(&id) { self.assume(unsaid) } else { self.note(unsaid) }
        }
        let sent = steps.into_iter().try_for_each(|step| self.send(id, step, begin, waiting));
        if matches!(sent, Ok(()) | Err(Untold::Refused(_))) {
            // Told or refused, it is not sent again.
            self.failures.remove(&id);
            if self.known.get(&id).is_some_and(|known| known.incident.status == IncidentStatus::Resolved) {
                self.known.remove(&id);
            }
        }
        sent
    }

    /// Sends one message, again and again while there is time.
    fn send(&mut self, id: IncidentId, step: Step, begin: Instant, waiting: usize) -> Result<(), Untold> {
        let Some(known) = self.known.get(&id) else { return Ok(()) };
        let retry = self.settings.retry;
        let Some(mut allowance) = first_attempt(retry, begin.elapsed(), self.called) else {
            return Err(Untold::NoTime);
        };
        if !self.pace.take(self.started.elapsed()) {
            return Err(Untold::Later(self.failed(WebhookError::TooMany { waiting })));
        }
        let link = self.settings.link.as_ref().map(|link| link.replace("{id}", &id.to_string()));
        let notice = Notice {
            incident: &known.incident,
            epoch: known.epoch,
            retracted: known.retracted,
            explained: known.explained.as_ref(),
            news: &step.news,
            action: step.action,
            link: link.as_deref(),
        };
        let body = message::body(self.settings.format, &notice, &self.routing_key).to_string().into_bytes();
        let message = delivery(&self.settings.name, &step);
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.receiver.post(body.clone(), &message, allowance) {
                Answer::Taken => {
                    tracing::info!(webhook = self.settings.name, incident = %id, message, news = ?step.news, "told");
                    (self.trouble, self.called) = (None, true);
                    self.note(step.after);
                    return Ok(());
                }
                Answer::Refused(error) => {
                    tracing::error!(
                        webhook = self.settings.name,
                        incident = %id,
                        message,
                        %error,
                        hint = error.hint(),
                        "refused for good"
                    );
                    if let WebhookError::Refused { status, said } = &error {
                        self.trouble = Some(Trouble::Refused { status: *status, said: said.clone() });
                    }
                    self.called = true;
                    self.assume(step.after);
                    return Err(Untold::Refused(self.failed(error)));
                }
                Answer::NotNow { error, wait } => {
                    self.is_away();
                    let pause = retry.again(attempts, begin.elapsed(), wait, &mut self.dice);
                    let next = pause.and_then(|pause| {
                        std::thread::sleep(pause);
                        retry.attempt(begin.elapsed())
                    });
                    let Some(next) = next else {
                        if !wait.is_zero() {
                            self.alone_until = Some(Instant::now() + wait);
                        }
                        *self.failures.entry(id).or_default() += 1;
                        return Err(Untold::Later(self.failed(error)));
                    };
                    allowance = next;
                }
            }
        }
    }

    /// Notes that a call failed.
    fn is_away(&mut self) {
        self.called = true;
        if !matches!(self.trouble, Some(Trouble::Away { .. })) {
            self.trouble = Some(Trouble::Away { since: Instant::now() });
        }
    }

    /// What is wrong as far as is known, without a call.
    fn standing(&self) -> Option<SinkError> {
        let error = match self.trouble.as_ref()? {
            Trouble::Refused { status, said } => WebhookError::Refused { status: *status, said: said.clone() },
            Trouble::Away { since } => WebhookError::Away { seconds: since.elapsed().as_secs() },
        };
        Some(self.failed(error))
    }

    fn is_too_old(&self, incident: &Incident) -> bool {
        let first = incident.evidence_ids.first().map_or(incident.opened_at, |first| first.timestamp());
        self.settings.max_age_ms.is_some_and(|most| u64::try_from(now().since(first)).is_ok_and(|age| age > most))
    }

    /// Incidents in the order in which they are told: those that never failed, the most urgent, the oldest.
    fn in_order(&self, changes: BTreeMap<IncidentId, Vec<StoreChange>>) -> Vec<(IncidentId, Vec<StoreChange>)> {
        let mut incidents: Vec<_> = changes.into_iter().collect();
        incidents.sort_by_cached_key(|(id, _)| {
            let failures = self.failures.get(id).copied().unwrap_or_default();
            let urgency = self.known.get(id).map(|known| (known.incident.severity, known.incident.opened_at));
            (failures, urgency, *id)
        });
        incidents
    }
}

/// Without the receiver and its key, which are secrets.
impl<P> fmt::Debug for WebhookStore<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookStore")
            .field("name", &self.settings.name)
            .field("known", &self.known.len())
            .field("trouble", &self.trouble)
            .finish_non_exhaustive()
    }
}

impl<P: Post> StateStore for WebhookStore<P> {
    fn holds(key: &StoreKey) -> bool {
        matches!(key, StoreKey::Incident(_) | StoreKey::Explanation(_))
    }

    fn apply(&mut self, changes: Vec<StoreChange>) -> Outcome {
        let begin = Instant::now();
        let mut outcome = Outcome::default();
        self.called = false;
        let by_incident = self.take_note(changes, &mut outcome);
        let mut waiting = by_incident.len();
        if let Some(until) = self.alone_until {
            let left = until.saturating_duration_since(begin);
            if !left.is_zero() {
                let seconds = left.as_secs() + 1;
                outcome.error = Some(self.failed(WebhookError::AskedToWait { waiting, seconds }));
                outcome.left.extend(by_incident.into_values().flatten());
                return outcome;
            }
            self.alone_until = None;
        }
        let (mut stopped, mut settling) = (outcome.error.is_some(), false);
        for (id, changes) in self.in_order(by_incident) {
            stopped |= begin.elapsed() >= LONGEST_CALL;
            if stopped {
                outcome.left.extend(changes);
                continue;
            }
            let count = changes.len() as u64;
            match self.tell(id, begin, waiting) {
                Ok(()) => outcome.applied.written += count,
                Err(Untold::Settling) => {
                    settling = true;
                    outcome.left.extend(changes);
                    continue;
                }
                Err(Untold::NoTime) => {
                    outcome.left.extend(changes);
                    stopped = true;
                }
                Err(Untold::Refused(error)) => {
                    outcome.applied.refused += count;
                    outcome.error = Some(error);
                }
                Err(Untold::Later(error)) => {
                    outcome.left.extend(changes);
                    outcome.error = Some(error);
                    stopped = true;
                }
            }
            waiting -= 1;
        }
        if !self.called && outcome.error.is_none() {
            // That there was nothing to tell does not mean that it could be told.
            outcome.error = self.standing();
        }
        if settling && !stopped && outcome.error.is_none() {
            // Whoever brings what is left brings it at once: no outage says that it should wait.
            std::thread::sleep(SETTLING.min(Duration::from_millis(self.settings.settle_ms)));
        }
        outcome
    }

    fn probe(&mut self) -> Result<(), SinkError> {
        match &self.trouble {
            // That it can be reached does not mean that it takes anything.
            Some(Trouble::Refused { .. }) => return self.standing().map_or(Ok(()), Err),
            // Asked each time, until it can be reached.
            Some(Trouble::Away { .. }) => {}
            None => {
                let every = Duration::from_millis(self.settings.probe_ms);
                if every.is_zero() || self.probed.is_some_and(|probed| probed.elapsed() < every) {
                    return Ok(());
                }
            }
        }
        if let Err(error) = self.receiver.reach() {
            self.is_away();
            return Err(self.failed(error));
        }
        (self.trouble, self.probed) = (None, Some(Instant::now()));
        Ok(())
    }
}

fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
