//! What was measured, as a table.

use super::parties::{Cost, Times};

/// One network's line.
pub(crate) struct Row {
    /// The network.
    pub(crate) name: String,
    /// Medians of the three parties' times.
    pub(crate) times: Times,
    /// What they sent.
    pub(crate) cost: Cost,
    /// Peak memory of client, server, helper in bytes.
    pub(crate) memory: [Option<u64>; 3],
    /// By tract, in the clear.
    pub(crate) tract: Option<Clear>,
    /// By onnxruntime, in the clear.
    pub(crate) onnxruntime: Option<Clear>,
}

/// Seconds of an image in the clear.
#[derive(Clone, Copy)]
pub(crate) struct Clear(f64);

impl Clear {
    /// The median of some runs, if there were any.
    pub(crate) fn of(runs: Vec<f64>) -> Option<Self> {
        (!runs.is_empty()).then(|| Self(median(runs.into_iter())))
    }
}

/// The median; 0 of nothing.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let middle = [sorted.len().saturating_sub(1) / 2, sorted.len() / 2];
    middle.iter().filter_map(|&at| sorted.get(at)).sum::<f64>() / 2.0
}

/// Prints all rows, and how they were taken.
pub(crate) fn print_table(rows: &[Row], runs: u32, repeat: u32, ort_threads: u32) {
    println!(
        "| network | total s | offline s | online s | MB | round trips | memory C / S / H, MB \
         | tract, 1 thread | onnxruntime, {ort_threads} threads |"
    );
    println!("|{}", " --- |".repeat(9));
    for row in rows {
        println!("{}", line(row));
    }
    println!();
    println!(
        "One image, all parties on this machine ({}). Seconds: medians of {runs} runs of {repeat} images, in \
         turns with the runs in the clear; behind these, how many times as long the three parties take. MB: \
         payload, offline + online. Memory: VmHWM of each party as a process of its own.",
        machine()
    );
}

fn line(row: &Row) -> String {
    let Row {
        name, times, cost, ..
    } = row;
    let megabytes = |bytes: u64| format!("{:.2}", bytes as f64 / 1e6);
    let memory = row.memory.map(|bytes| match bytes {
        Some(bytes) => format!("{:.0}", bytes as f64 / 1e6),
        None => "?".to_owned(),
    });
    let clear = |clear: Option<Clear>| match clear {
        Some(Clear(seconds)) => format!("{seconds:.4} (x {:.1})", times.total / seconds),
        None => "-".to_owned(),
    };
    format!(
        "| {name} | {:.4} | {:.4} | {:.4} | {} + {} | {} | {} | {} | {} |",
        times.total,
        times.offline,
        times.online,
        megabytes(cost.offline_bytes),
        megabytes(cost.online_bytes),
        cost.round_trips,
        memory.join(" / "),
        clear(row.tract),
        clear(row.onnxruntime),
    )
}

/// Processor and cores, and how busy they were.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = read("/proc/loadavg");
    let load = load.split_whitespace().next().unwrap_or("unknown");
    format!(
        "{}, {cores} cores, load average {load}",
        model.unwrap_or("processor unknown")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.5);
        assert_eq!(median([].into_iter()), 0.0);
    }

    #[test]
    fn a_line_has_a_ratio_where_there_is_something_to_compare_with() {
        let row = Row {
            name: "net".to_owned(),
            times: Times {
                offline: 0.2,
                online: 0.1,
                total: 0.3,
            },
            cost: Cost {
                offline_bytes: 2_000_000,
                online_bytes: 1_000_000,
                round_trips: 7,
            },
            memory: [Some(10_000_000), Some(20_000_000), None],
            tract: Clear::of(vec![0.1, 0.1, 9.0]),
            onnxruntime: Clear::of(vec![]),
        };
        let want = "| net | 0.3000 | 0.2000 | 0.1000 | 2.00 + 1.00 | 7 | 10 / 20 / ? | 0.1000 (x 3.0) | - |";
        assert_eq!(line(&row), want);
    }
}
