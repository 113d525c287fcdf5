//! Changes as causes: deployments that traces name, deployments and catalog changes that came shortly before.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use faultline_contracts::{
    deployment::{Deployment, DeploymentKind},
    evidence::FailureSample,
    explanation::{Claim, Hypothesis, HypothesisKind, Layer},
    graph::{EdgeLabel, edge_id},
    ids::EntityId,
    time::UnixMillis,
    trace::TraceId,
};

use super::{
    case::{Case, SpanFact},
    score::{Basis, Grounds, Share},
    wording::{clock, number, relation},
};

/// A version without a leading `v`, which deployments and telemetry do not agree about.
pub(super) fn bare_version(version: &str) -> &str {
    version.strip_prefix('v').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit())).unwrap_or(version)
}

/// What the traces of failing records say of one service in one version.
struct Traced<'a> {
    /// The records whose traces lead there.
    records: Vec<&'a FailureSample>,
    /// Whether its span published the record, or it is the record's producer or an owner.
    publishes: bool,
    /// The version as spans have it.
    version: Option<&'a Arc<str>>,
}

/// `RUNTIME_TRACE`: deployments that the spans of failing records name, and what could not be found.
pub(super) fn by_trace(case: &Case<'_>, unknowns: &mut Vec<String>) -> Vec<Hypothesis> {
    let carried = case.samples().iter().filter(|sample| sample.trace_id.is_some()).count();
    if carried == 0 {
        unknowns.push("no trace id on failing records".to_owned());
        return Vec::new();
    }
    let (traced, found) = services_in_traces(case);
    if found < carried {
        let missing = carried - found;
        unknowns.push(format!("no span for {missing} of the {carried} traced failing records"));
    }
    let mut hypotheses = Vec::new();
    for ((service, bare), traced) in &traced {
        let (_, latest) = case.options.look_back.interval(case.first_failure());
        let recorded = match bare {
            Some(bare) => {
                let same = |known: &Deployment| {
                    known.service == **service && bare_version(&known.version) == *bare && known.at <= latest
                };
                let known = case.traced.iter().map(|known| (&known.deployment, &known.previous));
                known.filter(|(known, _)| same(known)).max_by_key(|(known, _)| *known)
            }
            // Telemetry without a version: the service is certain, and the deployment is its latest.
            None => {
                let latest =
                    case.candidates.iter().find(|known| known.rank == 0 && known.deployment.service == **service);
                latest.map(|known| (&known.deployment, &known.previous))
            }
        };
        let certain = bare.is_some() && traced.publishes;
        let grounds = Grounds {
            basis: if certain { Basis::TracedPublisher } else { Basis::TracedService },
            distance_ms: recorded.map(|(known, _)| case.before_failure(known.at)),
            recurrence: Some(case.recurrence()),
            explained: case.explained(),
            agreement: Share { part: traced.records.len() as u64, total: found as u64 },
            rivals_ms: Vec::new(),
            superseded: false,
            hops: 0,
        };
        let version = match (recorded, traced.version) {
            (Some((known, _)), _) => &known.version,
            (None, Some(version)) => {
                unknowns.push(format!("no deployment event for {service} {version}"));
                version
            }
            (None, None) => {
                unknowns.push(format!("spans of {service} name no version"));
                continue;
            }
        };
        let subject = EntityId::deployment(service, version);
        let mut claims = vec![Claim {
            text: format!(
                "{} of {} failing records with a known trace lead to {service}{}",
                number(traced.records.len() as u64),
                number(found as u64),
                traced.version.map(|version| format!(" {version}")).unwrap_or_default(),
            ),
            evidence_ids: Case::cite(traced.records.iter().copied()),
            edge_ids: vec![case.introduced_by(&subject)],
        }];
        if let Some((known, _)) = recorded {
            claims.push(deployed(case, known));
        }
        hypotheses.push(Hypothesis {
            kind: HypothesisKind::Deployment,
            score: grounds.score(),
            layer: Layer::RuntimeTrace,
            at: recorded.map_or_else(|| case.first_failure(), |(known, _)| known.at),
            claims,
            action: Some(match recorded {
                Some((known, previous)) => undo(known, previous.as_deref()),
                None => undo_without_record(service, version),
            }),
            parent: None,
            subject,
        });
    }
    hypotheses
}

type TracedServices<'a> = BTreeMap<(&'a Arc<str>, Option<&'a str>), Traced<'a>>;

/// The services and versions that traces of failing records lead to, and how many records had any span. In each trace
/// only the strongest kind of span counts: one that published to the record's topic; else one of the record's producer
/// or of an owner; else any.
fn services_in_traces<'a>(case: &Case<'a>) -> (TracedServices<'a>, usize) {
    let mut by_trace: BTreeMap<TraceId, Vec<SpanFact<'a>>> = BTreeMap::new();
    for span in &case.spans {
        by_trace.entry(span.trace_id).or_default().push(*span);
    }
    let (mut services, mut found) = (TracedServices::new(), 0);
    for sample in case.samples() {
        let Some(spans) = sample.trace_id.and_then(|id| by_trace.get(&id)) else { continue };
        found += 1;
        let strength = |span: &SpanFact<'_>| {
            if span.topic == Some(&*sample.topic) {
                0
            } else if *span.service == sample.producer || case.policy.owners.contains(span.service) {
                1
            } else {
                2
            }
        };
        let strongest = spans.iter().map(strength).min().unwrap_or(2);
        let counted: Vec<_> = spans.iter().filter(|span| strength(span) == strongest).collect();
        let named: BTreeSet<_> = counted
            .iter()
            .filter(|span| {
                let versioned = |other: &&&SpanFact<'_>| other.service == span.service && other.version.is_some();
                span.version.is_some() || !counted.iter().any(|other| versioned(&other))
            })
            .map(|span| (span.service, span.version.map(|version| bare_version(version))))
            .collect();
        for key in named {
            let version = counted
                .iter()
                .filter(|span| span.service == key.0)
                .filter_map(|span| span.version)
                .find(|version| Some(bare_version(version)) == key.1);
            let traced = services.entry(key).or_insert(Traced { records: Vec::new(), publishes: false, version });
            traced.records.push(sample);
            traced.publishes |= strongest < 2;
        }
    }
    (services, found)
}

/// `LINEAGE`: the latest deployments of the owners, and of the producers that failing records name.
pub(super) fn by_time(case: &Case<'_>, unknowns: &mut Vec<String>) -> Vec<Hypothesis> {
    if case.policy.owners.is_empty() {
        unknowns.push(format!("no producer owns {} in the catalog", case.breach.dataset));
    }
    for owner in &case.policy.owners {
        if !case.candidates.iter().any(|known| known.deployment.service == *owner) {
            unknowns.push(format!("no deployment of {owner} in {} before the first failure", look_back(case)));
        }
    }
    let services = case.producing_services();
    let named: Vec<_> = case.samples().iter().filter(|sample| Case::names_producer(sample)).collect();
    let producing = case.candidates.iter().filter(|known| services.contains(&known.deployment.service));
    producing
        .map(|known| {
            let Deployment { service, at, .. } = &known.deployment;
            let subject = known.deployment.vertex();
            let speaking: Vec<_> = named.iter().copied().filter(|sample| sample.producer == *service).collect();
            let grounds = Grounds {
                basis: Basis::Deployment,
                distance_ms: Some(case.before_failure(*at)),
                recurrence: Some(case.recurrence()),
                explained: case.explained(),
                agreement: Share { part: speaking.len() as u64, total: named.len() as u64 },
                rivals_ms: rivals(case, &subject, *at),
                superseded: case.candidates.iter().any(|other| {
                    let (other, rank) = (&other.deployment, other.rank);
                    other.service == *service && rank < known.rank && other.version != known.deployment.version
                }),
                hops: 0,
            };
            let mut claims = vec![deployed(case, &known.deployment)];
            if case.policy.owners.contains(service) {
                let owns = edge_id(&EntityId::producer(service), EdgeLabel::Owns, &case.breach.dataset);
                let text = format!("{service} owns {}", case.breach.dataset);
                claims.push(Claim { text, evidence_ids: Vec::new(), edge_ids: vec![owns] });
            }
            if !speaking.is_empty() {
                let text = format!(
                    "{} of {} sampled failing records name {service} as their producer",
                    speaking.len(),
                    named.len()
                );
                claims.push(Claim { text, evidence_ids: Case::cite(speaking), edge_ids: Vec::new() });
            }
            claims.push(novelty(case, &subject));
            if known.competing > 0 {
                let plural = if known.competing == 1 { "" } else { "s" };
                let text = format!(
                    "{} deployment{plural} of other versions of {service} in {} before the first failure",
                    known.competing,
                    look_back(case),
                );
                claims.push(case.introduction(&subject, text));
            }
            Hypothesis {
                kind: HypothesisKind::Deployment,
                score: grounds.score(),
                layer: Layer::Lineage,
                at: *at,
                claims,
                action: Some(undo(&known.deployment, known.previous.as_deref())),
                parent: None,
                subject,
            }
        })
        .collect()
}

/// `LINEAGE`: other versions of the dataset's contract and schema that came into force inside the look-back.
pub(super) fn by_catalog(case: &Case<'_>) -> Vec<Hypothesis> {
    let hypothesis = |change: &&super::CatalogChange| {
        let grounds = Grounds {
            basis: Basis::CatalogChange,
            distance_ms: Some(case.before_failure(change.at)),
            recurrence: Some(case.recurrence()),
            explained: case.explained(),
            agreement: Share::ALL,
            rivals_ms: rivals(case, &change.now, change.at),
            superseded: false,
            hops: 0,
        };
        let when = clock(change.at, case.first_failure());
        let distance = relation(case.before_failure(change.at));
        let text = format!("{} came into force at {when}, {distance} the first failure", change.now);
        let action = match &change.before {
            Some(before) => {
                format!("Compare {} with {before}, and return to it if the change was not meant", change.now)
            }
            None => format!("Check {} against what producers send", change.now),
        };
        Hypothesis {
            kind: change.kind.hypothesis(),
            subject: change.now.clone(),
            score: grounds.score(),
            layer: Layer::Lineage,
            at: change.at,
            claims: vec![case.introduction(&change.now, text), novelty(case, &change.now)],
            action: Some(action),
            parent: None,
        }
    };
    case.catalog.iter().map(hypothesis).collect()
}

/// For each other change that is a cause by time, how far it is from `at`.
fn rivals(case: &Case<'_>, subject: &EntityId, at: UnixMillis) -> Vec<i64> {
    let services = case.producing_services();
    let producing = case.candidates.iter().filter(|known| services.contains(&known.deployment.service));
    let changes = producing
        .map(|known| (known.deployment.vertex(), known.deployment.at))
        .chain(case.catalog.iter().map(|change| (change.now.clone(), change.at)));
    let mut nearest: BTreeMap<EntityId, i64> = BTreeMap::new();
    for (rival, time) in changes.filter(|(rival, _)| rival != subject) {
        let gap = at.since(time).saturating_abs();
        nearest.entry(rival).and_modify(|known| *known = gap.min(*known)).or_insert(gap);
    }
    nearest.into_values().collect()
}

fn look_back(case: &Case<'_>) -> String {
    let ms = case.options.look_back.look_back_ms.max(0);
    if ms % 3_600_000 == 0 {
        format!("the {} hours", ms / 3_600_000)
    } else {
        format!("the {}", super::wording::duration(ms))
    }
}

/// `Deployment v3.17 of orders-svc recorded at 09:57:45, 17 seconds before the first failure`
fn deployed(case: &Case<'_>, deployment: &Deployment) -> Claim {
    let Deployment { service, at, version, kind, .. } = deployment;
    let act = match kind {
        DeploymentKind::Deployed | DeploymentKind::Upgraded => "Deployment",
        DeploymentKind::RolledBack => "Rollback to",
        DeploymentKind::Removed => "Removal",
    };
    let when = clock(*at, case.first_failure());
    let distance = relation(case.before_failure(*at));
    let version = if version.is_empty() { String::new() } else { format!(" {version}") };
    let text = format!("{act}{version} of {service} recorded at {when}, {distance} the first failure");
    case.introduction(&deployment.vertex(), text)
}

/// Whether the signature is new.
fn novelty(case: &Case<'_>, subject: &EntityId) -> Claim {
    let text = match case.breach.signature_count_before {
        0 => "No failure had this reason before the breach".to_owned(),
        1 => "1 failure had this reason already before the breach".to_owned(),
        before => format!("{} failures had this reason already before the breach", number(before)),
    };
    case.introduction(subject, text)
}

fn undo(deployment: &Deployment, previous: Option<&str>) -> String {
    let service = &deployment.service;
    match (deployment.kind, previous) {
        (DeploymentKind::Deployed | DeploymentKind::Upgraded, Some(previous)) => {
            format!("Roll back {service} to {previous}")
        }
        (DeploymentKind::RolledBack, Some(previous)) => format!("Roll {service} forward to {previous}"),
        (DeploymentKind::Removed, Some(previous)) => format!("Deploy {service} {previous} again"),
        (DeploymentKind::Removed, None) => format!("Deploy {service} again"),
        (_, None) => undo_without_record(service, &deployment.version),
    }
}

fn undo_without_record(service: &str, version: &str) -> String {
    format!("Fix {service} {version} or roll it back; the version before it is not recorded")
}
