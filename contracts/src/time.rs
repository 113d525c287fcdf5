//! Points in time, as Kafka has them: milliseconds since the Unix epoch.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Milliseconds since 1970-01-01T00:00:00Z. Shown, and in JSON, as RFC 3339 with milliseconds
/// (`2023-10-27T09:58:01.950Z`); in binary formats a plain integer.
///
/// ```
/// use faultline_contracts::time::UnixMillis;
/// let t: UnixMillis = "2023-10-27T09:57:45Z".parse().unwrap();
/// assert_eq!(t.to_string(), "2023-10-27T09:57:45.000Z");
/// assert_eq!(t.floor_to(300_000).to_string(), "2023-10-27T09:55:00.000Z");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixMillis(pub i64);

/// A text that is no RFC 3339 point in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not an RFC 3339 time such as 2023-10-27T09:57:45Z")]
pub struct TimeError(pub String);

impl UnixMillis {
    /// Length of the RFC 3339 text of years 0 to 9999.
    pub const TEXT_LEN: usize = 24;

    /// The start of the tumbling interval of `width` milliseconds that holds this time, held at the start of the range.
    #[must_use]
    pub fn floor_to(self, width: i64) -> Self {
        Self(self.0.saturating_sub(self.0.rem_euclid(width.max(1))))
    }

    /// This time plus `millis`, held at the ends of the range.
    #[must_use]
    pub fn plus(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Milliseconds from `earlier` to this time; negative when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Appends the RFC 3339 text without going through `fmt`. Years outside 0..=9999 are held at the ends.
    pub fn write_to(self, out: &mut Vec<u8>) {
        const DAY: i64 = 86_400_000;
        let ms = self.0.clamp(-62_167_219_200_000, 253_402_300_799_999);
        let (days, time) = (ms.div_euclid(DAY), ms.rem_euclid(DAY) as u32);
        let (year, month, day) = civil_from_days(days);
        let (year, seconds, thousandths) = (year as u32, time / 1_000, time % 1_000);
        let [[y1, y2], [y3, y4]] = [two(year / 100), two(year % 100)];
        let [[m1, m2], [d1, d2]] = [month, day].map(|part| two(part as u32));
        let [[h1, h2], [n1, n2], [s1, s2]] = [seconds / 3_600, seconds / 60 % 60, seconds % 60].map(two);
        let ([f2, f3], f1) = (two(thousandths % 100), b'0' + (thousandths / 100) as u8);
        out.extend_from_slice(&[
            y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', n1, n2, b':', s1, s2, b'.', f1, f2, f3,
            b'Z',
        ]);
    }
}

/// Two digits.
fn two(number: u32) -> [u8; 2] {
    [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]
}

/// Proleptic Gregorian date of a day number; Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
pub(crate) fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(Self::TEXT_LEN);
        self.write_to(&mut text);
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl std::str::FromStr for UnixMillis {
    type Err = TimeError;
    fn from_str(text: &str) -> Result<Self, TimeError> {
        let at: jiff::Timestamp = text.trim().parse().map_err(|_| TimeError(text.chars().take(64).collect()))?;
        Ok(Self(at.as_millisecond()))
    }
}

impl Serialize for UnixMillis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_i64(self.0) }
    }
}

impl<'de> Deserialize<'de> for UnixMillis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
            text.parse().map_err(de::Error::custom)
        } else {
            i64::deserialize(deserializer).map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_agrees_with_jiff_over_the_whole_range() {
        let mut ms = -62_167_219_200_000_i64;
        while ms < 253_402_207_200_999 {
            let expected = jiff::Timestamp::from_millisecond(ms).unwrap();
            assert_eq!(UnixMillis(ms).to_string(), format!("{expected:.3}"), "{ms}");
            assert_eq!(UnixMillis(ms).to_string().parse::<UnixMillis>().unwrap(), UnixMillis(ms));
            ms += 86_400_000 * 97 + 12_345_679;
        }
    }

    #[test]
    fn extremes_do_not_panic() {
        for ms in [i64::MIN, -1, 0, i64::MAX] {
            assert_eq!(UnixMillis(ms).to_string().len(), UnixMillis::TEXT_LEN);
            let _ = UnixMillis(ms).floor_to(300_000).plus(i64::MAX);
        }
    }
}
