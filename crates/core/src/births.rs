//! A set of births of one life: numbers drawn one after the other, so that those which are in it lie together as a rule.

use std::collections::BTreeMap;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Births {
    /// First and last of each range; ranges neither meet nor touch.
    ranges: BTreeMap<u64, u64>,
}

impl Births {
    /// Adds one.
    pub fn insert(&mut self, birth: u64) {
        if self.contains(birth) {
            return;
        }
        let (mut first, mut last) = (birth, birth);
        if let Some(&end) = birth.checked_add(1).and_then(|next| self.ranges.get(&next)) {
            self.ranges.remove(&(birth + 1));
            last = end;
        }
        let before = self.ranges.range(..birth).next_back();
        if let Some((&start, _)) = before.filter(|range| range.1 + 1 == birth) {
            first = start;
        }
        self.ranges.insert(first, last);
    }

    /// True if it is in the set.
    #[must_use]
    pub fn contains(&self, birth: u64) -> bool {
        let below = self.ranges.range(..=birth).next_back();
        below.is_some_and(|range| *range.1 >= birth)
    }

    /// How many ranges it takes to write the set down.
    #[must_use]
    pub fn ranges(&self) -> usize {
        self.ranges.len()
    }

    /// True if nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_what_a_set_would_hold_in_as_few_ranges(births in prop::collection::vec(0_u64..40, 0..60)) {
            let (mut births_set, mut model) = (Births::default(), BTreeSet::new());
            for birth in births {
                births_set.insert(birth);
                model.insert(birth);
            }
            for birth in 0..42 {
                prop_assert_eq!(births_set.contains(birth), model.contains(&birth));
            }
            let starts = model.iter().filter(|birth| **birth == 0 || !model.contains(&(**birth - 1)));
            prop_assert_eq!(births_set.ranges(), starts.count());
        }
    }
}
