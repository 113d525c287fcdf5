//! Answers as tables.

use comfy_table::{Table, presets};
use faultline_proto::v1;

use super::report::{count, impact, plain, time};

/// Rows under a header, for a terminal.
pub(crate) fn table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for row in rows {
        table.add_row(row.iter().map(|cell| plain(cell)).collect::<Vec<_>>());
    }
    table.trim_fmt()
}

/// A table with a word on the pages that follow.
pub(super) fn paged(table: String, shown: usize, total: u32, next: &str) -> String {
    if next.is_empty() { table } else { format!("{table}\n{shown} of {total}; --all shows the rest") }
}

pub(super) fn incidents(rows: &[v1::Incident]) -> String {
    let row = |row: &v1::Incident| {
        let status = row.status().as_str_name().to_owned();
        let (opened, failures) = (time(row.opened_at.as_ref()), count(row.evidence_count));
        [
            row.id.clone(),
            row.severity.clone(),
            status,
            row.dataset_urn.clone(),
            row.failure_signature.clone(),
            failures,
            opened,
        ]
    };
    table(["INCIDENT", "SEVERITY", "STATUS", "DATASET", "SIGNATURE", "FAILURES", "OPENED"], rows.iter().map(row))
}

pub(super) fn signals(rows: &[v1::Signal]) -> String {
    let row = |row: &v1::Signal| {
        let score = row.score.map_or_else(|| "-".to_owned(), |score| score.to_string());
        let state = row.state().as_str_name().to_owned();
        let window = time(row.window_start.as_ref());
        [row.dataset_urn.clone(), row.kind.clone(), state, score, row.failure_signature.clone(), window]
    };
    table(["DATASET", "SIGNAL", "STATE", "SCORE", "SIGNATURE", "WINDOW"], rows.iter().map(row))
}

pub(super) fn windows(rows: &[v1::ComplianceWindow]) -> String {
    let row = |row: &v1::ComplianceWindow| {
        let status = row.status().as_str_name().to_owned();
        let start = time(row.window_start.as_ref());
        [row.dataset_urn.clone(), start, count(row.pass), count(row.fail), count(row.warn), status]
    };
    table(["DATASET", "WINDOW", "PASS", "FAIL", "WARN", "STATUS"], rows.iter().map(row))
}

pub(super) fn evidence(rows: &[v1::EvidenceSample]) -> String {
    let row = |row: &v1::EvidenceSample| {
        let place = format!("{} [{}] {}", row.topic, row.partition, row.offset);
        let at = time(row.event_time.as_ref());
        [row.evidence_id.clone(), at, place, row.producer.clone(), row.failure_signature.clone(), row.trace_id.clone()]
    };
    table(["EVIDENCE", "TIME", "RECORD", "PRODUCER", "SIGNATURE", "TRACE"], rows.iter().map(row))
}

pub(super) fn datasets(rows: &[v1::Dataset]) -> String {
    let row = |row: &v1::Dataset| {
        let states: Vec<_> = row.signals.iter().map(|signal| signal.state().as_str_name()).collect();
        let rollout = row.rollout().as_str_name().to_owned();
        let (tier, slo) = (row.tier.to_string(), row.compliance_slo.to_string());
        [
            row.urn.clone(),
            tier,
            slo,
            rollout,
            states.join(" "),
            row.owner.clone(),
            row.contract.clone(),
            row.problems.join("; "),
        ]
    };
    table(["DATASET", "TIER", "SLO", "ROLLOUT", "STATE", "OWNER", "CONTRACT", "PROBLEMS"], rows.iter().map(row))
}

pub(super) fn nodes<'a>(rows: impl IntoIterator<Item = &'a v1::Node>) -> String {
    let row = |row: &v1::Node| {
        let tier = row.tier.map_or_else(|| "-".to_owned(), |tier| tier.to_string());
        let kind = row.kind().as_str_name().to_owned();
        [
            row.hops.to_string(),
            row.id.clone(),
            kind,
            row.name.clone(),
            tier,
            row.owner.clone(),
            impact(row.impact()).to_owned(),
            row.via.clone(),
        ]
    };
    table(["HOPS", "NODE", "KIND", "NAME", "TIER", "OWNER", "IMPACT", "VIA"], rows.into_iter().map(row))
}

pub(super) fn status(status: &v1::GetStatusResponse) -> String {
    let as_of = status.as_of.clone().unwrap_or_default();
    let catalog = status.catalog.clone().unwrap_or_default();
    let mut text = format!(
        "version {}, {} workers, up {} s\nepoch {}, watermark {}\ncatalog {}: {} datasets{}\n",
        status.version,
        status.workers,
        status.uptime.map_or(0, |uptime| uptime.seconds),
        as_of.epoch,
        time(as_of.watermark.as_ref()),
        catalog.version,
        catalog.datasets,
        catalog.since.map_or_else(String::new, |since| format!(", in force since {}", time(Some(&since)))),
    );
    for problem in &catalog.problems {
        text.push_str(&format!("  {}\n", plain(problem)));
    }
    let number = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let partition = |row: &v1::PartitionProgress| {
        let lag = row.lag.map_or_else(|| "-".to_owned(), count);
        [row.topic.clone(), row.partition.to_string(), number(row.offset), number(row.high_watermark), lag]
    };
    text.push('\n');
    text.push_str(&table(["TOPIC", "PARTITION", "OFFSET", "END", "LAG"], status.partitions.iter().map(partition)));
    let dependency =
        |row: &v1::Dependency| [row.name.clone(), row.state().as_str_name().to_owned(), row.message.clone()];
    text.push_str("\n\n");
    text.push_str(&table(["DEPENDENCY", "STATE", "ERROR"], status.dependencies.iter().map(dependency)));
    text
}
