//! Policies that changed between a cut and the run that goes on from there.

use proptest::prelude::*;

use crate::{
    dataflow::run,
    input::{Scenario, Tick},
    leg::Output,
    random::{changed_policy, epochs, place, scenarios},
    undisturbed::Undisturbed,
};

/// The scenario in which these policies come at an epoch, whatever else does.
fn with_policies(scenario: &Scenario, epoch: u64, tick: Tick) -> Scenario {
    let mut ticks = scenario.ticks.clone();
    match ticks.binary_search_by_key(&epoch, |tick| tick.epoch) {
        Ok(place) => ticks[place].policies.extend(tick.policies),
        Err(place) => ticks.insert(place, tick),
    }
    Scenario { ticks }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// They count from the epoch of the restored state on, and after all that this epoch brought. So the undisturbed
    /// run is one in which they change at the cut, where that is an epoch at which no window and no other policy changes:
    /// where one does, an undisturbed run judges what comes by the new policy at once, and has never judged it by the old.
    #[test]
    fn policies_that_changed_meanwhile_count_from_the_cut_on(
        scenario in scenarios(),
        place in place(),
        changed in prop::collection::vec(changed_policy(), 1..4),
    ) {
        let before = Undisturbed::of(&scenario);
        let calm = |epoch: &u64| {
            let windows = before.ran.at(*epoch).keys().any(|output| matches!(output, Output::Window(_)));
            let policies = scenario.ticks.iter().any(|tick| tick.epoch == *epoch && !tick.policies.is_empty());
            !windows && !policies
        };
        let Some(epoch) = (epochs(&[place], &before)[0]..=scenario.last_epoch()).find(calm) else { return Ok(()) };
        let changed = changed.into_iter().flatten().collect();
        let changed = with_policies(&scenario, epoch, Tick { epoch, policies: changed, ..Tick::default() });

        let cut = run(&before.leg(2, None, epoch, [epoch]));
        let after = Undisturbed::of(&changed);
        let restored = after.restored(epoch, &cut.cuts[&epoch]);
        after.agrees(&run(&after.leg(3, Some(restored), u64::MAX, [])), Some(epoch), u64::MAX);
    }
}
