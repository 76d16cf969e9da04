//! What the process knows of itself.

use std::collections::BTreeMap;

/// Resident memory in bytes; 0 if the system does not say.
pub fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}

/// CPU time of all threads so far, in seconds.
pub fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// CPU time of each thread that runs now, in seconds; threads of one name together. Empty if the system does not say.
pub fn thread_cpu_seconds() -> BTreeMap<String, f64> {
    let mut seconds = BTreeMap::new();
    let ticks_per_second = rustix::param::clock_ticks_per_second() as f64;
    let main = std::process::id().to_string();
    for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        // A thread may end while it is looked at.
        let Ok(stat) = std::fs::read_to_string(task.path().join("stat")) else {
            continue;
        };
        let Some((name, ticks)) = name_and_ticks(&stat) else {
            continue;
        };
        let name = if task.file_name() == *main { "node" } else { name };
        *seconds.entry(name.to_owned()).or_default() += ticks as f64 / ticks_per_second;
    }
    seconds
}

/// The name of a thread and its CPU time in ticks, user and system, of a line of `/proc/self/task/*/stat`.
fn name_and_ticks(stat: &str) -> Option<(&str, u64)> {
    // The name stands in parentheses, and may have some.
    let (before, after) = stat.rsplit_once(") ")?;
    let (_, name) = before.split_once('(')?;
    let mut fields = after.split(' ').skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some((name, next()? + next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_read_with_its_time() {
        let stat = "7 (torc) (x) S 1 7 7 0 -1 64 5 0 0 0 250 30 0 0 20 0 9 0 77 1 2";
        assert_eq!(name_and_ticks(stat), Some(("torc) (x", 280)));
        assert_eq!(name_and_ticks("7 (torc"), None);
    }

    #[test]
    fn memory_and_cpu_time_are_known() {
        assert!(resident_bytes() > 100_000);
        let before = cpu_seconds();
        let mut sum = 0_u64;
        while cpu_seconds() <= before {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(cpu_seconds() > before);
    }
}
