//! Dates and times of RFC 3339, and the wider ISO 8601 that ODCS allows.

const SECOND: i128 = 1_000_000_000;
pub(super) const DAY: i128 = 86_400 * SECOND;

/// Reads fields of fixed width from the front of a text.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    /// Exactly `width` digits.
    pub(super) fn digits(&mut self, width: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(width)?;
        let value = digits
            .iter()
            .try_fold(0_i64, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))?;
        self.0 = rest;
        Some(value)
    }

    /// One of these bytes.
    pub(super) fn one_of(&mut self, bytes: &[u8]) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        bytes.contains(&first).then(|| {
            self.0 = rest;
            first
        })
    }

    /// At least one digit, as a fraction of a second in nanoseconds; digits beyond nine are dropped.
    pub(super) fn fraction(&mut self) -> Option<i128> {
        let width = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if width == 0 {
            return None;
        }
        let kept = width.min(9);
        let value = self.digits(kept)?;
        self.0 = self.0.get(width - kept..)?;
        Some(i128::from(value) * 10_i128.pow(9 - kept as u32))
    }

    fn date(&mut self) -> Option<i64> {
        let year = self.digits(4)?;
        self.one_of(b"-")?;
        let month = self.digits(2)?;
        self.one_of(b"-")?;
        let day = self.digits(2)?;
        days_from_civil(year, month, day)
    }

    /// The time of day and what is taken off for its offset. A leap second is only one at the end of a UTC day.
    fn time(&mut self, strict: bool) -> Option<i128> {
        let hour = self.digits(2)?;
        self.one_of(b":")?;
        let minute = self.digits(2)?;
        let mut second = 0;
        let mut fraction = 0;
        if strict || self.0.first() == Some(&b':') {
            self.one_of(b":")?;
            second = self.digits(2)?;
            let marks: &[u8] = if strict { b"." } else { b".," };
            if self.one_of(marks).is_some() {
                fraction = self.fraction()?;
            }
        }
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let offset = self.offset(strict)?;
        let seconds = hour * 3_600 + minute * 60 + second - offset;
        if second == 60 && seconds.rem_euclid(86_400) != 0 {
            return None;
        }
        Some(i128::from(seconds) * SECOND + fraction)
    }

    /// Seconds east of UTC. Where `strict` does not ask for one, none is UTC, and `+02`, `+0200` are offsets too.
    fn offset(&mut self, strict: bool) -> Option<i64> {
        if !strict && self.0.is_empty() {
            return Some(0);
        }
        let sign = match self.one_of(b"Zz+-")? {
            b'+' => 1,
            b'-' => -1,
            _ => return Some(0),
        };
        let hours = self.digits(2)?;
        let colon = self.one_of(b":").is_some();
        let minutes = if strict && !colon {
            return None;
        } else if colon || !self.0.is_empty() {
            self.digits(2)?
        } else {
            0
        };
        (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3_600 + minutes * 60))
    }
}

/// A whole date: `2023-10-27`.
pub(super) fn date(text: &[u8]) -> Option<i128> {
    let mut fields = Fields(text);
    let days = fields.date()?;
    fields.0.is_empty().then_some(i128::from(days) * DAY)
}

/// A time of day with an offset: `09:58:02.113Z`.
pub(super) fn time(text: &[u8], strict: bool) -> Option<i128> {
    let mut fields = Fields(text);
    let time = fields.time(strict)?;
    fields.0.is_empty().then_some(time)
}

/// A date and a time: `2023-10-27T09:58:02.113Z`. Without `strict`, a blank may stand for the `T`.
pub(super) fn date_time(text: &[u8], strict: bool) -> Option<i128> {
    let mut fields = Fields(text);
    let days = fields.date()?;
    fields.one_of(if strict { b"Tt" } else { b"Tt " })?;
    let time = fields.time(strict)?;
    fields.0.is_empty().then_some(i128::from(days) * DAY + time)
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar; Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms". `None` for a day that the month does not have.
pub(super) fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3339() {
        assert_eq!(date_time(b"1970-01-01T00:00:00Z", true), Some(0));
        assert_eq!(date_time(b"2023-10-27T09:57:45.5+02:00", true), Some(1_698_393_465_500_000_000));
        for good in ["2016-12-31T23:59:60Z", "2017-01-01T00:59:60+01:00", "2024-02-29t00:00:00z"] {
            assert!(date_time(good.as_bytes(), true).is_some(), "{good}");
        }
        for bad in [
            "2023-10-27",
            "2023-10-27T09:57:45",
            "2023-10-27 09:57:45Z",
            "2023-02-29T00:00:00Z",
            "2023-13-01T00:00:00Z",
            "2023-10-27T24:00:00Z",
            "2023-10-27T09:57:60Z",
            "2023-10-27T09:57Z",
            "2023-10-27T09:57:45+0200",
            "2023-10-27T09:57:45.Z",
            "2023-10-27T09:57:45Zx",
        ] {
            assert!(date_time(bad.as_bytes(), true).is_none(), "{bad}");
        }
    }

    #[test]
    fn iso_8601_as_odcs_has_it() {
        let zulu = date_time(b"2023-10-27T09:57:00Z", true);
        for same in ["2023-10-27T09:57", "2023-10-27 09:57:00", "2023-10-27T11:57+0200", "2023-10-27T11:57:00,0+02"] {
            assert_eq!(date_time(same.as_bytes(), false), zulu, "{same}");
        }
        assert!(time(b"09:57", false).is_some() && time(b"09:57", true).is_none());
        assert!(date_time(b"2023-10-27", false).is_none());
    }

    #[test]
    fn dates() {
        assert_eq!(date(b"1970-01-02"), Some(DAY));
        assert_eq!(date(b"2000-03-01").zip(date(b"2000-02-29")).map(|(a, b)| a - b), Some(DAY));
        assert!(
            date(b"1900-02-29").is_none() && date(b"2000-1-01").is_none() && date("２000-01-01".as_bytes()).is_none()
        );
    }
}
