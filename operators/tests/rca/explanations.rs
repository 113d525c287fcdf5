use faultline_contracts::{
    asset::{Asset, AssetKind},
    explanation::{Band, Claim, Hypothesis, HypothesisKind, Layer, Score},
    graph::{EdgeLabel, edge_id, signal_vertex},
    incident::{IncidentStatus, Severity},
    lineage::{FlowKind, RunState},
    policy::{DatasetPolicy, Rollout},
};
use faultline_operators::{
    graph::Producer,
    hypotheses::{CatalogChange, CatalogChangeKind},
};

use crate::scenario::*;

fn texts(claims: &[Claim]) -> Vec<&str> {
    claims.iter().map(|claim| claim.text.as_str()).collect()
}

fn subjects(hypotheses: &[Hypothesis]) -> Vec<&str> {
    hypotheses.iter().map(|hypothesis| hypothesis.subject.as_str()).collect()
}

#[test]
fn the_seeds_report() {
    let answers = answers(&[added(seed())]);
    let explanation = answers[0].explanation(&orders_breach());
    let first = orders_breach().earliest[0].id;
    assert_eq!(
        texts(&explanation.evidence_summary),
        [
            "1,120 of 1,247 events (89.8%) failed",
            "All failures have reason MISSING_FIELD:customer_id",
            &format!("First failure {first} at 09:58:02 (offset 9918273)"),
        ]
    );
    let [cause] = explanation.hypotheses.as_slice() else { panic!("{:?}", explanation.hypotheses) };
    assert_eq!(cause.subject.as_str(), "deployment:orders-svc:v3.17");
    assert_eq!((cause.kind, cause.layer), (HypothesisKind::Deployment, Layer::Lineage));
    assert_eq!((cause.score, cause.score.band()), (Score(924), Band::High));
    assert_eq!(
        texts(&cause.claims),
        [
            "Deployment v3.17 of orders-svc recorded at 09:57:45, 17 seconds before the first failure",
            "orders-svc owns urn:dp:orders:created",
            "20 of 20 sampled failing records name orders-svc as their producer",
            "No failure had this reason before the breach",
        ]
    );
    assert_eq!(explanation.recommended_action.as_deref(), Some("Roll back orders-svc to v3.16"));
    assert_eq!(
        explanation.unknowns,
        ["no trace id on failing records", "no lineage event writes or reads urn:dp:orders:created"]
    );
}

#[test]
fn traces_name_the_deployment_with_more_certainty() {
    let traced = sampled(orders_breach(), |n, sample| sample.trace_id = (n < 8).then(|| trace(n as u8 + 1)));
    let mut story = seed();
    story[1] = Input::Breach(traced.clone());
    // Telemetry leaves out the v; a service that only passed the call on is not blamed.
    story.extend(
        (1..8).flat_map(|n| [span(trace(n), "orders-svc", Some("3.17")), span(trace(n), "gateway", Some("1.0"))]),
    );
    let answers = answers(&[added(story)]);
    let explanation = answers[0].explanation(&traced);
    assert_eq!(subjects(&explanation.hypotheses), ["deployment:orders-svc:v3.17"]);
    let cause = &explanation.hypotheses[0];
    assert_eq!((cause.layer, cause.score), (Layer::RuntimeTrace, Score(973)));
    assert_eq!(cause.claims[0].text, "7 of 7 failing records with a known trace lead to orders-svc 3.17");
    assert_eq!(explanation.unknowns[0], "no span for 1 of the 8 traced failing records");
    assert_eq!(answers[0].incidents[0].primary_trace_id, Some(trace(1)));
}

#[test]
fn a_traced_version_without_a_deployment_event_is_blamed_and_named_as_unknown() {
    let traced = sampled(orders_breach(), |_, sample| sample.trace_id = Some(trace(1)));
    let story = [
        Input::Policy(policy(ORDERS, &["orders-svc"])),
        Input::Breach(traced.clone()),
        span(trace(1), "orders-svc", Some("v9")),
    ];
    let answers = answers(&[added(story), added([deployment("orders-svc", "v9", before(0, 1))])]);
    let without = answers[0].explanation(&traced);
    assert_eq!(subjects(&without.hypotheses), ["deployment:orders-svc:v9"]);
    assert!(without.unknowns.contains(&"no deployment event for orders-svc v9".to_owned()));
    assert!(
        without.unknowns.contains(&"no deployment of orders-svc in the 24 hours before the first failure".to_owned())
    );
    let with = answers[1].explanation(&traced);
    assert!(with.hypotheses[0].score > without.hypotheses[0].score);
    assert!(!with.unknowns.iter().any(|unknown| unknown.contains("deployment")));
}

#[test]
fn a_deployment_that_is_heard_of_late_changes_the_answer() {
    let mut story = seed();
    let late = story.pop().unwrap();
    let answers = answers(&[added(story), added([late])]);
    let first = answers[0].explanation(&orders_breach());
    assert!(first.hypotheses.is_empty() && first.recommended_action.is_none());
    assert!(
        first.unknowns.contains(&"no deployment of orders-svc in the 24 hours before the first failure".to_owned())
    );
    let then = answers[1].explanation(&orders_breach());
    assert_eq!(subjects(&then.hypotheses), ["deployment:orders-svc:v3.17"]);
}

#[test]
fn when_the_breach_goes_all_that_followed_from_it_goes() {
    let answers = answers(&[added(seed()), vec![(Input::Breach(orders_breach()), -1)]]);
    assert_eq!(answers[0].incidents.len(), 1);
    let causal = |answers: &Answers| answers.edges.iter().filter(|edge| edge.confidence.is_some()).count();
    assert_eq!(causal(&answers[0]), 3);
    assert_eq!((answers[1].explanations.len(), answers[1].incidents.len(), causal(&answers[1])), (0, 0, 0));
    let left: Vec<_> = answers[1].vertices.iter().map(|vertex| vertex.id.as_str()).collect();
    assert_eq!(left, ["producer:orders-svc", ORDERS]);
}

#[test]
fn distance_recurrence_and_rivals_lower_the_score() {
    let of = |changes: Vec<Input>, seen_before| {
        let mut breach = orders_breach();
        breach.signature_count_before = seen_before;
        let story = [Input::Policy(policy(ORDERS, &["orders-svc"])), Input::Breach(breach.clone())];
        let answers = answers(&[added(story.into_iter().chain(changes))]);
        answers[0].explanation(&breach).clone()
    };
    let medium = of(vec![deployment("orders-svc", "v2", before(6, 0))], 0);
    assert_eq!(medium.hypotheses[0].score.band(), Band::Medium);
    let low = of(vec![deployment("orders-svc", "v2", before(20, 0))], 700);
    assert_eq!(low.hypotheses[0].score.band(), Band::Low);
    let alone = of(vec![deployment("orders-svc", "v3", before(0, 1))], 0);
    let rivals = vec![deployment("orders-svc", "v2", before(0, 6)), deployment("orders-svc", "v3", before(0, 1))];
    let both = of(rivals, 0);
    assert_eq!(subjects(&both.hypotheses), ["deployment:orders-svc:v3", "deployment:orders-svc:v2"]);
    assert!(both.hypotheses[0].score < alone.hypotheses[0].score);
    assert_eq!(both.recommended_action.as_deref(), Some("Roll back orders-svc to v2"));
    let skewed = of(vec![deployment("orders-svc", "v3", first_failure().plus(2_000))], 0);
    assert!(skewed.hypotheses[0].score < alone.hypotheses[0].score);
    assert!(of(vec![deployment("orders-svc", "v3", first_failure().plus(2_001))], 0).hypotheses.is_empty());
}

/// orders → job → payments; payments fails an hour after orders.
fn cascade() -> Vec<Input> {
    vec![
        Input::Policy(policy(ORDERS, &["orders-svc"])),
        Input::Policy(policy(PAYMENTS, &["payments-svc"])),
        Input::Breach(breach(ORDERS, before(1, 0), "orders-svc")),
        Input::Breach(breach(PAYMENTS, first_failure(), "payments-svc")),
        flow(ORDERS, FlowKind::Feeds, "job:airflow/settle"),
        flow("job:airflow/settle", FlowKind::Writes, PAYMENTS),
        // A way back makes a cycle in lineage, and none among incidents.
        flow(PAYMENTS, FlowKind::Feeds, "job:airflow/reconcile"),
        flow("job:airflow/reconcile", FlowKind::Writes, ORDERS),
        deployment("payments-svc", "v2", before(3, 0)),
    ]
}

#[test]
fn an_upstream_breach_that_began_earlier_is_the_parent() {
    let (up, down) = (breach(ORDERS, before(1, 0), "orders-svc"), breach(PAYMENTS, first_failure(), "payments-svc"));
    let cut = vec![(flow("job:airflow/settle", FlowKind::Writes, PAYMENTS), -1)];
    let answers = answers(&[added(cascade()), cut]);
    let explanation = answers[0].explanation(&down);
    assert_eq!(subjects(&explanation.hypotheses), [ORDERS, "deployment:payments-svc:v2"]);
    let cause = &explanation.hypotheses[0];
    assert_eq!((cause.kind, cause.parent), (HypothesisKind::UpstreamDataset, Some(up.id)));
    assert_eq!(explanation.recommended_action, Some(format!("Resolve {} first", up.id)));
    let (job, to) = ("job:airflow/settle".into(), PAYMENTS.into());
    let path = [edge_id(&ORDERS.into(), EdgeLabel::Feeds, &job), edge_id(&job, EdgeLabel::Writes, &to)];
    assert_eq!(cause.claims[1].edge_ids, path);
    assert_eq!(answers[0].parents, [(down.id, up.id)]);
    let child = answers[0].incidents.iter().find(|incident| incident.id == down.id).unwrap();
    assert_eq!(child.parent_incident_id, Some(up.id));
    let caused = edge_id(&signal_vertex(&up.dataset, up.kind), EdgeLabel::Caused, &signal_vertex(&to, down.kind));
    assert!(answers[0].edges.iter().any(|edge| edge.id() == caused && edge.confidence == Some(cause.score.0)));
    // Without the way there is no parent, and the deployment is what is left.
    assert!(answers[1].parents.is_empty());
    assert_eq!(subjects(&answers[1].explanation(&down).hypotheses), ["deployment:payments-svc:v2"]);
}

#[test]
fn an_upstream_breach_that_was_over_or_is_only_observed_explains_nothing() {
    let down = breach(PAYMENTS, first_failure(), "payments-svc");
    let mut over = breach(ORDERS, before(1, 0), "orders-svc");
    over.resolved_at = Some(before(0, 30));
    let mut resolved = cascade();
    resolved[2] = Input::Breach(over);
    let mut observed = cascade();
    observed[0] = Input::Policy(DatasetPolicy { rollout: Rollout::Observe, ..policy(ORDERS, &["orders-svc"]) });
    for story in [resolved, observed] {
        let answers = answers(&[added(story)]);
        assert_eq!(answers[0].parents, []);
        assert_eq!(subjects(&answers[0].explanation(&down).hypotheses), ["deployment:payments-svc:v2"]);
    }
}

#[test]
fn of_a_chain_the_farthest_upstream_is_the_parent() {
    let root = breach("urn:dp:carts:closed", before(2, 0), "carts-svc");
    let mut story = cascade();
    story.extend([
        Input::Policy(policy("urn:dp:carts:closed", &["carts-svc"])),
        Input::Breach(root.clone()),
        flow("urn:dp:carts:closed", FlowKind::Feeds, "job:airflow/order"),
        flow("job:airflow/order", FlowKind::Writes, ORDERS),
    ]);
    let answers = answers(&[added(story)]);
    let explanation = answers[0].explanation(&breach(PAYMENTS, first_failure(), "payments-svc"));
    assert_eq!(subjects(&explanation.hypotheses)[..2], ["urn:dp:carts:closed", ORDERS]);
    assert!(answers[0].parents.iter().all(|(_, parent)| *parent == root.id));
    assert_eq!(answers[0].parents.len(), 2);
}

#[test]
fn the_run_that_failing_records_name_is_blamed() {
    let breach = sampled(orders_breach(), |_, sample| sample.dag_run_id = Some("manual__2023-10-27".into()));
    let mut load = run("r-1", "job:airflow/load", RunState::Complete, before(0, 10), &[ORDERS]);
    load.dag_run_id = Some("manual__2023-10-27".into());
    // A task of the same DAG run that has nothing to do with the dataset.
    let mut notify = run("r-2", "job:airflow/notify", RunState::Complete, before(0, 9), &[]);
    notify.dag_run_id = Some("manual__2023-10-27".into());
    let story = [
        Input::Policy(policy(ORDERS, &["orders-svc"])),
        Input::Breach(breach.clone()),
        Input::Run(notify),
        flow("job:airflow/load", FlowKind::Writes, ORDERS),
    ];
    let answers = answers(&[added(story), added([Input::Run(load)])]);
    assert_eq!(subjects(&answers[0].explanation(&breach).hypotheses), ["run:r-2"], "better than nothing");
    let explanation = answers[1].explanation(&breach);
    assert_eq!(subjects(&explanation.hypotheses), ["run:r-1"]);
    assert_eq!(
        (explanation.hypotheses[0].layer, explanation.hypotheses[0].score.band()),
        (Layer::BatchRun, Band::High)
    );
    assert!(!explanation.unknowns.iter().any(|unknown| unknown.contains("run")));
}

#[test]
fn of_runs_that_write_the_dataset_a_failed_one_outranks_the_last_that_wrote() {
    let story = [
        Input::Policy(policy(ORDERS, &[])),
        Input::Breach(orders_breach()),
        Input::Run(run("old", "job:airflow/load", RunState::Fail, before(3, 0), &[ORDERS])),
        Input::Run(run("new", "job:airflow/load", RunState::Complete, before(1, 0), &[ORDERS])),
        Input::Run(run("bad", "job:airflow/repair", RunState::Fail, before(0, 10), &[ORDERS])),
        Input::Run(run("later", "job:airflow/repair", RunState::Complete, first_failure().plus(5_000), &[ORDERS])),
    ];
    let answers = answers(&[added(story)]);
    let explanation = answers[0].explanation(&orders_breach());
    assert_eq!(subjects(&explanation.hypotheses), ["run:bad", "run:new"]);
    assert_eq!(explanation.recommended_action.as_deref(), Some("Fix job:airflow/repair and re-run it"));
    assert!(explanation.hypotheses[0].claims[0].text.ends_with("and failed: out of memory"));
    assert!(explanation.unknowns.contains(&"no producer owns urn:dp:orders:created in the catalog".to_owned()));
}

#[test]
fn a_contract_change_is_a_candidate_like_a_deployment() {
    let change = CatalogChange {
        dataset: ORDERS.into(),
        at: before(0, 2),
        now: "dc:orders.created:3".into(),
        before: Some("dc:orders.created:2".into()),
        kind: CatalogChangeKind::Contract,
    };
    let alone = answers(&[added(seed())]);
    let answers = answers(&[added(seed().into_iter().chain([Input::Change(change)]))]);
    let explanation = answers[0].explanation(&orders_breach());
    assert_eq!(subjects(&explanation.hypotheses), ["deployment:orders-svc:v3.17", "dc:orders.created:3"]);
    assert_eq!(explanation.hypotheses[1].kind, HypothesisKind::ContractChange);
    assert!(explanation.hypotheses[0].score < alone[0].explanation(&orders_breach()).hypotheses[0].score, "a rival");
}

#[test]
fn incidents_follow_breach_and_policy() {
    let mut recovering = orders_breach();
    recovering.recovering_since = Some(first_failure().plus(600_000));
    let mut resolved = recovering.clone();
    resolved.resolved_at = Some(first_failure().plus(900_000));
    let on = policy(ORDERS, &["orders-svc"]);
    let observe = DatasetPolicy { rollout: Rollout::Observe, ..on.clone() };
    let replace = |old: Input, new: Input| vec![(old, -1), (new, 1)];
    let answers = answers(&[
        added([Input::Policy(on.clone()), Input::Breach(orders_breach())]),
        replace(Input::Breach(orders_breach()), Input::Breach(recovering.clone())),
        replace(Input::Breach(recovering), Input::Breach(resolved.clone())),
        replace(Input::Policy(on), Input::Policy(observe)),
    ]);
    let open = &answers[0].incidents[0];
    assert_eq!((open.title.as_str(), open.severity), ("Contract Violation - orders:created", Severity::Sev1));
    assert_eq!((open.evidence_ids.len(), open.evidence_count), (20, 1_120));
    let status: Vec<_> =
        answers.iter().flat_map(|answers| &answers.incidents).map(|incident| incident.status).collect();
    assert_eq!(status, [IncidentStatus::Open, IncidentStatus::Mitigated, IncidentStatus::Resolved]);
    assert_eq!(answers[2].incidents[0].resolved_at, resolved.resolved_at);
    assert!(answers[3].incidents.is_empty() && answers[3].explanations.is_empty());
}

#[test]
fn the_graph_has_the_labels_and_properties_of_who_knows_most() {
    let dashboard = Asset {
        id: "dashboard:exec_orders".into(),
        kind: AssetKind::Dashboard,
        name: "Exec Orders Dashboard".into(),
        tier: Some(1),
        owner: None,
    };
    let mut story = seed();
    story.extend([
        Input::Producer(Producer { id: "orders-svc".into(), team: Some("orders-core".into()) }),
        Input::Asset(dashboard),
        flow(ORDERS, FlowKind::Feeds, "job:airflow/agg"),
        flow("job:airflow/agg", FlowKind::Writes, "delta:gold"),
        flow("delta:gold", FlowKind::ConsumedBy, "dashboard:exec_orders"),
        flow("delta:gold", FlowKind::ConsumedBy, "report:finance"),
    ]);
    let answers = answers(&[added(story)]);
    let labels: Vec<_> = answers[0].vertices.iter().map(|vertex| (vertex.id.as_str(), &*vertex.label)).collect();
    let incident = format!("incident:{}", orders_breach().id);
    let expected = [
        ("dashboard:exec_orders", "Dashboard"),
        ("delta:gold", "Table"),
        ("deployment:orders-svc:v3.17", "Deployment"),
        (incident.as_str(), "Incident"),
        ("job:airflow/agg", "Job"),
        ("producer:orders-svc", "Producer"),
        ("report:finance", "Report"),
        ("signal:urn:dp:orders:created:contract_compliance", "Signal"),
        ("signature:urn:dp:orders:created:MISSING_FIELD:customer_id", "FailureSignature"),
        (ORDERS, "Dataset"),
    ];
    assert_eq!(labels, expected);
    let producer = answers[0].vertices.iter().find(|vertex| &*vertex.label == "Producer").unwrap();
    assert!(producer.properties.contains(&("team".into(), "orders-core".into())));
    let chain: Vec<_> = answers[0].edges.iter().map(|edge| edge.id().to_string()).collect();
    let signature = "signature:urn:dp:orders:created:MISSING_FIELD:customer_id";
    let signal = "signal:urn:dp:orders:created:contract_compliance";
    for edge in [
        format!("deployment:orders-svc:v3.17-[INTRODUCED]->{signature}"),
        format!("{signature}-[CAUSED]->{signal}"),
        format!("{signal}-[TRIGGERED]->{incident}"),
        format!("producer:orders-svc-[OWNS]->{ORDERS}"),
        format!("{ORDERS}-[FEEDS]->job:airflow/agg"),
        "job:airflow/agg-[WRITES]->delta:gold".to_owned(),
        "delta:gold-[CONSUMED_BY]->dashboard:exec_orders".to_owned(),
    ] {
        assert!(chain.contains(&edge), "{edge} not in {chain:#?}");
    }
}
