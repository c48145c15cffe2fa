//! Chance that is the same every time.

/// Numbers that look like chance.
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Of 0 to one less than this; 0 where there is nothing to choose from.
    pub(super) fn below(&mut self, count: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let chosen = mixed.checked_rem(count).unwrap_or_default();
        usize::try_from(chosen).unwrap_or_default()
    }

    /// One of them, if there is any.
    pub(super) fn of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let at = self.below(all.len());
        all.get(at)
    }

    /// So many of them at most, in their order.
    pub(super) fn some(&mut self, all: &[&str], most: usize) -> Vec<String> {
        let wanted = 1 + self.below(most);
        let mut left = all.to_vec();
        while left.len() > wanted {
            let at = self.below(left.len());
            left.remove(at);
        }
        left.into_iter().map(str::to_owned).collect()
    }
}
