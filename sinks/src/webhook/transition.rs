//! What of an incident's state is news to a receiver, given what it was told.
//!
//! A service that starts anew reads its topics again and lives through its incidents again, from their opening on. What
//! tells that apart from news is the ledger, with two rules: an incident's status goes back only where it has more
//! evidence than ever was seen of it, and a cause is news once. So a restart tells nobody anything twice.

use faultline_contracts::{
    ids::EntityId,
    incident::{Incident, IncidentStatus, Severity},
};
use serde::{Deserialize, Serialize};

use super::settings::Format;

/// The most causes of one incident that a receiver is told of.
const CAUSES: usize = 16;

/// A change that a person needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transition {
    /// There is an incident.
    Opened,
    /// It was thought to be over or nearly so, and goes on.
    Reopened,
    /// It is more, or less, urgent than it was.
    SeverityChanged,
    /// It has a likeliest cause, or another one.
    CauseFound,
    /// Somebody has taken it.
    Acknowledged,
    /// Records keep the contract again.
    Mitigated,
    /// It is over.
    Resolved,
    /// Late records show that there was none.
    Retracted,
}

impl Transition {
    /// The name in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Reopened => "reopened",
            Self::SeverityChanged => "severity_changed",
            Self::CauseFound => "cause_found",
            Self::Acknowledged => "acknowledged",
            Self::Mitigated => "mitigated",
            Self::Resolved => "resolved",
            Self::Retracted => "retracted",
        }
    }

    fn to(status: IncidentStatus) -> Option<Self> {
        match status {
            IncidentStatus::Open => None,
            IncidentStatus::Acknowledged => Some(Self::Acknowledged),
            IncidentStatus::Mitigated => Some(Self::Mitigated),
            IncidentStatus::Resolved => Some(Self::Resolved),
        }
    }
}

/// An incident as it is now.
#[derive(Debug, Clone, Copy)]
pub struct Now<'a> {
    /// The incident. One that is retracted is resolved.
    pub incident: &'a Incident,
    /// The likeliest cause.
    pub cause: Option<&'a str>,
    /// Whether late records took it back.
    pub retracted: bool,
}

/// What a receiver was told of an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// How often it was opened: 1, and one more each time it went on.
    pub opening: u32,
    /// Whether it was taken back.
    pub retracted: bool,
    /// The causes it was told of.
    pub causes: Vec<EntityId>,
    /// The most evidence that was seen of the incident, told or not.
    pub evidence_seen: u64,
    /// The incident as it was told last, its status included.
    pub incident: Incident,
}

impl Told {
    /// Whether nothing is left to tell unless the incident goes on.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.incident.status == IncidentStatus::Resolved
    }

    /// What a receiver is taken to know where there is no message for what is now: more evidence was seen, or something is
    /// news that it is not told of. `None` where it is the same as before.
    #[must_use]
    pub fn unsaid(&self, now: Now<'_>) -> Option<Self> {
        let news = news(Some(self), now);
        if !news.is_empty() {
            return Some(after(Some(self), now, &news));
        }
        let evidence_seen = now.incident.evidence_count;
        (evidence_seen > self.evidence_seen).then(|| Self { evidence_seen, ..self.clone() })
    }
}

/// What is news. Nothing where nothing is.
#[must_use]
pub fn news(told: Option<&Told>, now: Now<'_>) -> Vec<Transition> {
    let Now { incident, cause, retracted } = now;
    let Some(told) = told else {
        // What nobody was told of need not be taken back.
        let first = (!retracted).then_some(Transition::Opened);
        return first.into_iter().chain(first.and_then(|_| Transition::to(incident.status))).collect();
    };
    let (before, after) = (told.incident.status, incident.status);
    let mut news = Vec::new();
    if retracted {
        news.extend((!told.is_over()).then_some(Transition::Retracted));
    } else if after > before {
        news.extend(Transition::to(after));
    } else if after < before {
        if incident.evidence_count <= told.evidence_seen {
            return news;
        }
        news.push(Transition::Reopened);
        news.extend(Transition::to(after));
    }
    if after == IncidentStatus::Resolved {
        return news;
    }
    if incident.severity != told.incident.severity {
        news.push(Transition::SeverityChanged);
    }
    let other = cause.is_some_and(|cause| told.causes.iter().all(|known| known.as_str() != cause));
    if other && told.causes.len() < CAUSES && incident.evidence_count >= told.evidence_seen {
        news.push(Transition::CauseFound);
    }
    news.sort_unstable();
    news
}

/// What a receiver knows once it was told.
#[must_use]
pub fn after(told: Option<&Told>, now: Now<'_>, news: &[Transition]) -> Told {
    let Now { incident, cause, retracted } = now;
    let mut causes = told.map_or_else(Vec::new, |told| told.causes.clone());
    if let Some(cause) = cause
        && causes.len() < CAUSES
        && causes.iter().all(|known| known.as_str() != cause)
    {
        causes.push(cause.into());
    }
    let opening = told.map_or(1, |told| told.opening.saturating_add(u32::from(news.contains(&Transition::Reopened))));
    let evidence_seen = incident.evidence_count.max(told.map_or(0, |told| told.evidence_seen));
    Told { opening, retracted, causes, evidence_seen, incident: incident.clone() }
}

/// What is asked of a receiver that keeps alerts of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Open the alert, or tell what is new of it.
    Trigger,
    /// Somebody has taken it.
    Acknowledge,
    /// Close it.
    Resolve,
}

impl Action {
    /// What an incident's status asks for.
    #[must_use]
    pub fn of(status: IncidentStatus) -> Self {
        match status {
            IncidentStatus::Open | IncidentStatus::Mitigated => Self::Trigger,
            IncidentStatus::Acknowledged => Self::Acknowledge,
            IncidentStatus::Resolved => Self::Resolve,
        }
    }

    /// The name in PagerDuty's API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trigger => "trigger",
            Self::Acknowledge => "acknowledge",
            Self::Resolve => "resolve",
        }
    }
}

/// One message, and what the receiver knows once it has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it asks for.
    pub action: Action,
    /// What it tells.
    pub news: Vec<Transition>,
    /// What is known then.
    pub after: Told,
}

/// The messages that tell what is news, in their order: mostly one. PagerDuty opens an alert only by a trigger, so that
/// what it has no open alert of takes two. Of news alone that it is not told of there is none: see [`Told::unsaid`].
#[must_use]
pub fn steps(format: Format, told: Option<&Told>, now: Now<'_>) -> Vec<Step> {
    let mut news = news(told, now);
    if format == Format::Pagerduty {
        // It has no such state, and a trigger would page somebody for good news where the alert was resolved there.
        news.retain(|one| *one != Transition::Mitigated);
    }
    if news.is_empty() {
        return Vec::new();
    }
    let (action, known) = (Action::of(now.incident.status), after(told, now, &news));
    if format == Format::Pagerduty && action != Action::Trigger {
        // What only a trigger tells: that there is an alert, and, while it is open, what it is about.
        let (first, rest): (Vec<_>, Vec<_>) = news.into_iter().partition(|one| match one {
            Transition::Opened | Transition::Reopened => true,
            Transition::SeverityChanged | Transition::CauseFound => action == Action::Acknowledge,
            _ => false,
        });
        let mut steps = Vec::with_capacity(2);
        if rest.is_empty() {
            steps.push(Step { action: Action::Trigger, news: first, after: known });
            return steps;
        }
        if !first.is_empty() {
            let open = Incident { status: IncidentStatus::Open, resolved_at: None, ..known.incident.clone() };
            let after = Told { incident: open, retracted: false, ..known.clone() };
            steps.push(Step { action: Action::Trigger, news: first, after });
        }
        steps.push(Step { action, news: rest, after: known });
        return steps;
    }
    vec![Step { action, news, after: known }]
}

/// What makes a message the same message: the receiver's state that it leads to.
#[must_use]
pub fn identity(step: &Step) -> String {
    let Told { opening, retracted, causes, incident, evidence_seen: _ } = &step.after;
    let Incident { id, status, severity, .. } = incident;
    let cause = causes.last().map_or("", EntityId::as_str);
    let action = step.action.as_str();
    format!(
        "{id}\u{0}{opening}\u{0}{action}\u{0}{}\u{0}{}\u{0}{retracted}\u{0}{cause}",
        status.as_str(),
        severity.as_str()
    )
}

/// Severities as alerts have them.
#[must_use]
pub fn alert_severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Sev1 => "critical",
        Severity::Sev2 => "error",
        Severity::Sev3 => "warning",
        Severity::Sev4 => "info",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::webhook::message::tests::incident;

    fn state(status: IncidentStatus, evidence_count: u64) -> Incident {
        Incident { status, evidence_count, ..incident() }
    }

    /// What a receiver is told as an incident goes through these states.
    fn told(format: Format, states: &[(IncidentStatus, u64, Option<&str>, bool)]) -> Vec<(Action, Vec<Transition>)> {
        let (mut told, mut messages) = (None, Vec::new());
        for &(status, evidence, cause, retracted) in states {
            let incident = state(status, evidence);
            let now = Now { incident: &incident, cause, retracted };
            let steps = steps(format, told.as_ref(), now);
            if steps.is_empty() {
                told = told.map(|told: Told| told.unsaid(now).unwrap_or(told));
            }
            for step in steps {
                messages.push((step.action, step.news));
                told = Some(step.after);
            }
        }
        messages
    }

    use Action::{Acknowledge, Resolve, Trigger};
    use IncidentStatus::{Acknowledged, Mitigated, Open, Resolved};
    use Transition as T;

    #[test]
    fn a_life_is_told_once_whatever_the_counts_and_after_a_restart_not_again() {
        let life = [
            (Open, 60, None, false),
            (Open, 90, None, false),
            (Open, 500, Some("deployment:a:2"), false),
            (Open, 1_120, Some("deployment:a:2"), false),
            (Mitigated, 1_120, Some("deployment:a:2"), false),
            (Mitigated, 1_125, Some("deployment:a:2"), false),
            (Resolved, 1_125, Some("deployment:a:2"), false),
        ];
        let expected = [
            (Trigger, vec![T::Opened]),
            (Trigger, vec![T::CauseFound]),
            (Trigger, vec![T::Mitigated]),
            (Resolve, vec![T::Resolved]),
        ];
        let [opened, cause, _, resolved] = &expected;
        let pagerduty = [opened.clone(), cause.clone(), resolved.clone()];
        assert_eq!(told(Format::Pagerduty, &life), pagerduty);
        for end in 1..=life.len() {
            // Stopped anywhere, and lived through again from the start.
            let twice: Vec<_> = life[..end].iter().chain(&life).copied().collect();
            assert_eq!(told(Format::Json, &twice), expected, "stopped after {end}");
            assert_eq!(told(Format::Pagerduty, &twice), pagerduty, "stopped after {end}");
        }
    }

    #[test]
    fn an_incident_that_goes_on_is_told_again() {
        let states = [
            (Open, 60, None, false),
            (Mitigated, 60, None, false),
            (Open, 60, None, false),
            (Open, 61, None, false),
            (Resolved, 61, None, false),
            (Acknowledged, 99, None, false),
        ];
        let slack = [
            (Trigger, vec![T::Opened]),
            (Trigger, vec![T::Mitigated]),
            (Trigger, vec![T::Reopened]),
            (Resolve, vec![T::Resolved]),
            (Acknowledge, vec![T::Reopened, T::Acknowledged]),
        ];
        assert_eq!(told(Format::Slack, &states), slack);
        let last_two = [(Trigger, vec![T::Reopened]), (Acknowledge, vec![T::Acknowledged])];
        let pagerduty = told(Format::Pagerduty, &states);
        assert_eq!(pagerduty[..3], [slack[0].clone(), slack[2].clone(), slack[3].clone()]);
        assert_eq!(pagerduty[3..], last_two);
    }

    #[test]
    fn pagerduty_is_not_paged_because_records_keep_the_contract_again() {
        let states = [(Mitigated, 60, None, false), (Acknowledged, 61, None, false), (Mitigated, 61, Some("a"), false)];
        let expected = [
            (Trigger, vec![T::Opened]),
            (Trigger, vec![T::Reopened]),
            (Acknowledge, vec![T::Acknowledged]),
            (Trigger, vec![T::CauseFound]),
        ];
        assert_eq!(told(Format::Pagerduty, &states), expected);
        assert_eq!(told(Format::Slack, &states[..1]), [(Trigger, vec![T::Opened, T::Mitigated])]);
    }

    #[test]
    fn what_was_opened_and_over_unheard_takes_pagerduty_two_messages() {
        let over = [(Resolved, 60, Some("c"), false)];
        assert_eq!(told(Format::Json, &over), [(Resolve, vec![T::Opened, T::Resolved])]);
        assert_eq!(told(Format::Pagerduty, &over), [(Trigger, vec![T::Opened]), (Resolve, vec![T::Resolved])]);
    }

    #[test]
    fn the_cause_of_what_is_acknowledged_is_told_by_a_trigger() {
        let states =
            [(Open, 60, None, false), (Acknowledged, 60, Some("a"), false), (Acknowledged, 90, Some("b"), false)];
        let expected = [
            (Trigger, vec![T::Opened]),
            (Trigger, vec![T::CauseFound]),
            (Acknowledge, vec![T::Acknowledged]),
            (Trigger, vec![T::CauseFound]),
        ];
        assert_eq!(told(Format::Pagerduty, &states), expected);
    }

    #[test]
    fn what_is_taken_back_is_told_to_those_who_know_of_it() {
        assert_eq!(told(Format::Pagerduty, &[(Resolved, 60, None, true)]), []);
        let states =
            [(Open, 60, None, false), (Resolved, 60, None, true), (Open, 60, None, false), (Resolved, 60, None, true)];
        assert_eq!(told(Format::Pagerduty, &states), [(Trigger, vec![T::Opened]), (Resolve, vec![T::Retracted])]);
    }

    #[test]
    fn another_severity_is_news_and_another_cause_once() {
        let first = incident();
        let now = |incident, cause| Now { incident, cause, retracted: false };
        let told = after(None, now(&first, Some("a")), &[T::Opened]);
        assert_eq!(news(Some(&told), now(&first, Some("b"))), [T::CauseFound]);
        let both = after(Some(&told), now(&first, Some("b")), &[T::CauseFound]);
        assert_eq!(news(Some(&both), now(&first, Some("a"))), []);
        assert_eq!(news(Some(&both), now(&first, None)), []);
        let urgent = Incident { severity: Severity::Sev4, ..first.clone() };
        assert_eq!(news(Some(&both), now(&urgent, Some("c"))), [T::SeverityChanged, T::CauseFound]);
        let over = Incident { status: Resolved, ..urgent.clone() };
        assert_eq!(news(Some(&both), now(&over, Some("c"))), [T::Resolved]);
    }

    fn any_state() -> impl Strategy<Value = (IncidentStatus, u64, Option<&'static str>, bool)> {
        let status = prop_oneof![Just(Open), Just(Acknowledged), Just(Mitigated), Just(Resolved)];
        let cause = prop_oneof![Just(None), Just(Some("a")), Just(Some("b"))];
        (status, 0_u64..5, cause, prop::bool::weighted(0.1)).prop_map(|(status, evidence, cause, retracted)| {
            (if retracted { Resolved } else { status }, evidence, cause, retracted)
        })
    }

    proptest! {
        /// Whatever an incident goes through: PagerDuty hears of an end only after a beginning, and of none that is near.
        #[test]
        fn alerts_open_before_they_close(states in prop::collection::vec(any_state(), 0..20)) {
            let mut open = false;
            for (action, news) in told(Format::Pagerduty, &states) {
                prop_assert!(!news.is_empty() && !news.contains(&T::Mitigated));
                match action {
                    Trigger => open = true,
                    Acknowledge => prop_assert!(open),
                    Resolve => {
                        prop_assert!(open);
                        open = false;
                    }
                }
            }
        }

        /// The state that was told last is no news, and the same message has the same identity.
        #[test]
        fn what_was_told_is_no_news(states in prop::collection::vec(any_state(), 1..20)) {
            let mut told: Option<Told> = None;
            for (status, evidence, cause, retracted) in states {
                let incident = state(status, evidence);
                let now = Now { incident: &incident, cause, retracted };
                for step in steps(Format::Pagerduty, told.as_ref(), now) {
                    prop_assert_eq!(identity(&step), identity(&step.clone()));
                    told = Some(step.after);
                }
                prop_assert_eq!(steps(Format::Pagerduty, told.as_ref(), now), []);
            }
        }
    }
}
