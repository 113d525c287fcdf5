//! On what was measured.

use std::{fs, path::Path, process::Command};

use faultline_tests::servers::KAFKA_VERSION;

/// Lines that say what the figures were measured on, and how to measure them again.
#[must_use]
pub fn description(program: &Path) -> Vec<String> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = field("/proc/meminfo", "MemTotal").and_then(|kib| kib.strip_suffix(" kB")?.parse::<u64>().ok());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    vec![
        format!(
            "{cores} cores of {}, {} GiB, Linux {}",
            field("/proc/cpuinfo", "model name").unwrap_or_else(|| "an unnamed processor".to_owned()),
            memory.unwrap_or_default() >> 20,
            kernel.trim()
        ),
        format!(
            "{}, librdkafka {librdkafka}, Kafka {KAFKA_VERSION} on {}, one broker on the same machine",
            said(Command::new(program).arg("--version")),
            said(Command::new("java").arg("--version"))
        ),
        format!("load when it ended: {}", load.split(' ').next().unwrap_or_default()),
        format!("`{}`", std::env::args().collect::<Vec<_>>().join(" ")),
    ]
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim_start().strip_prefix(':')?.trim().to_owned())
}

/// The first line of what a command prints.
fn said(command: &mut Command) -> String {
    let output = command.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let output = output.unwrap_or_default();
    output.lines().next().unwrap_or("unknown").to_owned()
}
