//! A number, as written.

use std::fmt;

/// A JSON number. Its text is kept, so that it can be compared without loss.
#[derive(Clone, Copy)]
pub struct Number<'a> {
    pub(super) text: &'a str,
    pub(super) plain: bool,
}

impl<'a> Number<'a> {
    /// As written.
    #[must_use]
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// Whether it is written without fraction and exponent.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    /// Its value where it is written as an integer of 64 bits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        if self.plain { self.text.parse().ok() } else { None }
    }

    /// The nearest 64-bit float; infinite beyond its range.
    #[must_use]
    pub fn as_f64(&self) -> f64 {
        self.text.parse().unwrap_or(f64::NAN)
    }

    /// For readers that know 64-bit numbers alone: integers of 64 bits as they are, all others as the nearest float,
    /// held at the largest one.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Number {
        if let Some(integer) = self.as_i64() {
            return integer.into();
        }
        if self.plain
            && let Ok(integer) = self.text.parse::<u64>()
        {
            return integer.into();
        }
        let float = self.as_f64().clamp(f64::MIN, f64::MAX);
        serde_json::Number::from_f64(float).unwrap_or_else(|| 0.into())
    }
}

impl fmt::Debug for Number<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}
