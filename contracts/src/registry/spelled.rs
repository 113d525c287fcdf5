//! Dates and times as text, without the heap.

use crate::time::civil_from_days;

/// A date or a time, spelled.
#[derive(Debug)]
pub(super) struct Spelled {
    bytes: [u8; 48],
    len: usize,
}

impl Default for Spelled {
    fn default() -> Self {
        Self { bytes: [0; 48], len: 0 }
    }
}

impl Spelled {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Seconds since the epoch and a fraction of so many digits, without a zone.
    pub(super) fn timestamp(&mut self, seconds: i64, fraction: i64, digits: u32) {
        self.date(seconds.div_euclid(86_400));
        self.put(b'T');
        self.time_of_day(seconds.rem_euclid(86_400), fraction, digits);
    }

    /// A length of time: `-1.5s`.
    pub(super) fn seconds(&mut self, negative: bool, seconds: u64, fraction: u64, digits: u32) {
        if negative {
            self.put(b'-');
        }
        self.number(seconds, 1);
        if digits > 0 {
            self.put(b'.');
            self.number(fraction, digits as usize);
        }
        self.put(b's');
    }

    /// Days since the epoch.
    pub(super) fn date(&mut self, days: i64) {
        let (year, month, day) = civil_from_days(days);
        // ISO 8601 has a sign before years that have not four digits.
        if year < 0 {
            self.put(b'-');
        } else if year > 9_999 {
            self.put(b'+');
        }
        self.number(year.unsigned_abs(), 4);
        self.put(b'-');
        self.number(month.unsigned_abs(), 2);
        self.put(b'-');
        self.number(day.unsigned_abs(), 2);
    }

    /// Seconds since midnight and a fraction of so many digits.
    pub(super) fn time_of_day(&mut self, seconds: i64, fraction: i64, digits: u32) {
        let seconds = seconds.unsigned_abs();
        for (mark, part) in [(None, seconds / 3_600), (Some(b':'), seconds / 60 % 60), (Some(b':'), seconds % 60)] {
            mark.into_iter().for_each(|mark| self.put(mark));
            self.number(part, 2);
        }
        if digits > 0 {
            self.put(b'.');
            self.number(fraction.unsigned_abs(), digits as usize);
        }
    }

    /// A number in at least so many digits.
    pub(super) fn number(&mut self, number: u64, width: usize) {
        let mut buffer = itoa::Buffer::new();
        let text = buffer.format(number);
        (text.len()..width).for_each(|_| self.put(b'0'));
        text.bytes().for_each(|digit| self.put(digit));
    }

    pub(super) fn put(&mut self, byte: u8) {
        // The longest is a year of twelve digits with nanoseconds: 40 bytes.
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }
}
