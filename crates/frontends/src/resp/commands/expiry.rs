//! When a key is to expire, as commands say it: EX PX EXAT PXAT, EXPIRE and its kin.

use torc_core::time::Wall;

use crate::resp::call::Call;
use crate::resp::refused::Refused;

/// The unit of a number that names a time, and from when it counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimeForm {
    /// Milliseconds, not seconds.
    pub in_ms: bool,
    /// Since 1970, not from now.
    pub is_absolute: bool,
}

/// EX, EXPIRE.
pub const IN_SECONDS: TimeForm = TimeForm {
    in_ms: false,
    is_absolute: false,
};
/// PX, PEXPIRE.
pub const IN_MS: TimeForm = TimeForm {
    in_ms: true,
    is_absolute: false,
};
/// EXAT, EXPIREAT.
pub const AT_SECONDS: TimeForm = TimeForm {
    in_ms: false,
    is_absolute: true,
};
/// PXAT, PEXPIREAT.
pub const AT_MS: TimeForm = TimeForm {
    in_ms: true,
    is_absolute: true,
};

/// The form that an option of SET or GETEX names.
pub fn form_of(option: &[u8]) -> Option<TimeForm> {
    let forms: [(&[u8], TimeForm); 4] = [
        (b"ex", IN_SECONDS),
        (b"px", IN_MS),
        (b"exat", AT_SECONDS),
        (b"pxat", AT_MS),
    ];
    let found = forms.iter().find(|form| option.eq_ignore_ascii_case(form.0));
    found.map(|form| form.1)
}

/// The moment that word `index` names. One before 1970 is 1970.
///
/// # Errors
/// Redis's words, if it is no number or no time.
pub fn moment(call: &Call<'_>, index: usize, form: TimeForm) -> Result<Wall, Refused> {
    let invalid = || Refused::expiry(call.spec.name);
    let mut ms = call.args.integer(index)?;
    if !form.in_ms {
        ms = ms.checked_mul(1_000).ok_or_else(invalid)?;
    }
    if !form.is_absolute {
        let now = i64::try_from(call.host.now().0).unwrap_or(i64::MAX);
        ms = ms.checked_add(now).ok_or_else(invalid)?;
    }
    Ok(Wall(u64::try_from(ms).unwrap_or(0)))
}

/// As `moment`, for commands that take no time of zero or less.
///
/// # Errors
/// Redis's words.
pub fn later(call: &Call<'_>, index: usize, form: TimeForm) -> Result<Wall, Refused> {
    if call.args.integer(index)? <= 0 {
        return Err(Refused::expiry(call.spec.name));
    }
    moment(call, index, form)
}
