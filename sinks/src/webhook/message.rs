//! How the news of an incident is put: pure functions from state to a request's body.

use faultline_contracts::{ids::EntityId, incident::Incident};
use serde_json::Value;

use super::{
    explained::Explained,
    settings::Format,
    transition::{Action, Transition},
};

mod clip;
pub mod generic;
pub mod pagerduty;
pub mod slack;

/// What a message is about.
#[derive(Debug, Clone, Copy)]
pub struct Notice<'a> {
    /// The incident as it is now.
    pub incident: &'a Incident,
    /// Since this epoch.
    pub epoch: u64,
    /// Whether late records took it back.
    pub retracted: bool,
    /// What is known of its cause.
    pub explained: Option<&'a Explained>,
    /// What is new, in order; at least one.
    pub news: &'a [Transition],
    /// What is asked of a receiver with alerts of its own.
    pub action: Action,
    /// A page about the incident.
    pub link: Option<&'a str>,
}

impl Notice<'_> {
    /// The news that matters most.
    #[must_use]
    pub fn headline(&self) -> &'static str {
        match self.news.iter().max_by_key(|news| weight(**news)) {
            Some(Transition::SeverityChanged) => "severity changed",
            Some(Transition::CauseFound) => "cause found",
            Some(news) => news.as_str(),
            None => "unchanged",
        }
    }
}

/// How much a piece of news matters beside others.
fn weight(news: Transition) -> u8 {
    match news {
        Transition::CauseFound => 0,
        Transition::SeverityChanged => 1,
        Transition::Opened => 2,
        Transition::Reopened => 3,
        Transition::Acknowledged => 4,
        Transition::Mitigated => 5,
        Transition::Resolved => 6,
        Transition::Retracted => 7,
    }
}

/// The body of the request that tells it. `routing_key` is PagerDuty's.
#[must_use]
pub fn body(format: Format, notice: &Notice<'_>, routing_key: &str) -> Value {
    match format {
        Format::Json => generic::body(notice),
        Format::Slack => slack::body(notice),
        Format::Pagerduty => pagerduty::body(notice, routing_key),
    }
}

/// The domain in a dataset's URN: `orders` in `urn:dp:orders:created`.
fn domain(dataset: &EntityId) -> Option<&str> {
    let (domain, _) = dataset.as_str().strip_prefix("urn:dp:")?.split_once(':')?;
    Some(domain).filter(|domain| !domain.is_empty())
}

#[cfg(test)]
pub(super) mod tests {
    use faultline_contracts::{
        ids::{EvidenceId, IncidentId},
        incident::{IncidentStatus, Severity},
        signal::SignalKind,
        time::UnixMillis,
        trace::TraceId,
    };
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::webhook::explained::{Cause, Claim, tests::explanation};

    pub(in crate::webhook) fn incident() -> Incident {
        Incident {
            id: IncidentId(5),
            severity: Severity::Sev1,
            title: "Contract Violation - orders:created".into(),
            status: IncidentStatus::Open,
            dataset_urn: "urn:dp:orders:created".into(),
            signal: SignalKind::ContractCompliance,
            opened_at: UnixMillis(1_698_400_695_000),
            resolved_at: None,
            primary_trace_id: TraceId::from_bytes([0xab; 16]),
            failure_signature: "MISSING_FIELD:customer_id".into(),
            evidence_ids: vec![EvidenceId(1_698_400_682_000 << 80), EvidenceId(1_698_400_683_000 << 80)],
            evidence_count: 1_120,
            parent_incident_id: None,
        }
    }

    pub(super) fn explained() -> Explained {
        Explained::read(&explanation().to_string()).unwrap()
    }

    pub(super) fn notice<'a>(incident: &'a Incident, explained: Option<&'a Explained>) -> Notice<'a> {
        Notice {
            incident,
            epoch: 1_698_400_800_123,
            retracted: false,
            explained,
            news: &[Transition::Opened, Transition::CauseFound],
            action: Action::Trigger,
            link: Some("https://faultline.example/incidents/INC-00000005"),
        }
    }

    #[test]
    fn the_headline_is_what_matters_most() {
        let incident = incident();
        let of = |news: &[Transition]| Notice { news, ..notice(&incident, None) }.headline();
        assert_eq!(of(&[Transition::Opened, Transition::CauseFound]), "opened");
        assert_eq!(of(&[Transition::SeverityChanged, Transition::CauseFound]), "severity changed");
        assert_eq!(of(&[Transition::Opened, Transition::Resolved]), "resolved");
    }

    #[test]
    fn domains_are_those_of_dataset_urns() {
        let of = |urn: &str| domain(&urn.into()).map(str::to_owned);
        assert_eq!(of("urn:dp:orders:created"), Some("orders".into()));
        assert_eq!([of("urn:dp:orders"), of("urn:dp::created"), of("topic")], [None, None, None]);
    }

    /// The length that receivers' limits are held against: JavaScript's, which is never less than that in characters.
    pub(super) fn units(text: &str) -> usize {
        text.encode_utf16().count()
    }

    /// A text that wants to break out of wherever it is put.
    pub(super) fn hostile() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            "\\PC{0,12}",
            Just("<!channel>".to_owned()),
            Just("&amp;".to_owned()),
            Just("`*_~`".to_owned()),
            Just("|>\n\r\t\u{0}\u{202e}".to_owned()),
            Just("😀é".to_owned()),
            Just("<&>".repeat(500)),
        ];
        prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    /// An incident and its explanation, all of whose texts are hostile.
    pub(super) fn any_notice() -> impl Strategy<Value = (Incident, Explained)> {
        let texts = prop::collection::vec(hostile(), 9);
        // As far as the parser of times goes.
        let times = || -62_000_000_000_000_i64..253_000_000_000_000;
        (texts, 0_usize..200, any::<u64>(), times(), prop::option::of(times())).prop_map(
            |(texts, ids, count, opened, resolved)| {
                let [title, dataset, signature, subject, claim, action, unknown, kind, layer] =
                    <[String; 9]>::try_from(texts).unwrap_or_default();
                let incident = Incident {
                    title,
                    dataset_urn: dataset.into(),
                    failure_signature: signature.as_str().into(),
                    evidence_ids: (0..ids).map(|id| EvidenceId(id as u128)).collect(),
                    evidence_count: count,
                    opened_at: UnixMillis(opened),
                    resolved_at: resolved.map(UnixMillis),
                    status: if resolved.is_some() { IncidentStatus::Resolved } else { IncidentStatus::Open },
                    ..incident()
                };
                let mut explained = explained();
                let claims = vec![Claim { text: claim }; 5];
                let cause = Cause { kind: kind.clone(), subject, score: 0.9, confidence: "HIGH".into(), layer, claims };
                explained.hypotheses = vec![cause; 3];
                explained.recommended_action = action;
                explained.unknowns = vec![unknown; 4];
                explained.blast_radius.counts_by_kind = (0..200).map(|n| (format!("{kind}{n}"), n)).collect();
                (incident, explained)
            },
        )
    }

    #[test]
    fn plain_json_is_the_incident_of_the_topic_with_more() {
        let incident = incident();
        let body = body(Format::Json, &notice(&incident, Some(&explained())), "");
        let mut expected = serde_json::to_value(&incident).unwrap();
        expected["epoch"] = json!(1_698_400_800_123_u64);
        expected["news"] = json!(["opened", "cause_found"]);
        expected["link"] = json!("https://faultline.example/incidents/INC-00000005");
        let explanation = body["explanation"].clone();
        expected["explanation"] = explanation.clone();
        assert_eq!(body, expected);
        assert_eq!(explanation["hypotheses"][0]["subject"], "deployment:orders-svc:v3.17");
        assert_eq!(explanation["hypotheses"][0]["score"], 0.92);
        assert_eq!(explanation["recommended_action"], "Roll back orders-svc to v3.16.");
        assert_eq!(explanation["blast_radius"]["counts_by_impact"], json!({"AT_RISK": 2, "IMPACTED": 1}));
        assert_eq!(explanation["blast_radius"].get("nodes"), None);
    }

    #[test]
    fn plain_json_says_what_was_taken_back() {
        let incident = Incident { status: IncidentStatus::Resolved, ..incident() };
        let notice = Notice { retracted: true, news: &[Transition::Retracted], link: None, ..notice(&incident, None) };
        let body = body(Format::Json, &notice, "");
        assert_eq!((&body["retracted"], &body["news"]), (&json!(true), &json!(["retracted"])));
        assert_eq!((body.get("link"), body.get("explanation")), (None, None));
    }
}
