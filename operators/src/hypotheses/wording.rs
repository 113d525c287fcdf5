//! Numbers, times and shares as a report has them.

use faultline_contracts::time::UnixMillis;

/// `1,120`
pub(super) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `89.8%`, rounded to the nearest tenth.
pub(super) fn percent(part: u64, total: u64) -> String {
    let total = u128::from(total.max(1));
    let tenths = (u128::from(part) * 2_000 + total) / (2 * total);
    format!("{}.{}%", tenths / 10, tenths % 10)
}

/// `09:57:45`, rounded to the second; with the date where that is another day than `day`'s.
pub(super) fn clock(at: UnixMillis, day: UnixMillis) -> String {
    let (at, day) = (at.plus(500).to_string(), day.plus(500).to_string());
    let date = at.get(..10).filter(|date| day.get(..10) != Some(*date));
    let time = at.get(11..19).unwrap_or(&at);
    date.map_or_else(|| time.to_owned(), |date| format!("{date} {time}"))
}

/// `17 seconds`, `5 minutes 3 seconds`, `6 hours`: rounded to the second, the two largest units.
pub(super) fn duration(ms: i64) -> String {
    let seconds = ms.unsigned_abs().saturating_add(500) / 1_000;
    let parts = [
        ("day", seconds / 86_400),
        ("hour", seconds / 3_600 % 24),
        ("minute", seconds / 60 % 60),
        ("second", seconds % 60),
    ];
    let first = parts.iter().position(|(_, count)| *count > 0).unwrap_or(3);
    let shown = parts.iter().skip(first).take(2).enumerate().filter(|(place, (_, count))| *place == 0 || *count > 0);
    let texts: Vec<String> =
        shown.map(|(_, (unit, count))| format!("{count} {unit}{}", if *count == 1 { "" } else { "s" })).collect();
    texts.join(" ")
}

/// `17 seconds before`, `1 second after`
pub(super) fn relation(ms_before: i64) -> String {
    format!("{} {}", duration(ms_before), if ms_before < 0 { "after" } else { "before" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_figures() {
        assert_eq!((number(1_120), percent(1_120, 1_247)), ("1,120".into(), "89.8%".into()));
        assert_eq!((number(0), number(999), number(1_000_000)), ("0".into(), "999".into(), "1,000,000".into()));
        assert_eq!((percent(0, 0), percent(u64::MAX, u64::MAX)), ("0.0%".into(), "100.0%".into()));
    }

    #[test]
    fn times_are_rounded_to_the_second() {
        let failure: UnixMillis = "2023-10-27T09:58:01.950Z".parse().unwrap();
        let deployed: UnixMillis = "2023-10-26T09:57:45Z".parse().unwrap();
        assert_eq!(clock(failure, failure), "09:58:02");
        assert_eq!(clock(deployed, failure), "2023-10-26 09:57:45");
        assert_eq!(relation(16_950), "17 seconds before");
        assert_eq!(relation(-1_000), "1 second after");
        assert_eq!(duration(86_400_000 + 2 * 3_600_000), "1 day 2 hours");
        assert_eq!(duration(3_600_000 + 5_000), "1 hour");
        assert_eq!(duration(0), "0 seconds");
    }
}
