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

/// What the control groups leave, of version 2 or 1; none if there is no limit.
fn of_container() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = groups
        .lines()
        .find_map(|line| line.strip_prefix("0::/"))
        .unwrap_or("");
    let root = Path::new("/sys/fs/cgroup");
    let left = [
        V2.left(&root.join(own)),
        V2.left(root),
        V1.left(&root.join("memory")),
    ];
    left.into_iter().flatten().min()
}

/// The files in which a version of control groups says what a group may have.
struct Names {
    limit: &'static str,
    used: &'static str,
    /// Key in `memory.stat` of what the kernel drops first: cached parts of files that are not in use.
    cached: &'static str,
}

const V2: Names = Names {
    limit: "memory.max",
    used: "memory.current",
    cached: "inactive_file",
};

const V1: Names = Names {
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    cached: "total_inactive_file",
};

impl Names {
    /// A group's limit less what it has; a cache of files makes room when somebody needs it.
    fn left(&self, group: &Path) -> Option<u64> {
        let stat = fs::read_to_string(group.join("memory.stat")).ok();
        let cached = stat.and_then(|stat| entry(&stat, self.cached));
        let used = number(&group.join(self.used))?.saturating_sub(cached.unwrap_or(0));
        Some(number(&group.join(self.limit))?.saturating_sub(used))
    }
}

/// A file that holds a number, as the kernel writes them.
fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// A line such as `inactive_file 123`.
fn entry(text: &str, key: &str) -> Option<u64> {
    let mut words = text.lines().map(str::split_whitespace);
    let mut line = words.find(|words| words.clone().next() == Some(key))?;
    line.nth(1)?.parse().ok()
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
    fn cached_files_count_as_free() {
        let group = tempfile::tempdir().unwrap();
        for (names, stat) in [
            (V2, "anon 5\ninactive_file 300\n"),
            (V1, "inactive_file 1\ntotal_inactive_file 300\n"),
        ] {
            let left = |limit: &str, used: &str, stat: &str| {
                let files = [(names.limit, limit), (names.used, used), ("memory.stat", stat)];
                for (name, text) in files {
                    fs::write(group.path().join(name), text).unwrap();
                }
                names.left(group.path())
            };
            assert_eq!(left("1000\n", "700\n", stat), Some(600));
            assert_eq!(left("1000\n", "700\n", ""), Some(300));
            // No more than is used becomes free.
            assert_eq!(left("1000\n", "200\n", stat), Some(1000));
            assert_eq!(left("1000\n", "1700\n", stat), Some(0));
            assert_eq!(left("max\n", "700\n", stat), None);
        }
    }

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
