//! A session's figures as a Markdown table.

use std::fmt::Write as _;

use super::contestant::{Contestant, Run};

/// What others are compared with, by name.
const YARDSTICKS: [&str; 3] = ["passthrough", "passthrough lz4", "consume"];

/// The table, and what it was measured on.
#[must_use]
pub fn markdown(records: u64, results: &[(Contestant, Vec<Run>)], machine: &[String]) -> String {
    let rounds = results.iter().map(|(_, runs)| runs.len()).max().unwrap_or_default();
    let mut text = format!("{records} records, {rounds} rounds; medians, in brackets the least and the most.\n\n");
    text.push_str(
        "| contestant | records/s, steady | overall | / passthrough | / passthrough lz4 | / consume | CPU s per million \
         | broker's | peak RSS MB | bytes a value |\n|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for (contestant, runs) in results {
        let steady = sorted(runs, |run| run.marks.steady_rate());
        let [least, most] = [steady.first(), steady.last()].map(|rate| rate.copied().unwrap_or_default() / 1e3);
        let of = |figure: fn(&Run) -> f64| median(&sorted(runs, figure));
        _ = write!(
            text,
            "| {contestant} | {:.0}k ({least:.0}k–{most:.0}k) | {:.0}k |",
            median(&steady) / 1e3,
            of(|run| run.marks.overall_rate()) / 1e3
        );
        for yardstick in YARDSTICKS {
            _ = match ratio(runs, yardstick, results) {
                Some(ratio) => write!(text, " {ratio:.2} |"),
                None => write!(text, " |"),
            };
        }
        let bytes = of(|run| run.value_bytes);
        _ = writeln!(
            text,
            " {:.2} | {:.2} | {:.0} | {} |",
            of(|run| run.seconds_per_million),
            of(|run| run.broker_seconds_per_million),
            of(|run| run.peak_resident as f64) / 1e6,
            if bytes > 0.0 { format!("{bytes:.0}") } else { String::new() },
        );
    }
    text.push('\n');
    for line in machine {
        _ = writeln!(text, "- {line}");
    }
    text
}

/// The median of the ratios to the yardstick's run of the same round.
fn ratio(runs: &[Run], yardstick: &str, results: &[(Contestant, Vec<Run>)]) -> Option<f64> {
    let (_, yardstick) = results.iter().find(|(contestant, _)| contestant.to_string() == yardstick)?;
    let mut ratios: Vec<f64> =
        runs.iter().zip(yardstick).map(|(run, by)| run.marks.steady_rate() / by.marks.steady_rate()).collect();
    ratios.sort_by(f64::total_cmp);
    Some(median(&ratios))
}

fn sorted(runs: &[Run], figure: impl Fn(&Run) -> f64) -> Vec<f64> {
    let mut figures: Vec<f64> = runs.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures
}

/// The middle one of ascending figures, or the mean of the middle two; 0 without any.
fn median(ascending: &[f64]) -> f64 {
    let (low, high) = (ascending.len().saturating_sub(1) / 2, ascending.len() / 2);
    let at = |place: usize| ascending.get(place).copied().unwrap_or_default();
    f64::midpoint(at(low), at(high))
}

#[cfg(test)]
mod tests {
    use super::{
        super::marks::{Mark, Marks},
        *,
    };

    #[test]
    fn medians() {
        assert_eq!([median(&[]), median(&[3.0]), median(&[1.0, 2.0]), median(&[1.0, 2.0, 9.0])], [0.0, 3.0, 1.5, 2.0]);
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        let run = |micros: i64| {
            let at = |share: i64| Mark { at_us: micros * share / 10, records: (share * 100) as u64 };
            let marks = Marks { first: at(0), tenth: at(1), ninetieth: at(9), last: at(10) };
            Run {
                marks,
                seconds_per_million: 1.0,
                broker_seconds_per_million: 2.0,
                peak_resident: 3_000_000,
                value_bytes: 0.0,
            }
        };
        let consume = Contestant::Child { work: super::super::child::Work::Consume, compression: "none" };
        let faultline = Contestant::Faultline { workers: 1, ranges: true };
        let results = [(consume, vec![run(10_000), run(40_000)]), (faultline, vec![run(20_000), run(80_000)])];
        let text = markdown(1_000, &results, &["a machine".to_owned()]);
        assert!(
            text.contains("| faultline --workers 1, ranges | 31k (12k–50k) | 31k | | | 0.50 | 1.00 | 2.00 | 3 |  |"),
            "{text}"
        );
    }
}
