//! How much memory this process may still take: the least of what the machine, the container and the
//! shell's limit leave. Where none can be found out, a moderate amount.

use std::fs;
use std::path::Path;

const MODERATE: u64 = 8 << 30;

/// Bytes that may still be allocated.
pub(super) fn available() -> u64 {
    let known = [of_machine(), of_container(), of_process()];
    known.into_iter().flatten().min().unwrap_or(MODERATE)
}

fn of_machine() -> Option<u64> {
    kibibytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")
}

/// A line such as `VmSize:   123 kB`.
fn kibibytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    number.checked_mul(1024)
}

/// The control group's limit less what it has, of version 2 or 1; none if there is no limit.
fn of_container() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = groups
        .lines()
        .find_map(|line| line.strip_prefix("0::/"))
        .unwrap_or("");
    let root = Path::new("/sys/fs/cgroup");
    let v1 = root.join("memory");
    let own = root.join(own);
    let files = [
        (own.join("memory.max"), own.join("memory.current")),
        (root.join("memory.max"), root.join("memory.current")),
        (v1.join("memory.limit_in_bytes"), v1.join("memory.usage_in_bytes")),
    ];
    let left = |(limit, used): &(std::path::PathBuf, std::path::PathBuf)| {
        let read = |path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
        Some(read(limit)?.saturating_sub(read(used)?))
    };
    files.iter().filter_map(left).min()
}

/// `ulimit -v` less what is mapped.
#[cfg(unix)]
fn of_process() -> Option<u64> {
    use rustix::process::{Resource, getrlimit};
    let limit = getrlimit(Resource::As).current?;
    let mapped = fs::read_to_string("/proc/self/status").ok();
    let mapped = mapped.and_then(|status| kibibytes(&status, "VmSize:"));
    Some(limit.saturating_sub(mapped.unwrap_or(0)))
}

#[cfg(not(unix))]
fn of_process() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel_are_read() {
        let text = "MemTotal:  99 kB\nMemAvailable:   24012 kB\n";
        assert_eq!(kibibytes(text, "MemAvailable:"), Some(24_012 << 10));
        for bad in [
            "",
            "MemAvailable: kB",
            "MemAvailable: 1 MB",
            "MemAvailable: 99999999999999999999 kB",
        ] {
            assert_eq!(kibibytes(bad, "MemAvailable:"), None);
        }
    }
}
