use std::collections::BTreeSet;

use differential_dataflow::VecCollection;
use faultline_contracts::{
    deployment::{Deployment, DeploymentKind},
    ids::IncidentId,
    time::UnixMillis,
};
use faultline_operators::{
    correlation::{DeploymentCandidate, LookBack, Onset, latest_changes},
    deployments::DeploymentInForce,
};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use crate::dataflow::{Round, states};

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Input {
    Deployed(DeploymentInForce),
    Began(Onset),
}

const LOOK_BACK: LookBack = LookBack { look_back_ms: 100, skew_ms: 5 };

fn correlated<'s>(input: VecCollection<'s, u64, Input>) -> VecCollection<'s, u64, (IncidentId, DeploymentCandidate)> {
    let deployments = input.clone().flat_map(|input| match input {
        Input::Deployed(deployment) => Some(deployment),
        Input::Began(_) => None,
    });
    let onsets = input.flat_map(|input| match input {
        Input::Began(onset) => Some(onset),
        Input::Deployed(_) => None,
    });
    latest_changes(onsets, deployments, LOOK_BACK)
}

/// Every onset against every deployment.
fn oracle(inputs: &BTreeSet<Input>) -> Vec<(IncidentId, DeploymentCandidate)> {
    let mut found = Vec::new();
    for onset in inputs {
        let Input::Began(onset) = onset else { continue };
        let mut near: Vec<&DeploymentInForce> = inputs
            .iter()
            .filter_map(|input| match input {
                Input::Deployed(known) if known.deployment.service == onset.service => Some(known),
                _ => None,
            })
            .filter(|known| (-5..=100).contains(&(onset.first_failure.0 - known.deployment.at.0)))
            .collect();
        near.sort_by(|a, b| b.cmp(a));
        for (rank, known) in near.iter().enumerate().take(3) {
            let competing = near.iter().filter(|other| other.deployment.version != known.deployment.version).count();
            found.push((
                onset.incident,
                DeploymentCandidate {
                    deployment: known.deployment.clone(),
                    previous: known.previous.clone(),
                    rank: rank as u8,
                    competing: competing as u32,
                },
            ));
        }
    }
    found.sort();
    found
}

fn input() -> impl Strategy<Value = Input> {
    let service = prop_oneof![Just("orders-svc"), Just("billing-svc")];
    let deployed = (service.clone(), -250_i64..400, 0..3_u8).prop_map(|(service, at, version)| {
        let deployment = Deployment {
            service: service.into(),
            at: UnixMillis(at),
            version: format!("v{version}").into(),
            kind: DeploymentKind::Deployed,
            environment: None,
            event: format!("{service}/{at}/{version}").into(),
        };
        Input::Deployed(DeploymentInForce { deployment, previous: (version > 0).then(|| "v0".into()) })
    });
    let began = (service, -250_i64..400, 0..6_u64).prop_map(|(service, at, id)| {
        Input::Began(Onset { incident: IncidentId(id), service: service.into(), first_failure: UnixMillis(at) })
    });
    prop_oneof![3 => deployed, 1 => began]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Inserts what is absent and deletes what is present, in any order of event time, and compares after every round.
    #[test]
    fn agrees_with_every_onset_against_every_deployment(
        toggles in prop::collection::vec(prop::collection::vec((input(), any::<prop::sample::Index>()), 0..25), 1..6),
    ) {
        let mut present: BTreeSet<Input> = BTreeSet::new();
        let (mut rounds, mut expected): (Vec<Round<Input>>, Vec<_>) = (Vec::new(), Vec::new());
        for (n, round) in toggles.into_iter().enumerate() {
            let mut changes = Vec::new();
            for (input, pick) in round {
                // From the second round on, every third change takes back what is there.
                let old = present.iter().nth(pick.index(present.len().max(1))).cloned();
                let input = old.filter(|_| n > 0 && changes.len() % 3 == 0).unwrap_or(input);
                let change = if present.remove(&input) { -1 } else { present.insert(input.clone()); 1 };
                changes.push((input, change));
            }
            rounds.push(changes);
            let mut candidates = oracle(&present);
            candidates.dedup();
            expected.push(candidates);
        }
        for workers in [1, 2] {
            // Two onsets of one incident in one service may find the same candidate: the set of them is compared.
            let got = states(workers, &rounds, |input| correlated(input).distinct());
            prop_assert_eq!(&got, &expected, "{} workers", workers);
        }
    }
}
