//! PagerDuty's Events API v2: an incident is an alert, told apart by its id.

use serde_json::{Value, json};

use super::{
    Notice,
    clip::{clip, one_line},
    domain,
};
use crate::webhook::transition::{Action, Transition, alert_severity};

/// PagerDuty's limit on a summary.
const SUMMARY: usize = 1_024;
/// Of other fields, for which its documentation names none; well below what it takes.
const FIELD: usize = 255;
/// Of a sentence among the details. All together stay far below the 512 KiB of an event.
const SENTENCE: usize = 1_000;

/// The body of a request. Only a trigger says what the alert is about: the other actions take nothing more than its key.
#[must_use]
pub fn body(notice: &Notice<'_>, routing_key: &str) -> Value {
    let &Notice { incident, epoch: _, retracted: _, explained: _, news: _, action, link } = notice;
    let mut body = json!({
        "routing_key": routing_key,
        "event_action": action.as_str(),
        "dedup_key": incident.id,
    });
    if action == Action::Trigger {
        body["payload"] = payload(notice);
        body["client"] = json!("Faultline");
        if let Some(link) = link {
            body["client_url"] = json!(link);
            body["links"] = json!([{"href": link, "text": format!("{} in Faultline", incident.id)}]);
        }
    }
    body
}

fn payload(notice: &Notice<'_>) -> Value {
    let incident = notice.incident;
    let text = |text: &str, limit| clip(text, limit, one_line);
    let cause = notice.explained.and_then(|explained| explained.cause());
    let summary = match cause {
        Some(cause) => {
            format!("{}: {}, likely caused by {}", incident.title, incident.failure_signature, cause.subject)
        }
        None => format!("{}: {}", incident.title, incident.failure_signature),
    };
    let dataset = text(incident.dataset_urn.as_str(), FIELD);
    let mut payload = json!({
        "summary": text(&summary, SUMMARY),
        // An alert has to say where it comes from, and a topic that the catalog does not know has no name.
        "source": if dataset.trim().is_empty() { "faultline".to_owned() } else { dataset.clone() },
        "severity": alert_severity(incident.severity),
        "timestamp": incident.opened_at,
        "component": dataset,
        "class": text(incident.failure_signature.as_str(), FIELD),
        "custom_details": details(notice),
    });
    if let Some(domain) = domain(&incident.dataset_urn) {
        payload["group"] = json!(text(domain, FIELD));
    }
    payload
}

fn details(notice: &Notice<'_>) -> Value {
    let &Notice { incident, epoch, retracted: _, explained, news, action: _, link: _ } = notice;
    let text = |text: &str| clip(text, SENTENCE, |_| None);
    let mut details = json!({
        "incident_id": incident.id,
        "severity": incident.severity,
        "status": incident.status,
        "news": news.iter().copied().map(Transition::as_str).collect::<Vec<_>>(),
        "signal": incident.signal,
        "failing_records": incident.evidence_count,
        "first_evidence": incident.evidence_ids.first(),
        "primary_trace_id": incident.primary_trace_id,
        "parent_incident_id": incident.parent_incident_id,
        "epoch": epoch,
    });
    if let Some(explained) = explained {
        if let Some(cause) = explained.cause() {
            details["cause"] = json!({
                "subject": text(&cause.subject),
                "kind": text(&cause.kind),
                "score": cause.score,
                "confidence": text(&cause.confidence),
                "layer": text(&cause.layer),
                "claims": cause.claims.iter().map(|claim| text(&claim.text)).collect::<Vec<_>>(),
            });
            details["recommended_action"] = json!(text(&explained.recommended_action));
        } else {
            details["unknowns"] =
                json!(explained.unknowns.iter().take(5).map(|unknown| text(unknown)).collect::<Vec<_>>());
        }
        let reach = &explained.blast_radius;
        details["blast_radius"] = json!({
            "total": reach.total,
            "truncated": reach.truncated,
            "by_kind": reach.counts_by_kind.iter().take(20).map(|(kind, count)| (text(kind), *count)).collect::<std::collections::BTreeMap<_, _>>(),
            "by_impact": reach.counts_by_impact,
        });
    }
    if let Value::Object(fields) = &mut details {
        fields.retain(|_, value| !value.is_null());
    }
    details
}

#[cfg(test)]
mod tests {
    use faultline_contracts::incident::Severity;
    use proptest::prelude::*;

    use super::*;
    use crate::webhook::message::tests::{any_notice, explained, incident, notice, units};

    #[test]
    fn the_orders_incident() {
        let (incident, explained) = (incident(), explained());
        let link = "https://faultline.example/incidents/INC-00000005";
        let expected = json!({
            "routing_key": "R0UT1NGK3Y",
            "event_action": "trigger",
            "dedup_key": "INC-00000005",
            "client": "Faultline",
            "client_url": link,
            "links": [{"href": link, "text": "INC-00000005 in Faultline"}],
            "payload": {
                "summary": "Contract Violation - orders:created: MISSING_FIELD:customer_id, likely caused by \
                            deployment:orders-svc:v3.17",
                "source": "urn:dp:orders:created",
                "severity": "critical",
                "timestamp": "2023-10-27T09:58:15.000Z",
                "component": "urn:dp:orders:created",
                "group": "orders",
                "class": "MISSING_FIELD:customer_id",
                "custom_details": {
                    "incident_id": "INC-00000005",
                    "severity": "SEV-1",
                    "status": "OPEN",
                    "news": ["opened", "cause_found"],
                    "signal": "contract_compliance",
                    "failing_records": 1_120,
                    "first_evidence": incident.evidence_ids[0].to_string(),
                    "primary_trace_id": "abababababababababababababababab",
                    "epoch": 1_698_400_800_123_u64,
                    "cause": {
                        "subject": "deployment:orders-svc:v3.17", "kind": "DEPLOYMENT", "score": 0.92,
                        "confidence": "HIGH", "layer": "LINEAGE",
                        "claims": [
                            "orders-svc v3.17 was deployed 17 seconds before the first failure.",
                            "No record failed this way before.",
                        ],
                    },
                    "recommended_action": "Roll back orders-svc to v3.16.",
                    "blast_radius": {
                        "total": 3, "truncated": false,
                        "by_kind": {"DASHBOARD": 1, "JOB": 1, "TABLE": 1},
                        "by_impact": {"AT_RISK": 2, "IMPACTED": 1},
                    },
                },
            },
        });
        assert_eq!(body(&notice(&incident, Some(&explained)), "R0UT1NGK3Y"), expected);
    }

    #[test]
    fn other_actions_say_which_alert_and_no_more() {
        for (action, name) in [(Action::Acknowledge, "acknowledge"), (Action::Resolve, "resolve")] {
            let body = body(&Notice { action, ..notice(&incident(), None) }, "key");
            assert_eq!(body, json!({"routing_key": "key", "event_action": name, "dedup_key": "INC-00000005"}));
        }
    }

    #[test]
    fn severities_are_those_of_alerts() {
        let all = [Severity::Sev1, Severity::Sev2, Severity::Sev3, Severity::Sev4];
        assert_eq!(all.map(alert_severity), ["critical", "error", "warning", "info"]);
    }

    proptest! {
        /// Whatever names and sentences hold: an event has what PagerDuty requires, within its limits.
        #[test]
        fn limits_hold_for_any_text((incident, explained) in any_notice()) {
            let body = body(&notice(&incident, Some(&explained)), "key");
            let payload = &body["payload"];
            for (field, limit) in [("summary", SUMMARY), ("source", FIELD)] {
                let text = payload[field].as_str().unwrap();
                prop_assert!((1..=limit).contains(&units(text)) && !text.contains('\n'), "{field}: {text}");
            }
            prop_assert!(units(payload["class"].as_str().unwrap()) <= FIELD);
            prop_assert!(units(payload["component"].as_str().unwrap()) <= FIELD);
            let timestamp = payload["timestamp"].as_str().unwrap();
            prop_assert!(timestamp.parse::<faultline_contracts::time::UnixMillis>().is_ok(), "{timestamp}");
            prop_assert!(body["dedup_key"].as_str().unwrap().len() <= 255);
            prop_assert!(body.to_string().len() < 512 << 10);
        }
    }
}
