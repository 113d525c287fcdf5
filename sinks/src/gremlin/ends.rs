//! Ends of edges whose vertices are not there yet.

use faultline_contracts::{
    graph::{Edge, EdgeLabel},
    ids::EntityId,
};

/// Both ends of an edge with the labels that they most likely have: by the prefix of the id, else by what such an edge
/// goes from and to. A vertex that turns out to be something else is made anew when it comes (see [`super::relabel`]).
pub(super) fn ends(edge: &Edge) -> [(&EntityId, &'static str); 2] {
    let (from, to) = match edge.label {
        EdgeLabel::Introduced => ("Deployment", "FailureSignature"),
        EdgeLabel::Caused => ("FailureSignature", "Signal"),
        EdgeLabel::Triggered => ("Signal", "Incident"),
        EdgeLabel::Owns => ("Producer", "Dataset"),
        EdgeLabel::Feeds => ("Table", "Job"),
        EdgeLabel::Writes => ("Job", "Table"),
        EdgeLabel::ConsumedBy => ("Table", "Dashboard"),
    };
    let label = |id: &EntityId, usual| by_prefix(id.as_str()).unwrap_or(usual);
    [(&edge.from, label(&edge.from, from)), (&edge.to, label(&edge.to, to))]
}

fn by_prefix(id: &str) -> Option<&'static str> {
    Some(match id.split_once(':')?.0 {
        "dashboard" => "Dashboard",
        "deployment" => "Deployment",
        "incident" => "Incident",
        "job" => "Job",
        "model" => "Model",
        "producer" => "Producer",
        "report" => "Report",
        "run" => "Run",
        "service" => "Service",
        "signal" => "Signal",
        "signature" => "FailureSignature",
        "urn" => "Dataset",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use faultline_contracts::time::UnixMillis;

    use super::*;

    #[test]
    fn prefixes_tell_more_than_edges() {
        let labels = |from: &str, label, to: &str| {
            let edge = Edge { from: from.into(), label, to: to.into(), since: UnixMillis(0), confidence: None };
            ends(&edge).map(|(_, label)| label)
        };
        assert_eq!(labels("run:1", EdgeLabel::Introduced, "signature:a:B"), ["Run", "FailureSignature"]);
        assert_eq!(labels("signal:a:volume", EdgeLabel::Caused, "signal:b:volume"), ["Signal", "Signal"]);
        assert_eq!(labels("urn:dp:a", EdgeLabel::Feeds, "job:a/b"), ["Dataset", "Job"]);
        assert_eq!(labels("delta:gold", EdgeLabel::ConsumedBy, "report:q3"), ["Table", "Report"]);
        assert_eq!(labels("v1", EdgeLabel::Introduced, "x"), ["Deployment", "FailureSignature"]);
    }
}
