//! Faults that tests ask for over HTTP: between this node and its peers, and at its disk.

use std::time::Duration;

use torc_core::admission::AdmissionLimits;
use torc_core::id::NodeId;
use torc_core::reaping::AGE_MS as REAP_AGE_MS;
use torc_frontends::http::{FaultSet, FsyncFault, Problem};
use torc_store::FsyncFault as StoreFault;

use super::Shell;
use super::links::LinkFaults;

/// Replaces the whole set.
///
/// # Errors
/// Names that are no peers; the old set stays in force.
pub fn set(shell: &Shell, faults: FaultSet) -> Result<(), Problem> {
    let is_peer = |name: &str| {
        let node = NodeId::of_name(name);
        node != shell.common.id && shell.common.ring.member(node).is_some()
    };
    faults.check_names(is_peer)?;
    let [least, most] = faults.delay_ms;
    let links = LinkFaults {
        cut: faults.cut.iter().map(|name| NodeId::of_name(name)).collect(),
        one_way: faults.one_way,
        drop: faults.drop,
        delay_ms: (most > 0).then_some((u64::from(least), u64::from(most))),
    };
    let mut engine = shell.engine.borrow_mut();
    let usual = shell.common.config.admission();
    engine.set_admission(AdmissionLimits {
        running_max: faults.running_max.map_or(usual.running_max, |most| most as usize),
        ..usual
    });
    engine.set_reap_age_ms(faults.reap_age_ms.map_or(REAP_AGE_MS, u64::from));
    engine.links.set_faults(links);
    let disk = engine.store().faults();
    disk.set_fsync(match faults.fsync {
        FsyncFault::Ok => StoreFault::Ok,
        FsyncFault::Fail => StoreFault::Fail,
        FsyncFault::Lie => StoreFault::Lie,
        FsyncFault::Slow => StoreFault::Slow(Duration::from_millis(u64::from(faults.fsync_ms.unwrap_or(0)))),
    });
    disk.set_free_bytes(faults.free_bytes);
    drop(engine);
    tracing::warn!(?faults, "faults in force");
    *shell.faults.borrow_mut() = faults;
    Ok(())
}
