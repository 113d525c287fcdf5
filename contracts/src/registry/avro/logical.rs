//! Logical types as text.

use std::fmt::Write as _;

use super::schema::TimeKind;
use crate::{
    document::ParseError,
    registry::{spelled::Spelled, text::JsonText},
};

/// Most bytes of a decimal: their digits take time in the square of them.
const MAX_DECIMAL_BYTES: usize = 256;
const DAY_MICROS: i64 = 86_400_000_000;

/// Writes a decimal: a big-endian two's complement integer of so many digits behind the point.
pub(super) fn decimal(unscaled: &[u8], scale: usize, text: &mut JsonText<'_>) -> Result<(), ParseError> {
    if unscaled.len() > MAX_DECIMAL_BYTES {
        return Err(ParseError::Unparseable {
            message: format!("Avro: a decimal of {} bytes, and {MAX_DECIMAL_BYTES} are allowed", unscaled.len()),
        });
    }
    let negative = unscaled.first().is_some_and(|byte| *byte >= 0x80);
    if negative {
        text.raw(b"-")?;
    }
    // Most fit into what the machine can count with.
    let Some(offset) = 16_usize.checked_sub(unscaled.len()) else {
        return pointed(digits(unscaled, negative).as_bytes(), scale, text);
    };
    let mut wide = [if negative { 0xff } else { 0 }; 16];
    wide[offset..].copy_from_slice(unscaled);
    let magnitude = i128::from_be_bytes(wide).unsigned_abs();
    pointed(itoa::Buffer::new().format(magnitude).as_bytes(), scale, text)
}

/// Writes digits with a point before the last `scale` of them.
fn pointed(digits: &[u8], scale: usize, text: &mut JsonText<'_>) -> Result<(), ParseError> {
    if scale == 0 {
        return text.raw(digits);
    }
    let whole = digits.len().saturating_sub(scale);
    text.raw(if whole == 0 { b"0" } else { &digits[..whole] })?;
    text.raw(b".")?;
    for _ in digits.len()..scale {
        text.raw(b"0")?;
    }
    text.raw(&digits[whole..])
}

/// The decimal digits of a two's complement integer's magnitude.
fn digits(bytes: &[u8], negative: bool) -> String {
    const NINE_DIGITS: u64 = 1_000_000_000;
    // The magnitude, least significant first, in digits of base 10^9.
    let mut magnitude: Vec<u32> = vec![0];
    for byte in bytes {
        let byte = if negative { !byte } else { *byte };
        let mut carry = u64::from(byte);
        for digit in &mut magnitude {
            let value = u64::from(*digit) * 256 + carry;
            *digit = (value % NINE_DIGITS) as u32;
            carry = value / NINE_DIGITS;
        }
        if carry > 0 {
            magnitude.push(carry as u32);
        }
    }
    if negative {
        // −n is the complement of n, and one.
        for digit in &mut magnitude {
            *digit += 1;
            if u64::from(*digit) < NINE_DIGITS {
                break;
            }
            *digit = 0;
        }
        if magnitude.iter().all(|digit| *digit == 0) {
            magnitude.push(1);
        }
    }
    let mut text = String::new();
    let mut significant = magnitude.iter().rev().skip_while(|digit| **digit == 0);
    _ = write!(text, "{}", significant.next().unwrap_or(&0));
    significant.for_each(|digit| _ = write!(text, "{digit:09}"));
    text
}

/// The text form of a UUID.
pub(super) fn uuid(bytes: [u8; 16]) -> [u8; 36] {
    let mut text = [b'-'; 36];
    let places = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
    for (place, byte) in places.into_iter().zip(bytes) {
        let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble & 15)];
        text[place] = digit(byte >> 4);
        text[place + 1] = digit(byte);
    }
    text
}

/// Months, days and milliseconds, each a little-endian u32.
pub(super) fn duration(bytes: [u8; 12]) -> Spelled {
    let part = |at: usize| u64::from(u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]));
    let (months, days, millis) = (part(0), part(4), part(8));
    let mut text = Spelled::default();
    for (mark, number, width) in [(b'P', months, 1), (b'M', days, 1)] {
        text.put(mark);
        text.number(number, width);
    }
    [b'D', b'T'].into_iter().for_each(|mark| text.put(mark));
    text.number(millis / 1_000, 1);
    text.put(b'.');
    text.number(millis % 1_000, 3);
    text.put(b'S');
    text
}

/// Whether a count is a time of its kind: a time of day is less than a day.
pub(super) fn is_time(kind: TimeKind, count: i64) -> bool {
    match kind {
        TimeKind::TimeMillis => (0..DAY_MICROS / 1_000).contains(&count),
        TimeKind::TimeMicros => (0..DAY_MICROS).contains(&count),
        TimeKind::Date | TimeKind::Timestamp { .. } => true,
    }
}

/// Spells a date or a time.
pub(super) fn time(kind: TimeKind, count: i64) -> Spelled {
    let mut text = Spelled::default();
    match kind {
        TimeKind::Date => text.date(count),
        TimeKind::TimeMillis => text.time_of_day(count / 1_000, count % 1_000, 3),
        TimeKind::TimeMicros => text.time_of_day(count / 1_000_000, count % 1_000_000, 6),
        TimeKind::Timestamp { digits, local } => {
            let unit = 10_i64.pow(digits);
            text.timestamp(count.div_euclid(unit), count.rem_euclid(unit), digits);
            if !local {
                text.put(b'Z');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::DecodeLimits;

    fn decimal(unscaled: &[u8], scale: usize) -> Result<String, ParseError> {
        let mut out = Vec::new();
        let limits = DecodeLimits { max_text: 2_000, max_depth: 1 };
        super::decimal(unscaled, scale, &mut JsonText::new(&mut out, limits))?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn decimals_keep_each_digit() {
        for (bytes, scale, text) in [
            (&b""[..], 0, "0"),
            (b"", 2, "0.00"),
            (b"\x00", 0, "0"),
            (b"\x7b", 2, "1.23"),
            (b"\xfe\x59", 2, "-4.23"),
            (b"\x01", 3, "0.001"),
            (b"\xff", 3, "-0.001"),
            (b"\x80", 0, "-128"),
            (b"\x04\xd2", 4, "0.1234"),
        ] {
            assert_eq!(decimal(bytes, scale).unwrap(), text);
        }
        // 2^136 and −2^136, beyond what 128 bits hold.
        let mut large = [0; 18];
        large[0] = 1;
        assert_eq!(decimal(&large, 0).unwrap(), "87112285931760246646623899502532662132736");
        large[0] = 0xff;
        assert_eq!(decimal(&large, 1).unwrap(), "-8711228593176024664662389950253266213273.6");
        assert_eq!(decimal(&[0xff; 20], 0).unwrap(), "-1");
        assert_eq!(decimal(&[0; 20], 0).unwrap(), "0");
        assert!(decimal(&[1; 257], 0).is_err());
    }

    #[test]
    fn large_decimals_agree_with_small_ones() {
        for value in [0_i128, 1, -1, 999_999_999, -1_000_000_000, i128::MAX, i128::MIN] {
            let sign = if value < 0 { 0xff } else { 0 };
            let wide = [&[sign; 5][..], &value.to_be_bytes()].concat();
            assert_eq!(decimal(&wide, 0).unwrap(), value.to_string());
        }
    }

    fn spelled(kind: TimeKind, count: i64) -> String {
        String::from_utf8(time(kind, count).as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn times_are_iso_8601() {
        let timestamp = |digits, local| TimeKind::Timestamp { digits, local };
        for (kind, count, text) in [
            (TimeKind::Date, 19_657, "2023-10-27"),
            (TimeKind::Date, -1, "1969-12-31"),
            (TimeKind::TimeMillis, 35_881_950, "09:58:01.950"),
            (TimeKind::TimeMicros, 86_399_999_999, "23:59:59.999999"),
            (timestamp(3, false), 1_698_400_681_950, "2023-10-27T09:58:01.950Z"),
            (timestamp(6, true), -1, "1969-12-31T23:59:59.999999"),
            (timestamp(9, false), 0, "1970-01-01T00:00:00.000000000Z"),
            (timestamp(3, false), 253_402_300_800_000, "+10000-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(spelled(kind, count), text);
        }
        for count in [i64::MIN, i64::MAX] {
            for kind in [timestamp(3, false), timestamp(9, true)] {
                assert!(spelled(kind, count).len() < 48);
            }
        }
        assert!(spelled(TimeKind::Date, i64::from(i32::MIN)).starts_with('-'));
    }

    #[test]
    fn other_texts() {
        assert_eq!(&uuid([0xab; 16]), b"abababab-abab-abab-abab-abababababab");
        assert_eq!(duration([1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0]).as_bytes(), b"P1M2DT0.003S");
        assert!(duration([0xff; 12]).as_bytes().ends_with(b".295S"));
        assert!(!is_time(TimeKind::TimeMillis, 86_400_000) && !is_time(TimeKind::TimeMicros, -1));
    }
}
