//! Patterns of the JDK's `DateTimeFormatter`, in which ODCS gives the formats of dates, times and timestamps.
//!
//! Known letters: `y u M L d D H k h K m s S n a E X x Z`, text in quotes, optional parts in brackets. Months and days
//! as words are English. What names a zone or an era (`V z O G`), a quarter or a week is reported as unsupported.

use super::time::{DAY, Fields, days_from_civil};

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(in crate::validator) struct JdkPattern(Vec<Part>);

#[derive(Debug, Clone)]
enum Part {
    Text(Box<str>),
    Field(char, usize),
    Optional(Vec<Part>),
}

/// What has been read of a time.
#[derive(Debug, Clone, Default)]
struct Reading {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: Option<i64>,
    half_hour: Option<i64>,
    afternoon: Option<bool>,
    minute: i64,
    second: i64,
    nanos: i128,
    offset: i64,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

impl JdkPattern {
    /// # Errors
    /// Says what is not known or not balanced.
    pub(super) fn parse(pattern: &str) -> Result<Self, String> {
        let mut open: Vec<Vec<Part>> = vec![Vec::new()];
        let mut characters = pattern.chars().peekable();
        while let Some(first) = characters.next() {
            let part = match first {
                '\'' => Part::Text(quoted(&mut characters)?),
                '[' => {
                    if open.len() > 8 {
                        return Err("optional parts nested too deep".to_owned());
                    }
                    open.push(Vec::new());
                    continue;
                }
                ']' => match open.pop() {
                    Some(parts) if !open.is_empty() => Part::Optional(parts),
                    _ => return Err("']' without '['".to_owned()),
                },
                'a'..='z' | 'A'..='Z' => {
                    let mut count = 1;
                    while characters.next_if_eq(&first).is_some() {
                        count += 1;
                    }
                    if !is_known(first, count) {
                        return Err(format!("'{}' in a time pattern", first.to_string().repeat(count.min(10))));
                    }
                    Part::Field(first, count)
                }
                '{' | '}' | '#' => return Err(format!("'{first}' is reserved in time patterns")),
                other => Part::Text(other.to_string().into()),
            };
            if let Some(parts) = open.last_mut() {
                parts.push(part);
            }
        }
        match open.pop() {
            Some(parts) if open.is_empty() && !parts.is_empty() => Ok(Self(parts)),
            Some(_) if open.is_empty() => Err("an empty time pattern".to_owned()),
            _ => Err("'[' without ']'".to_owned()),
        }
    }

    /// The time that `text` says: nanoseconds since 1970, or since midnight where the pattern has no year.
    pub(super) fn instant(&self, text: &str) -> Option<i128> {
        let mut reading = Reading::default();
        let rest = read(&self.0, text, &mut reading)?;
        if rest.is_empty() { reading.instant() } else { None }
    }
}

fn is_known(letter: char, count: usize) -> bool {
    match letter {
        'y' | 'u' => count == 1 || count == 2 || count == 4,
        'M' | 'L' | 'E' => count <= 4,
        'd' | 'H' | 'h' | 'K' | 'k' | 'm' | 's' => count <= 2,
        'D' => count == 1 || count == 3,
        'S' | 'n' => count <= 9,
        'a' => count == 1,
        'X' | 'x' => count <= 3,
        'Z' => count <= 3 || count == 5,
        _ => false,
    }
}

fn quoted(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Box<str>, String> {
    let mut text = String::new();
    loop {
        match characters.next() {
            Some('\'') if characters.next_if_eq(&'\'').is_some() => text.push('\''),
            Some('\'') if text.is_empty() => return Ok("'".into()),
            Some('\'') => return Ok(text.into()),
            Some(other) => text.push(other),
            None => return Err("a quote without end in a time pattern".to_owned()),
        }
    }
}

/// Reads the parts from the front of `text` and gives what is left.
fn read<'t>(parts: &[Part], mut text: &'t str, reading: &mut Reading) -> Option<&'t str> {
    for (place, part) in parts.iter().enumerate() {
        match part {
            Part::Text(expected) => text = text.strip_prefix(&**expected)?,
            Part::Optional(parts) => {
                let mut attempt = reading.clone();
                if let Some(rest) = read(parts, text, &mut attempt) {
                    (*reading, text) = (attempt, rest);
                }
            }
            Part::Field(letter, count) => {
                // Digits that follow without a separator belong to the next field: then this one is as wide as it says.
                let adjacent =
                    matches!(parts.get(place + 1), Some(Part::Field(next, _)) if "yuMLdDHkhKmsSn".contains(*next));
                text = reading.field(*letter, *count, adjacent, text)?;
            }
        }
    }
    Some(text)
}

impl Reading {
    fn field<'t>(&mut self, letter: char, count: usize, adjacent: bool, text: &'t str) -> Option<&'t str> {
        match letter {
            'M' | 'L' if count >= 3 => {
                let (index, rest) = word(&MONTHS, count == 4, text)?;
                self.month = Some(index + 1);
                return Some(rest);
            }
            'E' => return word(&DAYS, count == 4, text).map(|(_, rest)| rest),
            'a' => {
                let half = text.get(..2)?;
                self.afternoon = Some(match half {
                    "AM" => false,
                    "PM" => true,
                    _ => return None,
                });
                return text.get(2..);
            }
            'X' | 'x' | 'Z' => return self.zone(letter, count, text),
            _ => {}
        }
        let available = text.bytes().take_while(u8::is_ascii_digit).count();
        let widest = match letter {
            'y' | 'u' if count == 2 => 2,
            'y' | 'u' | 'n' => 9,
            'D' => 3,
            'S' => count,
            _ => 2,
        };
        let fixed = adjacent || letter == 'S' || count >= 2 && !(matches!(letter, 'y' | 'u' | 'n') && count != 2);
        // `yyyy` is four digits or more only with a sign in the JDK; four digits is what it prints.
        let width = if fixed || count == 4 { count } else { available.min(widest) };
        if width < count || width > available {
            return None;
        }
        let mut fields = Fields(text.as_bytes());
        if letter == 'S' {
            self.nanos = Fields(text.as_bytes().get(..width)?).fraction()?;
            return text.get(width..);
        }
        let value = fields.digits(width)?;
        let within = |low: i64, high: i64| (low..=high).contains(&value).then_some(value);
        match letter {
            'y' | 'u' => self.year = Some(if count == 2 { 2000 + value } else { value }),
            'M' | 'L' => self.month = Some(within(1, 12)?),
            'd' => self.day = Some(within(1, 31)?),
            'D' => self.day_of_year = Some(within(1, 366)?),
            'H' => self.hour = Some(within(0, 23)?),
            'k' => self.hour = Some(within(1, 24)? % 24),
            'h' => self.half_hour = Some(within(1, 12)? % 12),
            'K' => self.half_hour = Some(within(0, 11)?),
            'm' => self.minute = within(0, 59)?,
            's' => self.second = within(0, 59)?,
            _ => self.nanos = i128::from(within(0, 999_999_999)?),
        }
        text.get(width..)
    }

    /// `X` `XX` `XXX` with `Z` for zero, `x` the same without, `Z` `ZZZ` as `xx` and `ZZZZZ` as `XXX`.
    fn zone<'t>(&mut self, letter: char, count: usize, text: &'t str) -> Option<&'t str> {
        let (zulu, minutes, colon) = match (letter, count) {
            ('Z', 1..=3) => (false, true, false),
            ('Z', 5) => (true, true, true),
            ('X' | 'x', 1) => (letter == 'X', false, false),
            ('X' | 'x', 2) => (letter == 'X', true, false),
            ('X' | 'x', 3) => (letter == 'X', true, true),
            _ => return None,
        };
        if zulu && let Some(rest) = text.strip_prefix('Z') {
            self.offset = 0;
            return Some(rest);
        }
        let mut fields = Fields(text.as_bytes());
        let sign = if fields.one_of(b"+-")? == b'-' { -1 } else { 1 };
        let mut offset = fields.digits(2).filter(|hours| *hours <= 18)? * 3_600;
        if colon {
            fields.one_of(b":")?;
        }
        if minutes || fields.0.first().is_some_and(u8::is_ascii_digit) {
            offset += fields.digits(2).filter(|minutes| *minutes <= 59)? * 60;
        }
        self.offset = sign * offset;
        text.get(text.len() - fields.0.len()..)
    }

    fn instant(&self) -> Option<i128> {
        let days = match (self.year, self.month, self.day, self.day_of_year) {
            (Some(year), None, None, Some(day)) => days_from_civil(year, 1, 1)? + day - 1,
            (Some(year), month, day, _) => days_from_civil(year, month.unwrap_or(1), day.unwrap_or(1))?,
            // Without a year: a leap year, so that any day and month that there can be are taken.
            (None, Some(month), day, _) => days_from_civil(1972, month, day.unwrap_or(1))?,
            (None, None, ..) => 0,
        };
        let hour = match (self.hour, self.half_hour) {
            (Some(hour), _) => hour,
            (None, Some(hour)) => hour + if self.afternoon == Some(true) { 12 } else { 0 },
            (None, None) => 0,
        };
        let seconds = hour * 3_600 + self.minute * 60 + self.second - self.offset;
        Some(i128::from(days) * DAY + i128::from(seconds) * 1_000_000_000 + self.nanos)
    }
}

/// One of the words, whole or its first three letters.
fn word<'t>(words: &[&str], whole: bool, text: &'t str) -> Option<(i64, &'t str)> {
    words.iter().enumerate().find_map(|(index, word)| {
        let word = if whole { word } else { word.get(..3)? };
        text.strip_prefix(word).map(|rest| (index as i64, rest))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instant(pattern: &str, text: &str) -> Option<i128> {
        JdkPattern::parse(pattern).unwrap().instant(text)
    }

    #[test]
    fn the_same_time_in_many_patterns() {
        let expected = super::super::time::date_time(b"2023-10-27T21:05:09Z", true);
        for (pattern, text) in [
            ("yyyy-MM-dd'T'HH:mm:ssXXX", "2023-10-27T21:05:09Z"),
            ("yyyy-MM-dd'T'HH:mm:ss[.SSS]XXX", "2023-10-27T23:05:09.000+02:00"),
            ("yyyyMMddHHmmss", "20231027210509"),
            ("d/M/yy h:mm:ss a", "27/10/23 9:05:09 PM"),
            ("EEE, dd MMM yyyy HH:mm:ss Z", "Fri, 27 Oct 2023 23:05:09 +0200"),
            ("uuuu-DDD HH:mm:ss", "2023-300 21:05:09"),
            ("dd MMMM yyyy 'at' HH'h'mm:ss", "27 October 2023 at 21h05:09"),
        ] {
            assert_eq!(instant(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn what_does_not_fit() {
        for (pattern, text) in [
            ("yyyy-MM-dd", "2023-02-29"),
            ("yyyy-MM-dd", "2023-2-01"),
            ("yyyy-MM-dd", "2023-02-01T"),
            ("HH:mm", "24:00"),
            ("HH:mm:ss.SSS", "10:00:00.1"),
            ("dd.MM.yyyy", "2023-10-27"),
            ("yyyy", "１２３４"),
        ] {
            assert_eq!(instant(pattern, text), None, "{pattern} {text}");
        }
    }

    #[test]
    fn unsupported_patterns_say_so() {
        for pattern in ["", "yyyy-MM-dd VV", "yyyy[", "yyyy]", "'open", "{", "bbbb", "HHH", "XXXX", "MMMMM"] {
            assert!(JdkPattern::parse(pattern).is_err(), "{pattern}");
        }
    }
}
