//! The order of ids as integers, so that an answer is sorted without looking at the ids' bytes.
//!
//! Every id has a label, and labels sort as ids do. A newcomer gets a label between those of its neighbours. Where none is
//! left, the smallest range of labels around it that is thinly enough populated is spread out evenly, which costs
//! O(log n) labels a newcomer on average, whatever the order of arrival (Bender, Cole, Demaine, Farach-Colton and Zito,
//! "Two simplified algorithms for maintaining order in a list", 2002).

use std::collections::BTreeMap;

use faultline_contracts::ids::EntityId;

use super::Slot;

/// The distance of a label from its neighbour at either end of the order, where there is that much.
const GAP: u64 = 1 << 30;

/// By how much a range of labels may be fuller than the one of twice its width around it. With less than 2^32 ids the
/// range of all labels, 1.4^64 times thinner than the narrowest, is never full.
const DENSITY: f64 = 1.3;

/// Ids in order. Their labels are kept by slot, where a search needs them.
#[derive(Debug, Default)]
pub(super) struct Order {
    slots: BTreeMap<EntityId, Slot>,
    labels: Vec<u64>,
}

impl Order {
    /// A number that compares with those of other slots as their ids do. Holds until the next newcomer.
    pub(super) fn label(&self, slot: Slot) -> u64 {
        self.labels[slot as usize]
    }

    /// Puts an id that is not there in its place.
    pub(super) fn insert(&mut self, id: &EntityId, slot: Slot) {
        if self.labels.len() <= slot as usize {
            self.labels.resize(slot as usize + 1, 0);
        }
        let label = self.between(id).unwrap_or_else(|| {
            self.spread(id);
            // A range that was spread out has a label between any two.
            self.between(id).unwrap_or_default()
        });
        self.labels[slot as usize] = label;
        self.slots.insert(id.clone(), slot);
    }

    /// Takes an id out.
    pub(super) fn remove(&mut self, id: &EntityId) {
        self.slots.remove(id);
    }

    /// A label between those of an id's neighbours, where there is one.
    fn between(&self, id: &EntityId) -> Option<u64> {
        let label = |(_, slot): (&EntityId, &Slot)| self.label(*slot);
        let before = self.slots.range::<EntityId, _>(..id).next_back().map(label);
        let after = self.slots.range::<EntityId, _>(id..).next().map(label);
        match (before, after) {
            (None, None) => Some(1 << 63),
            (Some(before), None) => (before < u64::MAX).then(|| before + GAP.min((u64::MAX - before).div_ceil(2))),
            (None, Some(after)) => (after > 0).then(|| after - GAP.min(after.div_ceil(2))),
            (Some(before), Some(after)) => (after - before > 1).then(|| before + (after - before) / 2),
        }
    }

    /// Makes room next to the place of `id`.
    fn spread(&mut self, id: &EntityId) {
        let mut before = self.slots.range::<EntityId, _>(..id).rev().map(|(_, &slot)| slot).peekable();
        let mut after = self.slots.range::<EntityId, _>(id..).map(|(_, &slot)| slot).peekable();
        let Some(centre) = before.peek().or(after.peek()).map(|&slot| self.labels[slot as usize]) else { return };
        let (mut smaller, mut greater) = (Vec::new(), Vec::new());
        // Ranges of 2^4 labels, 2^5 and so on; the last one holds all labels.
        for bits in 4..=64 {
            let last_of_first = u64::MAX >> (64 - bits);
            let (low, high) = (centre & !last_of_first, centre | last_of_first);
            smaller.extend(std::iter::from_fn(|| before.next_if(|&slot| self.labels[slot as usize] >= low)));
            greater.extend(std::iter::from_fn(|| after.next_if(|&slot| self.labels[slot as usize] <= high)));
            let present = smaller.len() + greater.len();
            if bits < 64 && present as f64 >= (2.0 / DENSITY).powi(bits) {
                continue;
            }
            // At most a third of the range is populated: steps are of 2 and more, and there is room at its ends.
            let step = last_of_first / (present as u64 + 1);
            let mut label = low;
            for slot in smaller.into_iter().rev().chain(greater) {
                label += step;
                self.labels[slot as usize] = label;
            }
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Inserts names as they come, each under the next slot.
    fn order(names: impl IntoIterator<Item = String>) -> Order {
        let mut order = Order::default();
        for (slot, name) in (0..).zip(names) {
            order.insert(&name.into(), slot);
        }
        order
    }

    fn holds(order: &Order) -> bool {
        let labels: Vec<u64> = order.slots.values().map(|&slot| order.label(slot)).collect();
        labels.is_sorted_by(|one, next| one < next)
    }

    #[test]
    fn arrivals_that_always_meet_in_one_place() {
        let ascending = (0..20_000).map(|n| format!("m{n:05}"));
        let descending = (0..20_000).rev().map(|n| format!("n{n:05}"));
        let ends = ["a".to_owned(), "z".to_owned()];
        assert!(holds(&order(ends.into_iter().chain(ascending).chain(descending))));
    }

    #[test]
    fn the_ends_of_all_labels_are_reached() {
        for end in [0, u64::MAX] {
            let mut order = order(["k".to_owned(), "l".to_owned(), "m".to_owned()]);
            let last = if end == 0 { 0 } else { 2 };
            order.labels[last] = end;
            order.insert(&"a".into(), 3);
            order.insert(&"z".into(), 4);
            assert!(holds(&order), "{end}");
        }
    }

    proptest! {
        #[test]
        fn labels_sort_as_ids_do(names in prop::collection::btree_set("[a-c]{0,8}", 0..300), gone in 1..5_usize) {
            let mut order = order(names.iter().rev().cloned());
            prop_assert!(holds(&order));
            let gone: Vec<&String> = names.iter().step_by(gone).collect();
            gone.iter().for_each(|name| order.remove(&name.as_str().into()));
            for (slot, name) in (1_000..).zip(gone) {
                order.insert(&name.as_str().into(), slot);
            }
            prop_assert!(holds(&order));
        }
    }
}
