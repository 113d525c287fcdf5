//! From one incident's facts to its explanation: pure, so that same facts give the same words on any machine.

use std::{cmp::Reverse, collections::BTreeMap};

use faultline_contracts::{
    explanation::{Claim, Explanation, Hypothesis, HypothesisKind, Layer, Score},
    graph::{EdgeLabel, edge_id, signal_vertex},
};

use super::{
    case::Case,
    changes, runs,
    score::{Basis, Grounds, Share, agreed},
    wording::{clock, number, percent, relation},
};

/// How many upstream breaches are named at most.
const UPSTREAM: usize = 3;

/// The explanation of a case.
pub(super) fn explain(case: &Case<'_>) -> Explanation {
    let mut unknowns = Vec::new();
    let mut found = changes::by_trace(case, &mut unknowns);
    found.extend(runs::by_run(case, &mut unknowns));
    found.extend(changes::by_time(case, &mut unknowns));
    found.extend(changes::by_catalog(case));
    found.extend(by_upstream(case));
    let mut hypotheses = merged(found);
    hypotheses.sort_by(|a, b| {
        let rank = |h: &Hypothesis| (Reverse(h.score), h.layer, Reverse(h.at), h.kind);
        rank(a).cmp(&rank(b)).then_with(|| a.subject.cmp(&b.subject))
    });
    hypotheses.truncate(case.options.max_hypotheses);
    Explanation {
        incident: case.breach.id,
        recommended_action: hypotheses.first().and_then(|best| best.action.clone()),
        hypotheses,
        evidence_summary: summary(case),
        unknowns,
    }
}

/// One hypothesis for each thing blamed. The strongest layer gives it its place and words; that others agree raises the
/// best score a little, and adds their claims.
fn merged(found: Vec<Hypothesis>) -> Vec<Hypothesis> {
    let mut groups = BTreeMap::new();
    for hypothesis in found {
        groups.entry((hypothesis.kind, hypothesis.subject.clone())).or_insert_with(Vec::new).push(hypothesis);
    }
    let merge = |mut group: Vec<Hypothesis>| {
        group.sort_by_key(|hypothesis| (hypothesis.layer, Reverse(hypothesis.score), Reverse(hypothesis.at)));
        let best = group.iter().map(|hypothesis| hypothesis.score).max().unwrap_or_default();
        let mut group = group.into_iter();
        let mut strongest = group.next()?;
        let (mut layer, mut further) = (strongest.layer, 0);
        for weaker in group.filter(|weaker| {
            // Of one layer only its strongest: the same version deployed twice is no agreement.
            let next = weaker.layer != layer;
            layer = weaker.layer;
            next
        }) {
            further += 1;
            for claim in weaker.claims {
                if !strongest.claims.iter().any(|known| known.text == claim.text) {
                    strongest.claims.push(claim);
                }
            }
        }
        strongest.score = agreed(best, further);
        Some(strongest)
    };
    groups.into_values().filter_map(merge).collect()
}

/// `LINEAGE`: breaches upstream that began earlier. The earliest, and of those the farthest upstream, is the likeliest:
/// the others may be its consequences, as this one is.
fn by_upstream(case: &Case<'_>) -> Vec<Hypothesis> {
    let mut upstream = case.upstream.clone();
    upstream.sort_by_key(|up| (up.first_failure, Reverse(up.path.len()), up.incident));
    let signal = signal_vertex(&case.breach.dataset, case.breach.kind);
    let mut bound = Score(u16::MAX);
    let hypothesis = |up: &super::facts::UpstreamBreach| {
        let lag = case.before_failure(up.first_failure);
        let grounds = Grounds {
            basis: Basis::Upstream,
            distance_ms: Some(lag),
            recurrence: None,
            explained: case.explained(),
            agreement: Share::ALL,
            rivals_ms: Vec::new(),
            superseded: false,
            hops: u8::try_from(up.path.len()).unwrap_or(u8::MAX),
        };
        let score = grounds.score().min(bound);
        bound = Score(score.0.saturating_sub(20).max(50));
        let caused = edge_id(&signal_vertex(&up.dataset, up.kind), EdgeLabel::Caused, &signal);
        let began = clock(up.first_failure, case.first_failure());
        let first = format!("{} failed from {began}, {}, and is incident {}", up.dataset, relation(lag), up.incident);
        let flows = format!("Data flows from {} to {} over {} edges", up.dataset, case.breach.dataset, up.path.len());
        Hypothesis {
            kind: HypothesisKind::UpstreamDataset,
            subject: up.dataset.clone(),
            score,
            layer: Layer::Lineage,
            at: up.first_failure,
            claims: vec![
                Claim {
                    text: first,
                    evidence_ids: case.first_evidence().into_iter().take(1).collect(),
                    edge_ids: vec![caused],
                },
                Claim {
                    text: flows,
                    evidence_ids: Vec::new(),
                    edge_ids: up.path.iter().rev().take(super::case::CITED).cloned().collect(),
                },
            ],
            action: Some(format!("Resolve {} first", up.incident)),
            parent: Some(up.incident),
        }
    };
    upstream.into_iter().take(UPSTREAM).map(hypothesis).collect()
}

/// Counts and shares of the breach itself, for the summary.
fn summary(case: &Case<'_>) -> Vec<Claim> {
    let breach = case.breach;
    let (fail, judged) = (breach.verdicts.fail, breach.verdicts.judged());
    let reasons = breach.signature.codes().collect::<Vec<_>>().join(" and ");
    let cite = |text| Claim { text, evidence_ids: case.first_evidence(), edge_ids: Vec::new() };
    let share = percent(fail, judged);
    let mut claims = vec![cite(format!("{} of {} events ({share}) failed", number(fail), number(judged)))];
    claims.push(cite(if breach.signature_count >= fail {
        format!("All failures have reason {reasons}")
    } else {
        let share = percent(breach.signature_count, fail);
        format!("{} of {} failures ({share}) have reason {reasons}", number(breach.signature_count), number(fail))
    }));
    if let Some(first) = case.samples().first() {
        let at = clock(first.id.timestamp(), breach.first_window);
        let text = format!("First failure {} at {at} (offset {})", first.id, first.id.offset());
        claims.push(Claim { text, evidence_ids: vec![first.id], edge_ids: Vec::new() });
    }
    claims
}
