//! `POST /v1/faults`: the faults that a node shall pretend (RULINGS 39). Each request replaces the whole set; `{}` heals.

use serde::{Deserialize, Serialize};

use crate::http::problem::Problem;

/// Longest delay and longest pretended sync, in milliseconds.
const FAULT_MS_MAX: u32 = 60_000;
/// A slow sync that does not say how slow.
const SLOW_FSYNC_MS_DEFAULT: u32 = 1_000;
/// Most peers that can be named.
const CUT_MAX: usize = 1_024;

/// What syncs pretend.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FsyncFault {
    /// Nothing.
    #[default]
    Ok,
    /// To have failed.
    Fail,
    /// To have happened.
    Lie,
    /// To take long.
    Slow,
}

/// The faults in force.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FaultSet {
    /// Names of the peers whose messages are dropped while the connection stays up.
    pub cut: Vec<String>,
    /// Only what this node sends is dropped.
    pub one_way: bool,
    /// The share of messages between nodes that is lost, 0 to 1.
    pub drop: f64,
    /// Every message between nodes is delayed by a time between these, in milliseconds.
    pub delay_ms: [u32; 2],
    /// What syncs pretend.
    pub fsync: FsyncFault,
    /// How long a slow sync takes, in milliseconds; with `fsync: slow` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fsync_ms: Option<u32>,
    /// Pretended free space.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
    /// Client requests that run at a time, in place of what the configuration says: capacity made small.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running_max: Option<u32>,
    /// How long all homes must have held a dead record before it is forgotten, in milliseconds. Less than usual is unsafe: an
    /// old message that is still under way may bring deleted data back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reap_age_ms: Option<u32>,
}

impl FaultSet {
    /// Reads and checks a body.
    ///
    /// # Errors
    /// 400 naming what is unknown or out of bounds.
    pub fn parse(body: &[u8]) -> Result<Self, Problem> {
        let mut set: Self = serde_json::from_slice(body).map_err(|error| {
            let error: String = error.to_string().chars().take(300).collect();
            Problem::bad_request(format!("the body is no set of faults: {error}"))
        })?;
        if set.fsync == FsyncFault::Slow {
            set.fsync_ms.get_or_insert(SLOW_FSYNC_MS_DEFAULT);
        }
        set.check()?;
        Ok(set)
    }

    /// Refuses names that are no peers of this node.
    ///
    /// # Errors
    /// 400 naming the first.
    pub fn check_names(&self, is_peer: impl Fn(&str) -> bool) -> Result<(), Problem> {
        match self.cut.iter().find(|name| !is_peer(name)) {
            Some(name) => {
                let name: String = name.chars().take(64).collect();
                let text = format!("'cut' names '{name}', which is no other node of this cluster");
                Err(Problem::bad_request(text))
            }
            None => Ok(()),
        }
    }

    /// True if there is nothing to pretend.
    #[must_use]
    pub fn is_healed(&self) -> bool {
        *self == Self::default()
    }

    fn check(&self) -> Result<(), Problem> {
        let [least, most] = self.delay_ms;
        let problem = if self.cut.len() > CUT_MAX {
            format!("'cut' can name {CUT_MAX} peers")
        } else if self.one_way && self.cut.is_empty() {
            "'one_way' says how 'cut' is meant, and 'cut' is empty".to_owned()
        } else if !(0.0..=1.0).contains(&self.drop) {
            format!("'drop' is {}; it can be 0 to 1", self.drop)
        } else if least > most || most > FAULT_MS_MAX {
            format!("'delay_ms' is [{least},{most}]; it can be [least,most] with 0 ≤ least ≤ most ≤ {FAULT_MS_MAX}")
        } else if self.fsync_ms.is_some() && self.fsync != FsyncFault::Slow {
            "'fsync_ms' says how slow \"fsync\":\"slow\" is; it means nothing with another".to_owned()
        } else if self.fsync_ms.is_some_and(|ms| ms > FAULT_MS_MAX) {
            format!("'fsync_ms' can be 0 to {FAULT_MS_MAX}")
        } else if self.running_max == Some(0) {
            "'running_max' is 0; it can be 1 or more".to_owned()
        } else {
            return Ok(());
        };
        Err(Problem::bad_request(problem))
    }
}
