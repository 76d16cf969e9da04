//! `/v1/admin/hints`, `/v1/admin/anti_entropy`, `/v1/admin/scrub`, `/v1/admin/reaping`: how this node's background work goes. A request changes
//! what it names and leaves the rest; the settings live as long as the process.

use serde::{Deserialize, Serialize};
use torc_core::background::{Pace, PaceChange};

use crate::http::problem::Problem;

/// What an operator asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PaceBody {
    paused: Option<bool>,
    bytes_per_second: Option<u64>,
    run_now: bool,
}

/// Reads and checks a body.
///
/// # Errors
/// 400 naming what is unknown or out of bounds.
pub fn parse_pace(body: &[u8]) -> Result<PaceChange, Problem> {
    let body: PaceBody = serde_json::from_slice(body).map_err(|error| {
        let error: String = error.to_string().chars().take(300).collect();
        Problem::bad_request(format!("the body says nothing of a pace: {error}"))
    })?;
    if body.bytes_per_second == Some(0) {
        return Err(Problem::bad_request(
            "'bytes_per_second' can be 1 or more; to stop the work, set \"paused\":true",
        ));
    }
    Ok(PaceChange {
        paused: body.paused,
        bytes_per_second: body.bytes_per_second,
        run_now: body.run_now,
    })
}

/// The settings in force, and whether a run is going.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct PaceView {
    /// Nothing new is begun.
    pub paused: bool,
    /// Most bytes a second.
    pub bytes_per_second: u64,
    /// A run that an operator asked for is not over.
    pub run_going: bool,
}

impl PaceView {
    /// Of one kind of work.
    #[must_use]
    pub fn of(pace: &Pace, run_going: bool) -> Self {
        Self {
            paused: pace.paused,
            bytes_per_second: pace.bytes_per_second,
            run_going,
        }
    }
}
