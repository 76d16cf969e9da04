//! Time as the core sees it: it arrives as `Now`, and a timer is a deadline that is compared with it. `Time` is
//! monotonic and private to one boot of one node; `Wall` is the calendar; `Hlc` orders writes across nodes.

/// Monotonic microseconds since an origin that only this boot knows. Never sent to another node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Time(pub u64);

impl Time {
    /// Later than every deadline.
    pub const NEVER: Self = Self(u64::MAX);

    /// This time plus `ms` milliseconds.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms.saturating_mul(1_000)))
    }

    /// Whole milliseconds from `self` until `later`; 0 if it has passed.
    #[must_use]
    pub fn ms_until(self, later: Self) -> u64 {
        later.0.saturating_sub(self.0) / 1_000
    }
}

/// Milliseconds since the Unix epoch, as this node's clock says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Wall(pub u64);

/// Both clocks, read together once a turn by the shell or the simulator.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// For deadlines.
    pub time: Time,
    /// For expiry and stamps.
    pub wall: Wall,
}

/// A hybrid logical clock reading: 48 bits of milliseconds since the Unix epoch, 16 bits of counter (Kulkarni et al.,
/// "Logical Physical Clocks").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Hlc(pub u64);

impl Hlc {
    /// Before every write.
    pub const ZERO: Self = Self(0);

    /// The first reading of a millisecond.
    #[must_use]
    pub const fn at(wall: Wall) -> Self {
        Self(wall.0 << 16)
    }

    /// The calendar part.
    #[must_use]
    pub fn wall(self) -> Wall {
        Wall(self.0 >> 16)
    }

    /// The next reading.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// This node's hybrid logical clock.
#[derive(Clone, Debug, Default)]
pub struct HlcClock {
    last: Hlc,
}

impl HlcClock {
    /// A clock that never goes below `last`.
    #[must_use]
    pub fn resume(last: Hlc) -> Self {
        Self { last }
    }

    /// The highest reading given out or observed.
    #[must_use]
    pub fn last(&self) -> Hlc {
        self.last
    }

    /// A reading above the wall clock, every earlier reading and `floor`.
    pub fn mint(&mut self, wall: Wall, floor: Hlc) -> Hlc {
        self.last = Hlc::at(wall).max(self.last.next()).max(floor.next());
        self.last
    }

    /// Takes note of another node's reading. One that is more than `ahead_ms_max` ahead of our wall clock does not move
    /// this clock (RULINGS 6): one broken clock must not drag the others into the future.
    pub fn observe(&mut self, wall: Wall, seen: Hlc, ahead_ms_max: u64) {
        if seen.wall().0 <= wall.0.saturating_add(ahead_ms_max) {
            self.last = self.last.max(seen);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minted_reading_is_above_the_wall_the_last_one_and_the_floor() {
        let mut clock = HlcClock::default();
        let first = clock.mint(Wall(5), Hlc::ZERO);
        assert_eq!(first, Hlc::at(Wall(5)));
        assert!(clock.mint(Wall(5), Hlc::ZERO) > first);
        let floor = Hlc::at(Wall(900));
        assert!(clock.mint(Wall(5), floor) > floor);
        assert!(clock.mint(Wall(6), Hlc::ZERO) > floor, "the clock never goes back");
    }

    #[test]
    fn a_reading_from_a_far_future_does_not_move_the_clock() {
        let mut clock = HlcClock::default();
        clock.observe(Wall(1_000), Hlc::at(Wall(100_000)), 60_000);
        assert_eq!(clock.last(), Hlc::ZERO);
        clock.observe(Wall(1_000), Hlc::at(Wall(61_000)), 60_000);
        assert_eq!(clock.last(), Hlc::at(Wall(61_000)));
    }
}
