use faultline_contracts::{
    deployment::{Deployment, DeploymentKind},
    time::UnixMillis,
};
use faultline_operators::deployments::{DeploymentHistory, DeploymentInForce, deployments};
use faultline_operators::state::StatePorts;
use proptest::prelude::*;

use crate::dataflow::{Round, rows, states};

fn event(at: i64, version: &str, kind: DeploymentKind, event: &str) -> Deployment {
    let (service, environment) = ("orders-svc".into(), None);
    Deployment { service, at: UnixMillis(at), version: version.into(), kind, environment, event: event.into() }
}

fn deployed(at: i64, version: &str) -> Deployment {
    event(at, version, DeploymentKind::Deployed, &format!("ci/{at}"))
}

fn views(workers: usize, rounds: Vec<Vec<Deployment>>, limits: DeploymentHistory) -> Vec<Vec<DeploymentInForce>> {
    let rounds: Vec<Round<Deployment>> =
        rounds.into_iter().map(|round| round.into_iter().map(|event| (event, 1)).collect()).collect();
    states(workers, &rounds, move |events| {
        let state = StatePorts::closed(events.inner.scope());
        deployments(rows(events), limits, &state).in_force
    })
}

/// Version and previous version, in the order of time.
fn versions(view: &[DeploymentInForce]) -> Vec<(&str, Option<&str>)> {
    view.iter().map(|entry| (&*entry.deployment.version, entry.previous.as_deref())).collect()
}

#[test]
fn a_late_event_corrects_its_successor() {
    let rounds = vec![vec![deployed(10, "v1"), deployed(30, "v3")], vec![deployed(20, "v2")]];
    let views = views(2, rounds, DeploymentHistory::default());
    assert_eq!(versions(&views[0]), [("v1", None), ("v3", Some("v1"))]);
    assert_eq!(versions(&views[1]), [("v1", None), ("v2", Some("v1")), ("v3", Some("v2"))]);
}

#[test]
fn one_deployment_reported_twice_is_one() {
    let again = Deployment { environment: Some("eu".into()), event: "other/1".into(), ..deployed(20, "v2") };
    let moved = Deployment { at: UnixMillis(21), ..deployed(20, "v2") };
    let rounds = vec![vec![deployed(10, "v1"), deployed(20, "v2")], vec![deployed(20, "v2"), again, moved]];
    let views = views(2, rounds, DeploymentHistory::default());
    assert_eq!(views[0], views[1]);
}

#[test]
fn previous_is_another_version_and_not_older_than_a_removal() {
    let rounds = vec![vec![
        deployed(10, "v1"),
        deployed(20, "v2"),
        deployed(30, "v2"),
        event(40, "v1", DeploymentKind::RolledBack, "ci/40"),
        event(50, "", DeploymentKind::Removed, "ci/50"),
        deployed(60, "v3"),
    ]];
    let views = views(1, rounds, DeploymentHistory::default());
    let expected =
        [("v1", None), ("v2", Some("v1")), ("v2", Some("v1")), ("v1", Some("v2")), ("", Some("v1")), ("v3", None)];
    assert_eq!(versions(&views[0]), expected);
}

#[test]
fn history_ends_one_event_before_the_horizon() {
    let limits = DeploymentHistory { retention_ms: 100, per_service: 1_000 };
    let rounds = vec![vec![deployed(0, "v1"), deployed(10, "v2"), deployed(90, "v3")], vec![deployed(120, "v4")]];
    let views = views(2, rounds, limits);
    assert_eq!(versions(&views[1]).iter().map(|(version, _)| *version).collect::<Vec<_>>(), ["v2", "v3", "v4"]);
}

#[test]
fn too_many_events_of_one_service_are_counted() {
    let limits = DeploymentHistory { retention_ms: i64::MAX, per_service: 2 };
    let events: Vec<_> = (0..5).map(|n| (deployed(n, &format!("v{n}")), 1)).collect();
    let counts = states(2, &[events], move |events| {
        use differential_dataflow::AsCollection;
        use timely::dataflow::operators::vec::Map;
        let state = StatePorts::closed(events.inner.scope());
        deployments(rows(events), limits, &state).dropped.map(|count| (count, 0, 1)).as_collection()
    });
    assert_eq!(counts, [[("orders-svc".into(), 3)]]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    /// Whatever the order and the batches in which events come, what comes out in the end is the same.
    #[test]
    fn order_of_arrival_does_not_matter(
        events in prop::collection::vec((0_i64..50, 0_u8..4, 0_u8..3, 0_u8..20), 1..25)
            .prop_map(|events| events.into_iter().map(|(at, version, kind, id)| {
                let kinds = [DeploymentKind::Deployed, DeploymentKind::RolledBack, DeploymentKind::Removed];
                event(at, &format!("v{version}"), kinds[usize::from(kind)], &format!("ci/{id}"))
            }).collect::<Vec<_>>()),
        order in any::<prop::sample::Index>(),
    ) {
        let limits = DeploymentHistory { retention_ms: 30, per_service: 8 };
        let at_once = views(1, vec![events.clone()], limits);
        let mut turned = events;
        turned.reverse();
        let turn = order.index(turned.len());
        turned.rotate_left(turn);
        let one_by_one = views(2, turned.chunks(2).map(<[_]>::to_vec).collect(), limits);
        prop_assert_eq!(at_once.last(), one_by_one.last());
    }
}
