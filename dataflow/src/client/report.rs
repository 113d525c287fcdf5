//! An explanation as a report for people.

use std::fmt::{self, Write};

use faultline_proto::v1;
use prost_types::Timestamp;

/// Nodes of the blast radius that are listed; the others are counted.
const NODES: usize = 10;
/// Evidence ids that are listed; the others are counted.
const EVIDENCE: usize = 2;

/// Text without control characters, so that what records and lineage say cannot steer a terminal.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '\u{FFFD}' } else { char }).collect()
}

/// A time as RFC 3339 to the second; empty where there is none.
#[must_use]
pub fn time(at: Option<&Timestamp>) -> String {
    let Some(at) = at else { return String::new() };
    let millis = at.seconds.saturating_mul(1_000);
    let text = faultline_contracts::time::UnixMillis(millis).to_string();
    text.replace(".000Z", "Z")
}

/// A count with thousands apart: `1,120`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The report: root cause, evidence, blast radius, recommended action, and the ids that prove it.
#[must_use]
pub fn render(explanation: &v1::Explanation) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write_report(explanation, &mut text);
    text
}

fn write_report(explanation: &v1::Explanation, out: &mut String) -> fmt::Result {
    let incident = explanation.incident.clone().unwrap_or_default();
    let status = incident.status().as_str_name();
    writeln!(out, "Incident: {} - {}", incident.id, plain(&incident.title))?;
    writeln!(out, "{} {status}, opened {}", incident.severity, time(incident.opened_at.as_ref()))?;
    if let Some(at) = &incident.resolved_at {
        writeln!(out, "resolved {}", time(Some(at)))?;
    }
    if !incident.parent_incident_id.is_empty() {
        writeln!(out, "a consequence of {}", incident.parent_incident_id)?;
    }
    causes(explanation, out)?;
    writeln!(out, "\nEVIDENCE:")?;
    for claim in &explanation.evidence_summary {
        writeln!(out, "• {}", plain(&claim.text))?;
    }
    if let Some(reach) = &explanation.blast_radius {
        blast_radius(reach, out)?;
    }
    if !explanation.recommended_action.is_empty() {
        writeln!(out, "\nRECOMMENDED ACTION:\n{}", plain(&explanation.recommended_action))?;
    }
    if !explanation.unknowns.is_empty() {
        writeln!(out, "\nUNKNOWN:")?;
        for unknown in &explanation.unknowns {
            writeln!(out, "• {}", plain(unknown))?;
        }
    }
    if !incident.evidence_ids.is_empty() {
        let shown: Vec<_> = incident.evidence_ids.iter().take(EVIDENCE).map(String::as_str).collect();
        write!(out, "\nEvidence IDs: {}", shown.join(", "))?;
        let more = incident.evidence_count.saturating_sub(shown.len() as u64);
        if more > 0 {
            write!(out, ", [+{} more]", count(more))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn causes(explanation: &v1::Explanation, out: &mut String) -> fmt::Result {
    let mut hypotheses = explanation.hypotheses.iter();
    let Some(first) = hypotheses.next() else {
        return writeln!(out, "\nROOT CAUSE: unknown");
    };
    let confidence = match first.confidence() {
        v1::hypothesis::Confidence::High => "High",
        v1::hypothesis::Confidence::Medium => "Medium",
        v1::hypothesis::Confidence::Low | v1::hypothesis::Confidence::Unspecified => "Low",
    };
    writeln!(out, "\nROOT CAUSE ({confidence} Confidence, {:.2}):", first.score)?;
    writeln!(out, "{} at {}", plain(&first.subject), time(first.at.as_ref()))?;
    for claim in &first.claims {
        write!(out, "• {}", plain(&claim.text))?;
        let proof = claim.evidence_ids.first().or(claim.edge_ids.first());
        let more = (claim.evidence_ids.len() + claim.edge_ids.len()).saturating_sub(1);
        match (proof, more) {
            (None, _) => writeln!(out)?,
            (Some(proof), 0) => writeln!(out, " [{}]", plain(proof))?,
            (Some(proof), more) => writeln!(out, " [{}, +{more} more]", plain(proof))?,
        }
    }
    let others: Vec<_> = hypotheses.map(|other| format!("{} ({:.2})", plain(&other.subject), other.score)).collect();
    if !others.is_empty() {
        writeln!(out, "Less likely: {}", others.join(", "))?;
    }
    Ok(())
}

/// The nodes that people read first: what is impacted before what is at risk, critical before not, near before far. Jobs
/// and tables without a tier are counted.
fn blast_radius(reach: &v1::BlastRadius, out: &mut String) -> fmt::Result {
    writeln!(out, "\nBLAST RADIUS:")?;
    if reach.nodes.is_empty() {
        return writeln!(out, "• nothing downstream is known");
    }
    let rank = |node: &v1::Node| match node.impact() {
        v1::node::Impact::Impacted => 0,
        v1::node::Impact::AtRisk | v1::node::Impact::Unspecified => 1,
        v1::node::Impact::Cleared => 2,
    };
    let named = |node: &&v1::Node| node.tier.is_some() && node.kind() != v1::node::Kind::Job;
    let mut listed: Vec<_> = reach.nodes.iter().filter(named).collect();
    listed.sort_by_key(|node| (rank(node), node.tier.unwrap_or(u32::MAX), node.hops, &node.id));
    for node in listed.iter().take(NODES) {
        let tier = node.tier.map_or_else(String::new, |tier| format!(" (Tier-{tier})"));
        writeln!(out, "• {}{tier} - {}", plain(&node.name), impact(node.impact()))?;
    }
    if listed.len() > NODES {
        writeln!(out, "• {} more with a tier", count((listed.len() - NODES) as u64))?;
    }
    let jobs: Vec<_> = reach.nodes.iter().filter(|node| node.kind() == v1::node::Kind::Job).collect();
    if !jobs.is_empty() {
        let mut parts = Vec::new();
        for state in [v1::node::Impact::Impacted, v1::node::Impact::AtRisk, v1::node::Impact::Cleared] {
            let number = jobs.iter().filter(|job| job.impact() == state).count();
            if number > 0 {
                parts.push(format!("{} {}", count(number as u64), impact(state)));
            }
        }
        let plural = if jobs.len() == 1 { "" } else { "s" };
        writeln!(out, "• {} downstream job{plural}: {}", count(jobs.len() as u64), parts.join(", "))?;
    }
    let bound = if reach.truncated { "at least " } else { "" };
    writeln!(out, "• {bound}{} downstream in all", count(u64::from(reach.total)))
}

/// An impact in words.
#[must_use]
pub fn impact(impact: v1::node::Impact) -> &'static str {
    match impact {
        v1::node::Impact::Unspecified => "not in breach",
        v1::node::Impact::Impacted => "IMPACTED",
        v1::node::Impact::AtRisk => "AT RISK",
        v1::node::Impact::Cleared => "CLEARED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers::{
        blast_radius::Bounds,
        explanation::{Asked, explain},
        fixture,
    };

    #[test]
    fn the_seeds_report() {
        let asked = Asked { incident: fixture::orders(), top_k: 5 };
        let report = render(&explain(&fixture::view(), Bounds::default(), asked).unwrap());
        for line in [
            "- Contract Violation - orders:created",
            "ROOT CAUSE (High Confidence, 0.93):\ndeployment:orders-svc:v3.17 at 2023-10-27T09:57:45Z",
            "Less likely: deployment:orders-svc:v3.16 (0.31)",
            "EVIDENCE:\n• 1,120 of 1,247 events (89.8%) failed",
            "• Exec Orders Dashboard (Tier-1) - IMPACTED",
            "• 2 downstream jobs: 1 IMPACTED, 1 AT RISK",
            "RECOMMENDED ACTION:\nRoll back orders-svc to v3.16",
            ", [+1,118 more]",
        ] {
            assert!(report.contains(line), "'{line}' is not in\n{report}");
        }
    }

    #[test]
    fn an_unknown_cause_says_so_and_nothing_steers_the_terminal() {
        let explanation = v1::Explanation { unknowns: vec!["no \u{1b}[2J deployment".into()], ..Default::default() };
        let report = render(&explanation);
        assert!(report.contains("ROOT CAUSE: unknown") && !report.contains('\u{1b}'), "{report}");
        assert_eq!((count(0), count(999), count(1_234_567)), ("0".into(), "999".into(), "1,234,567".into()));
    }
}
