//! On what was measured.

use std::{fs, path::Path, process::Command};

use faultline_tests::servers::KAFKA_VERSION;

use crate::machine::{kibibytes, load, processor};

/// Lines that say what the figures were measured on, and how to measure them again.
#[must_use]
pub fn description(program: &Path) -> Vec<String> {
    let memory = kibibytes("/proc/meminfo", "MemTotal").unwrap_or_default() >> 20;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
    vec![
        format!("{}, {memory} GiB, Linux {}", processor(), kernel.trim()),
        format!(
            "{}, librdkafka {librdkafka}, Kafka {KAFKA_VERSION} on {}, one broker on the same machine",
            said(Command::new(program).arg("--version")),
            said(Command::new("java").arg("--version"))
        ),
        format!("load when it ended: {}", load()),
        format!("`{}`", std::env::args().collect::<Vec<_>>().join(" ")),
    ]
}

/// The first line of what a command prints.
fn said(command: &mut Command) -> String {
    let output = command.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let output = output.unwrap_or_default();
    output.lines().next().unwrap_or("unknown").to_owned()
}
