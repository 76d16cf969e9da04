//! What processes used: our own CPU time, and the CPU time and peak memory of server processes, from Linux's books.

use std::io;

use serde::Serialize;

/// CPU time in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Cpu {
    /// In programs.
    pub user_seconds: f64,
    /// In the kernel on their behalf.
    pub system_seconds: f64,
}

impl Cpu {
    /// User and system together.
    pub fn seconds(&self) -> f64 {
        self.user_seconds + self.system_seconds
    }

    /// What was used since an earlier reading.
    pub fn since(&self, earlier: &Cpu) -> Cpu {
        Cpu {
            user_seconds: self.user_seconds - earlier.user_seconds,
            system_seconds: self.system_seconds - earlier.system_seconds,
        }
    }
}

/// Our own CPU time so far, all threads.
#[allow(unsafe_code)]
pub fn own_cpu() -> Cpu {
    // SAFETY: rusage is plain numbers, for which all zeros are valid, and getrusage writes only the struct it is given.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        let result = libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        assert_eq!(result, 0, "getrusage of the own process cannot fail");
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    Cpu {
        user_seconds: seconds(usage.ru_utime),
        system_seconds: seconds(usage.ru_stime),
    }
}

#[allow(unsafe_code)]
fn ticks_per_second() -> f64 {
    // SAFETY: sysconf reads a constant of the system and touches no memory of ours.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    assert!(ticks > 0, "the kernel always tells its clock ticks");
    ticks as f64
}

/// The CPU time of a process so far, from `/proc/PID/stat`: all its threads, ended ones too.
pub fn cpu_of(pid: u32) -> io::Result<Cpu> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_stat(&text, ticks_per_second()).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("/proc/{pid}/stat is not understood"),
        )
    })
}

fn parse_stat(text: &str, ticks_per_second: f64) -> Option<Cpu> {
    // The command's name is in parentheses and may contain anything, spaces and parentheses too.
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Cpu {
        user_seconds: user as f64 / ticks_per_second,
        system_seconds: system as f64 / ticks_per_second,
    })
}

/// The most memory that a process ever had resident, in bytes, from `/proc/PID/status`.
pub fn peak_memory_bytes_of(pid: u32) -> io::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    text.lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|value| value.trim().strip_suffix("kB"))
        .and_then(|value| value.trim().parse::<u64>().ok())
        .map(|kibibytes| kibibytes * 1024)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/status has no VmHWM")))
}

#[cfg(test)]
mod tests {
    use super::{Cpu, cpu_of, own_cpu, parse_stat, peak_memory_bytes_of};

    #[test]
    fn the_books_of_a_process_with_a_strange_name_are_read() {
        let text = "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 4";
        assert_eq!(
            parse_stat(text, 100.0),
            Some(Cpu {
                user_seconds: 2.5,
                system_seconds: 0.5
            })
        );
        assert_eq!(parse_stat("42 (a) S 1", 100.0), None);
    }

    #[test]
    fn our_own_books_show_work() {
        let before = own_cpu();
        let mut sum = 0u64;
        while own_cpu().since(&before).seconds() < 0.05 {
            sum = sum.wrapping_mul(31).wrapping_add(1);
        }
        std::hint::black_box(sum);
        let pid = std::process::id();
        assert!(cpu_of(pid).expect("own stat").seconds() > 0.0);
        assert!(peak_memory_bytes_of(pid).expect("own status") > 100_000);
        assert!(cpu_of(u32::MAX).is_err());
    }
}
