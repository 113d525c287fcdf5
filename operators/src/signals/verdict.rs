//! Whether a window is in breach of its dataset's objective, and how sure that is.

use faultline_contracts::window::{Verdicts, WindowStatus};

use serde::{Deserialize, Serialize};

use super::SignalOptions;

/// What a window says about its dataset's objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// Nothing: too few of its records were judged.
    Unjudged,
    /// Nothing yet: it is provisional, and not beyond doubt.
    Open,
    /// It is final and keeps the objective.
    Kept,
    /// It is in breach: final, or provisional and beyond doubt.
    Breached,
}

/// The z-score of one-sided 99.9 % confidence.
const Z: f64 = 3.0902323;
/// Objectives are in millionths.
const ONE: u32 = 1_000_000;

/// The lower bound of the one-sided 99.9 % Wilson score interval of the share `fail / judged`
/// (E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927):
///
/// ```text
/// (p + z²/2n − z·√(p(1−p)/n + z²/4n²)) / (1 + z²/n)
/// ```
///
/// Only IEEE-exact operations, so that it is the same on any machine. 0 where nothing failed.
///
/// ```
/// use faultline_operators::signals::wilson_lower_bound;
/// assert!((wilson_lower_bound(10, 50) - 0.080_86).abs() < 1e-5);
/// assert_eq!(wilson_lower_bound(0, 50), 0.0);
/// ```
#[must_use]
pub fn wilson_lower_bound(fail: u64, judged: u64) -> f64 {
    if fail == 0 || judged == 0 {
        return 0.0;
    }
    let n = judged as f64;
    let p = fail.min(judged) as f64 / n;
    let z2 = Z * Z;
    let centre = p + z2 / (2.0 * n);
    let spread = Z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    ((centre - spread) / (1.0 + z2 / n)).max(0.0)
}

/// Judges a window. `provisionally` is what it was while provisional: a breach stays one until the window ends.
pub(super) fn judge(
    status: WindowStatus,
    verdicts: Verdicts,
    slo_millionths: u32,
    provisionally: Option<Verdict>,
    options: &SignalOptions,
) -> Verdict {
    let judged = verdicts.judged();
    let budget = ONE.saturating_sub(slo_millionths);
    match status {
        WindowStatus::Final if judged < options.min_volume_at_end.max(1) => Verdict::Unjudged,
        WindowStatus::Final => {
            let over = u128::from(verdicts.fail) * u128::from(ONE) > u128::from(budget) * u128::from(judged);
            if over { Verdict::Breached } else { Verdict::Kept }
        }
        WindowStatus::Provisional if provisionally == Some(Verdict::Breached) => Verdict::Breached,
        WindowStatus::Provisional if judged == 0 => Verdict::Unjudged,
        WindowStatus::Provisional => {
            let beyond_doubt = judged >= options.min_volume
                && wilson_lower_bound(verdicts.fail, judged) > f64::from(budget) / f64::from(ONE);
            if beyond_doubt { Verdict::Breached } else { Verdict::Open }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: WindowStatus, pass: u64, fail: u64) -> Verdict {
        judge(status, Verdicts { pass, fail, warn: 9 }, 950_000, None, &SignalOptions::default())
    }

    #[test]
    fn wilson_bound_has_the_published_values() {
        // Solutions of (p̂ − p)² = z²·p(1−p)/n for the lower p, by hand: for p̂ = 1 it is n / (n + z²).
        for n in [1, 50, 1_000, 1_000_000] {
            let exact = n as f64 / (n as f64 + Z * Z);
            assert!((wilson_lower_bound(n, n) - exact).abs() < 1e-12, "{n}");
        }
        for (fail, judged) in [(1_u64, 50_u64), (10, 50), (60, 1_000), (1_120, 1_247), (3, 7)] {
            let (n, p) = (judged as f64, fail as f64 / judged as f64);
            let bound = wilson_lower_bound(fail, judged);
            assert!(bound < p);
            assert!(((p - bound).powi(2) - Z * Z * bound * (1.0 - bound) / n).abs() < 1e-12, "{fail}/{judged}");
        }
        assert!((wilson_lower_bound(1_120, 1_247) - 0.868_2).abs() < 5e-4);
        assert_eq!(wilson_lower_bound(0, 0), 0.0);
        assert!(wilson_lower_bound(u64::MAX, u64::MAX) <= 1.0);
    }

    #[test]
    fn the_end_is_judged_exactly_at_the_budget() {
        assert_eq!(of(WindowStatus::Final, 95, 5), Verdict::Kept, "5 % of 100 is within 5 %");
        assert_eq!(of(WindowStatus::Final, 949_999, 50_001), Verdict::Breached);
        assert_eq!(of(WindowStatus::Final, 0, 0), Verdict::Unjudged);
        assert_eq!(of(WindowStatus::Final, 0, 1), Verdict::Breached, "the default minimum at the end is one record");
        assert_eq!(of(WindowStatus::Final, u64::MAX / 2, u64::MAX / 2), Verdict::Breached);
    }

    #[test]
    fn before_the_end_it_takes_volume_and_certainty() {
        assert_eq!(of(WindowStatus::Provisional, 0, 49), Verdict::Open, "too few");
        assert_eq!(of(WindowStatus::Provisional, 0, 50), Verdict::Breached);
        assert_eq!(of(WindowStatus::Provisional, 46, 4), Verdict::Open, "8 % of 50 may be chance");
        assert_eq!(of(WindowStatus::Provisional, 920_000, 80_000), Verdict::Breached, "8 % of a million is not");
        assert_eq!(of(WindowStatus::Provisional, 0, 0), Verdict::Unjudged);
        let all = Verdicts { pass: 1_000, fail: 0, warn: 0 };
        let verdict = judge(WindowStatus::Provisional, all, 1_000_000, None, &SignalOptions::default());
        assert_eq!(verdict, Verdict::Open, "an objective of 100 % that is kept");
    }

    #[test]
    fn a_provisional_breach_stays_until_the_end() {
        let options = SignalOptions::default();
        let diluted = Verdicts { pass: 10_000, fail: 50, warn: 0 };
        let sticky = judge(WindowStatus::Provisional, diluted, 950_000, Some(Verdict::Breached), &options);
        assert_eq!(sticky, Verdict::Breached);
        assert_eq!(judge(WindowStatus::Final, diluted, 950_000, Some(Verdict::Breached), &options), Verdict::Kept);
    }
}
