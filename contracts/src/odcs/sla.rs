//! `slaProperties`: promises about the data as a whole.

use std::sync::Arc;

use super::VOCABULARY;
use crate::{
    diagnostic::{Findings, Position},
    yaml::{self, Node, Object},
};

/// What is promised. Names are compared without regard to case; the two-letter forms are the standard's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SlaKind {
    /// `availability`, `av`
    Availability,
    /// `throughput`, `th`
    Throughput,
    /// `errorRate`, `er`
    ErrorRate,
    /// `generalAvailability`, `ga`
    GeneralAvailability,
    /// `endOfSupport`, `es`
    EndOfSupport,
    /// `endOfLife`, `el`
    EndOfLife,
    /// `retention`, `re`
    Retention,
    /// `frequency`, `fy`
    Frequency,
    /// `latency`, `ly`, and `freshness`, as implementations call it.
    Latency,
    /// `timeToDetect`, `td`
    TimeToDetect,
    /// `timeToNotify`, `tn`
    TimeToNotify,
    /// `timeToRepair`, `tr`
    TimeToRepair,
    /// `timeOfAvailability`, which the standard's examples add.
    TimeOfAvailability,
    /// Any other name.
    Other,
}

impl SlaKind {
    fn named(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "availability" | "av" => Self::Availability,
            "throughput" | "th" => Self::Throughput,
            "errorrate" | "er" => Self::ErrorRate,
            "generalavailability" | "ga" => Self::GeneralAvailability,
            "endofsupport" | "es" => Self::EndOfSupport,
            "endoflife" | "el" => Self::EndOfLife,
            "retention" | "re" => Self::Retention,
            "frequency" | "fy" => Self::Frequency,
            "latency" | "ly" | "freshness" => Self::Latency,
            "timetodetect" | "td" => Self::TimeToDetect,
            "timetonotify" | "tn" => Self::TimeToNotify,
            "timetorepair" | "tr" => Self::TimeToRepair,
            "timeofavailability" => Self::TimeOfAvailability,
            _ => Self::Other,
        }
    }

    /// Whether the value is a length of time.
    fn is_duration(self) -> bool {
        use SlaKind::{Frequency, Latency, Retention, TimeToDetect, TimeToNotify, TimeToRepair};
        matches!(self, Latency | Retention | Frequency | TimeToDetect | TimeToNotify | TimeToRepair)
    }
}

/// One promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlaProperty {
    /// What is promised.
    pub kind: SlaKind,
    /// Its name as written.
    pub name: Arc<str>,
    /// Its value as written.
    pub value: Arc<str>,
    /// For a length of time: how long, in milliseconds. The unit is days unless the contract says otherwise; a month
    /// or year has no fixed length, so a year counts 365 days.
    pub millis: Option<i64>,
    /// `element`: what it is about, as `object` or `object.property`.
    pub element: Option<Arc<str>>,
    /// Where it stands.
    pub at: Position,
}

pub(super) fn read(node: &Node, findings: &mut Findings<'_>) -> Option<SlaProperty> {
    let sla = Object::of(node, "an SLA property", &VOCABULARY, findings)?;
    let name = sla.required_text("property", findings)?;
    let value = sla.required_text("value", findings)?;
    let kind = SlaKind::named(&name);
    let unit = sla.text("unit", findings);
    let element = sla.text("element", findings).map(Into::into);
    let mut millis = None;
    if kind.is_duration() {
        let unit_millis = unit.as_deref().map_or(Some(DAY), unit_millis);
        millis = value.parse::<f64>().ok().zip(unit_millis).map(|(n, unit)| n * unit as f64);
        millis = millis.filter(|ms| ms.is_finite() && *ms > 0.0);
        if unit_millis.is_none() {
            let unit = yaml::clip(&unit.unwrap_or_default());
            let finding = findings.error("odcs-bad-unit", sla.at_key("unit"), format!("'{unit}' is no unit of time"));
            finding.help("use s, m, h, d or y");
        } else if millis.is_none() {
            let message = format!("'{}' needs a positive number", yaml::clip(&name));
            findings.error("odcs-bad-sla", sla.at_key("value"), message);
        }
    }
    let millis = millis.map(|ms| ms as i64);
    Some(SlaProperty { kind, name: name.into(), value: value.into(), millis, element, at: sla.at })
}

const DAY: i64 = 86_400_000;

/// The standard has days and years; implementations add hours and minutes; seconds are what a stream needs.
fn unit_millis(unit: &str) -> Option<i64> {
    match unit.to_ascii_lowercase().as_str() {
        "s" | "sec" | "second" | "seconds" => Some(1_000),
        "m" | "min" | "minute" | "minutes" => Some(60_000),
        "h" | "hr" | "hour" | "hours" => Some(3_600_000),
        "d" | "day" | "days" => Some(DAY),
        "y" | "yr" | "year" | "years" => Some(365 * DAY),
        _ => None,
    }
}
