//! Slack's incoming webhooks: a message of blocks.
//!
//! Limits are Slack's: 150 characters in a header, 3,000 in a section's text, 2,000 in each of its at most 10 fields, 50
//! blocks. In its markup only `&`, `<` and `>` have a meaning that a text could abuse (mentions, links), and are escaped.

use serde_json::{Value, json};

use super::{
    Notice,
    clip::{clip, one_line},
};
use crate::webhook::explained::{Explained, Reach};

const HEADER: usize = 150;
const SECTION: usize = 3_000;
const FIELD: usize = 2_000;
/// Of one text within a section or field, so that several fit.
const PART: usize = 400;

/// The body of a request.
#[must_use]
pub fn body(notice: &Notice<'_>) -> Value {
    let &Notice { incident, epoch: _, retracted, explained, news: _, action: _, link: _ } = notice;
    let headline = format!("{} {}: {}", incident.severity.as_str(), notice.headline(), incident.title);
    let mut blocks = vec![
        json!({"type": "header", "text": {"type": "plain_text", "text": clip(&headline, HEADER, one_line)}}),
        json!({"type": "section", "fields": fields(notice)}),
    ];
    if retracted {
        blocks.push(section("Late records show that there was no breach."));
    } else {
        blocks.extend(explained.into_iter().flat_map(explanation));
    }
    blocks.push(json!({"type": "context", "elements": [{"type": "mrkdwn", "text": context(notice)}]}));
    // What notifications show, and clients that know no blocks.
    json!({"text": clip(&headline, SECTION, escape), "blocks": blocks})
}

fn fields(notice: &Notice<'_>) -> Vec<Value> {
    let incident = notice.incident;
    let mut fields = vec![
        ("Dataset", code(incident.dataset_urn.as_str(), PART)),
        ("Status", incident.status.as_str().to_owned()),
        ("Failure", code(incident.failure_signature.as_str(), PART)),
        ("Failing records", grouped(incident.evidence_count)),
        ("Opened", incident.opened_at.to_string()),
    ];
    if let Some(resolved) = incident.resolved_at {
        fields.push(("Resolved", resolved.to_string()));
    }
    if let Some(parent) = incident.parent_incident_id {
        fields.push(("Consequence of", parent.to_string()));
    }
    let field = |(name, value)| json!({"type": "mrkdwn", "text": clip(&format!("*{name}*\n{value}"), FIELD, |_| None)});
    fields.into_iter().map(field).collect()
}

/// Cause, blast radius and what to do.
fn explanation(explained: &Explained) -> Vec<Value> {
    let mut blocks = Vec::new();
    let mut cause = match explained.cause() {
        Some(cause) => format!(
            "*Likely cause* {}\nScore {:.2} ({}, {})",
            code(&cause.subject, PART),
            cause.score,
            clip(&cause.confidence, 20, escape),
            clip(&cause.layer, 40, escape),
        ),
        None => "*Likely cause* unknown".to_owned(),
    };
    let reasons =
        explained.cause().map(|cause| cause.claims.iter().map(|claim| claim.text.as_str()).collect::<Vec<_>>());
    for reason in reasons.unwrap_or_else(|| explained.unknowns.iter().take(5).map(String::as_str).collect()) {
        cause.push_str("\n• ");
        cause.push_str(&clip(reason, PART, escape));
    }
    blocks.push(section(&cause));
    if explained.blast_radius.total > 0 {
        blocks.push(section(&format!("*Blast radius* {}", reach(&explained.blast_radius))));
    }
    if !explained.recommended_action.is_empty() {
        blocks.push(section(&format!("*What to do* {}", clip(&explained.recommended_action, 2 * PART, escape))));
    }
    blocks
}

/// `5: 1 DASHBOARD, 2 JOB, 2 TABLE; 1 IMPACTED, 4 AT_RISK`
fn reach(reach: &Reach) -> String {
    let counts = |counts: &std::collections::BTreeMap<String, u64>| {
        let each = counts.iter().map(|(name, count)| format!("{} {}", grouped(*count), clip(name, 40, escape)));
        each.take(12).collect::<Vec<_>>().join(", ")
    };
    let more = if reach.truncated { "at least " } else { "" };
    let mut text = format!("{more}{}: {}", grouped(reach.total), counts(&reach.counts_by_kind));
    if !reach.counts_by_impact.is_empty() {
        text.push_str("; ");
        text.push_str(&counts(&reach.counts_by_impact));
    }
    text
}

fn context(notice: &Notice<'_>) -> String {
    let incident = notice.incident;
    let mut parts = vec![match notice.link {
        // Settings allow no address that could end the link early.
        Some(link) => format!("<{}|{}>", link.replace('&', "&amp;"), incident.id),
        None => incident.id.to_string(),
    }];
    parts.extend(incident.evidence_ids.first().map(|first| format!("first evidence `{first}`")));
    parts.extend(incident.primary_trace_id.map(|trace| format!("trace `{trace}`")));
    parts.join(" · ")
}

fn section(text: &str) -> Value {
    // All of it is escaped, and its parts are bounded: to cut here is for what nobody thought of.
    json!({"type": "section", "text": {"type": "mrkdwn", "text": clip(text, SECTION, |_| None)}})
}

/// Slack's control characters.
fn escape(char: char) -> Option<&'static str> {
    match char {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        _ => one_line(char),
    }
}

/// A name as code. A backtick in it would end the code, and cannot be escaped.
fn code(text: &str, limit: usize) -> String {
    let name = clip(text, limit, |char| if char == '`' { Some("'") } else { escape(char) });
    if name.trim().is_empty() { "-".to_owned() } else { format!("`{name}`") }
}

/// `1,120`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use faultline_contracts::incident::{Incident, IncidentStatus};
    use proptest::prelude::*;

    use super::*;
    use crate::webhook::{
        message::tests::{any_notice, explained, incident, notice, units},
        transition::Transition,
    };

    #[test]
    fn the_orders_incident() {
        let (incident, explained) = (incident(), explained());
        let section = |text: &str| json!({"type": "section", "text": {"type": "mrkdwn", "text": text}});
        let field = |text: &str| json!({"type": "mrkdwn", "text": text});
        let headline = "SEV-1 opened: Contract Violation - orders:created";
        let first = incident.evidence_ids[0];
        let expected = json!({
            "text": headline,
            "blocks": [
                {"type": "header", "text": {"type": "plain_text", "text": headline}},
                {"type": "section", "fields": [
                    field("*Dataset*\n`urn:dp:orders:created`"),
                    field("*Status*\nOPEN"),
                    field("*Failure*\n`MISSING_FIELD:customer_id`"),
                    field("*Failing records*\n1,120"),
                    field("*Opened*\n2023-10-27T09:58:15.000Z"),
                ]},
                section("*Likely cause* `deployment:orders-svc:v3.17`\nScore 0.92 (HIGH, LINEAGE)\n\
                         • orders-svc v3.17 was deployed 17 seconds before the first failure.\n\
                         • No record failed this way before."),
                section("*Blast radius* 3: 1 DASHBOARD, 1 JOB, 1 TABLE; 2 AT_RISK, 1 IMPACTED"),
                section("*What to do* Roll back orders-svc to v3.16."),
                {"type": "context", "elements": [{"type": "mrkdwn", "text": format!(
                    "<https://faultline.example/incidents/INC-00000005|INC-00000005> · first evidence `{first}` · trace \
                     `abababababababababababababababab`"
                )}]},
            ],
        });
        assert_eq!(body(&notice(&incident, Some(&explained))), expected);
    }

    #[test]
    fn an_unknown_cause_says_what_was_missing() {
        let explained = Explained { hypotheses: Vec::new(), ..explained() };
        let text = body(&notice(&incident(), Some(&explained)))["blocks"][2]["text"]["text"].clone();
        assert_eq!(text, "*Likely cause* unknown\n• No spans were seen.");
    }

    #[test]
    fn what_is_taken_back_is_said_so() {
        let incident =
            Incident { status: IncidentStatus::Resolved, resolved_at: Some(incident().opened_at), ..incident() };
        let notice = Notice { retracted: true, news: &[Transition::Retracted], ..notice(&incident, None) };
        let body = body(&notice);
        assert_eq!(body["text"], "SEV-1 retracted: Contract Violation - orders:created");
        assert_eq!(body["blocks"][2]["text"]["text"], "Late records show that there was no breach.");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    /// Every text of a message, with its limit and whether it is markup.
    fn texts(body: &Value) -> Vec<(String, usize, bool)> {
        let text = |object: &Value, limit| {
            let markup = object["type"] == "mrkdwn";
            assert!(markup || object["type"] == "plain_text", "{object}");
            (object["text"].as_str().unwrap().to_owned(), limit, markup)
        };
        let mut texts = vec![(body["text"].as_str().unwrap().to_owned(), SECTION, true)];
        for block in body["blocks"].as_array().unwrap() {
            match block["type"].as_str().unwrap() {
                "header" => texts.push(text(&block["text"], HEADER)),
                "section" => {
                    let fields = block["fields"].as_array();
                    assert!(fields.is_none_or(|fields| (1..=10).contains(&fields.len())));
                    texts.extend(fields.into_iter().flatten().map(|field| text(field, FIELD)));
                    texts.extend(block.get("text").map(|object| text(object, SECTION)));
                }
                "context" => texts.extend(block["elements"].as_array().unwrap().iter().map(|one| text(one, FIELD))),
                other => panic!("{other}"),
            }
        }
        texts
    }

    proptest! {
        /// Whatever names and sentences hold: Slack's limits are kept, and nothing becomes a mention or a link.
        #[test]
        fn limits_and_escapes_hold_for_any_text((incident, explained) in any_notice()) {
            let body = body(&notice(&incident, Some(&explained)));
            prop_assert!(body["blocks"].as_array().unwrap().len() <= 50);
            for (text, limit, markup) in texts(&body) {
                prop_assert!((1..=limit).contains(&units(&text)), "{} of {limit}", units(&text));
                if markup {
                    let text = text.replace("<https://faultline.example/incidents/INC-00000005|INC-00000005>", "");
                    prop_assert!(!text.contains(['<', '>']), "{text}");
                    let entities = ["&amp;", "&lt;", "&gt;"];
                    let ends = text.match_indices('&').all(|(at, _)| entities.iter().any(|entity| text[at..].starts_with(entity)));
                    prop_assert!(ends, "{text}");
                }
            }
        }

        /// What is not cut reads as it was written.
        #[test]
        fn escaping_loses_nothing(text in "[a-z&<>;]{0,40}") {
            let escaped = clip(&text, SECTION, escape);
            prop_assert_eq!(escaped.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"), text);
        }
    }
}
