//! Moments as people and programs read them: RFC 3339 in UTC with milliseconds and `Z` (RULINGS 33).

use std::fmt::Write as _;

use torc_core::time::Wall;

/// The last millisecond of the year 9999, beyond which RFC 3339 has no form.
const LAST_MS: u64 = 253_402_300_799_999;

/// Appends `2026-11-23T16:00:00.000Z`. A moment after the year 9999 is written as its last millisecond.
pub(crate) fn push_rfc3339(at: Wall, out: &mut String) {
    let ms = at.0.min(LAST_MS);
    let date = time::OffsetDateTime::from_unix_timestamp((ms / 1_000) as i64).expect("within the years 1970 to 9999");
    write!(
        out,
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        date.hour(),
        date.minute(),
        date.second(),
        ms % 1_000
    )
    .expect("a string takes all");
}

/// The same as a string of its own.
#[must_use]
pub fn rfc3339(at: Wall) -> String {
    let mut out = String::with_capacity(24);
    push_rfc3339(at, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_milliseconds_and_z() {
        assert_eq!(rfc3339(Wall(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(Wall(951_782_400_007)), "2000-02-29T00:00:00.007Z");
        assert_eq!(rfc3339(Wall(u64::MAX)), "9999-12-31T23:59:59.999Z");
    }
}
