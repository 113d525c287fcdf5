//! Exact comparison of numbers as they are written, whatever their size.

use std::cmp::Ordering;

use crate::document::Number;

/// A decimal number taken apart: `0.d₁d₂…dₙ × 10^magnitude`, where neither d₁ nor dₙ is zero.
///
/// Exponents are held at ±10¹⁵, so numbers beyond 10^(10¹⁵) compare by their digits alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decimal<'a> {
    negative: bool,
    /// The digits in front of the point, then those behind it.
    digits: [&'a [u8]; 2],
    magnitude: i64,
}

impl<'a> Decimal<'a> {
    /// Takes apart a number as JSON writes it; `None` for any other text.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = text.split_once(['e', 'E']).map_or((text, None), |(m, e)| (m, Some(e)));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let exponent = exponent.map_or(Some(0), parse_exponent)?;
        let whole = trim_start(whole.as_bytes());
        let fraction = trim_end(fraction.as_bytes());
        let (digits, magnitude) = if whole.is_empty() {
            let significant = trim_start(fraction);
            ([significant, &[]], -((fraction.len() - significant.len()) as i64))
        } else if fraction.is_empty() {
            ([trim_end(whole), &[]], whole.len() as i64)
        } else {
            ([whole, fraction], whole.len() as i64)
        };
        let zero = digits[0].is_empty();
        Some(Self {
            negative: negative && !zero,
            digits,
            magnitude: if zero { 0 } else { magnitude.saturating_add(exponent) },
        })
    }

    fn is_zero(&self) -> bool {
        self.digits[0].is_empty()
    }

    /// How many significant digits.
    fn len(&self) -> i64 {
        (self.digits[0].len() + self.digits[1].len()) as i64
    }

    fn iter(&self) -> impl Iterator<Item = u8> {
        self.digits[0].iter().chain(self.digits[1]).copied()
    }

    /// Whether it has no fractional part.
    pub(super) fn is_integer(&self) -> bool {
        self.len() <= self.magnitude.max(0)
    }

    /// Whether it is an integer multiple of `step`. Exact for steps of up to 19 significant digits; `None` beyond.
    fn is_multiple_of(&self, step: &Self) -> Option<bool> {
        if self.is_zero() {
            return Some(true);
        }
        let divisor =
            step.iter().try_fold(0_u64, |sum, digit| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')))?;
        if divisor == 0 {
            return None;
        }
        // Both as integer × power of ten. Without trailing zeros, a coarser step's power of ten cannot divide us.
        let shift = (self.magnitude - self.len()) - (step.magnitude - step.len());
        let Ok(shift) = u64::try_from(shift) else { return Some(false) };
        let divisor = u128::from(divisor);
        let remainder = self.iter().fold(0, |rest, digit| (rest * 10 + u128::from(digit - b'0')) % divisor);
        Some((remainder * power_of_ten(shift, divisor)).is_multiple_of(divisor))
    }
}

impl PartialEq for Decimal<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal<'_> {}

impl PartialOrd for Decimal<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| if number.is_zero() { 0 } else { 1 - 2 * i8::from(number.negative) };
        sign(self).cmp(&sign(other)).then_with(|| {
            let size = self.magnitude.cmp(&other.magnitude).then_with(|| self.iter().cmp(other.iter()));
            if self.negative { size.reverse() } else { size }
        })
    }
}

impl std::hash::Hash for Decimal<'_> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.negative.hash(state);
        self.magnitude.hash(state);
        self.iter().for_each(|digit| digit.hash(state));
    }
}

fn parse_exponent(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let size = digits.iter().try_fold(0_i64, |sum, digit| {
        digit.is_ascii_digit().then(|| (sum * 10 + i64::from(digit - b'0')).min(1_000_000_000_000_000))
    })?;
    Some(if negative { -size } else { size })
}

fn trim_start(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    &digits[zeros..]
}

fn trim_end(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().rev().take_while(|digit| **digit == b'0').count();
    &digits[..digits.len() - zeros]
}

/// A number of at most 18 digits without an exponent, as an integer and the power of ten that it is to be divided by.
fn scaled(text: &str) -> Option<(i64, i64)> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.len() > 19 {
        return None;
    }
    let (mut value, mut scale, mut behind_point) = (0_i64, 1_i64, 1_i64);
    for &byte in digits {
        match byte {
            b'0'..=b'9' if scale < 100_000_000_000_000_000 && value < 100_000_000_000_000_000 => {
                value = value * 10 + i64::from(byte - b'0');
                scale *= behind_point;
            }
            b'.' if behind_point == 1 => behind_point = 10,
            _ => return None,
        }
    }
    Some((if negative { -value } else { value }, scale))
}

/// 10^`exponent` modulo `modulus`, which is below 2^64.
fn power_of_ten(mut exponent: u64, modulus: u128) -> u128 {
    let (mut power, mut base) = (1 % modulus, 10 % modulus);
    while exponent > 0 {
        if exponent & 1 == 1 {
            power = power * base % modulus;
        }
        base = base * base % modulus;
        exponent >>= 1;
    }
    power
}

/// A bound of a rule, ready for comparison.
#[derive(Debug)]
pub(super) struct Bound {
    text: Box<str>,
    integer: Option<i64>,
}

impl Bound {
    /// `None` where `text` is no number as JSON writes it.
    pub(super) fn new(text: &str) -> Option<Self> {
        Decimal::parse(text)?;
        Some(Self { text: text.into(), integer: text.parse().ok() })
    }

    /// How `number` compares to this bound.
    pub(super) fn order_of(&self, number: Number<'_>) -> Ordering {
        if let (Some(bound), Some((value, scale))) = (self.integer, scaled(number.text())) {
            return i128::from(value).cmp(&(i128::from(bound) * i128::from(scale)));
        }
        Decimal::parse(number.text()).cmp(&Decimal::parse(&self.text))
    }

    /// Whether `number` is an integer multiple of this one. By 64-bit floats where this one has over 19 digits.
    pub(super) fn divides(&self, number: Number<'_>) -> bool {
        if let (Some(step), Some(value)) = (self.integer, number.as_i64())
            && step > 0
        {
            return value % step == 0;
        }
        let exact = Decimal::parse(number.text())
            .zip(Decimal::parse(&self.text))
            .and_then(|(value, step)| value.is_multiple_of(&step));
        exact.unwrap_or_else(|| number.as_f64() % self.text.parse().unwrap_or(f64::NAN) == 0.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decimal(text: &str) -> Decimal<'_> {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn equal_numbers_in_other_words() {
        for (a, b) in [("0", "-0.00e7"), ("1", "1.0"), ("100", "1E2"), ("0.01", "1e-2"), ("120.50", "1.205e+2")] {
            assert_eq!(decimal(a), decimal(b), "{a} {b}");
        }
    }

    #[test]
    fn order_beyond_floats() {
        let rising = ["-1e999", "-9007199254740993", "-9007199254740992.5", "-0.1", "0", "1e-999", "0.1", "0.11", "1"];
        assert!(rising.windows(2).all(|pair| decimal(pair[0]) < decimal(pair[1])));
        assert!(decimal("123456789012345678901234567890") < decimal("123456789012345678901234567891"));
        assert!(decimal("1e308") < decimal("1e309"));
    }

    #[test]
    fn integers() {
        for (text, integer) in [
            ("5.0", true),
            ("5", true),
            ("5.1", false),
            ("0.0", true),
            ("1e999", true),
            ("1e-1", false),
            ("10e-1", true),
        ] {
            assert_eq!(decimal(text).is_integer(), integer, "{text}");
        }
    }

    #[test]
    fn multiples() {
        for (value, step, whole) in [
            ("0.3", "0.1", true),
            ("19.99", "0.01", true),
            ("19.995", "0.01", false),
            ("100", "20", true),
            ("25", "50", false),
            ("1e999", "3", false),
            ("3e999", "3", true),
            ("0", "7", true),
            ("-4", "2", true),
        ] {
            assert_eq!(decimal(value).is_multiple_of(&decimal(step)), Some(whole), "{value} {step}");
        }
    }

    #[test]
    fn no_numbers() {
        for text in ["", "-", "a", "1e", ".5", "NaN", "1.2.3", "+1"] {
            assert!(Decimal::parse(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_short_way_is_the_exact_way(text in "-?(0|[1-9][0-9]{0,19})(\\.[0-9]{1,19})?", bound in -1_000_000_i64..1_000_000) {
            if let Some((value, scale)) = scaled(&text) {
                let exact = decimal(&text).cmp(&decimal(&bound.to_string()));
                prop_assert_eq!(i128::from(value).cmp(&(i128::from(bound) * i128::from(scale))), exact);
            }
        }

        #[test]
        fn order_and_multiples_as_integers_have_them(a in -100_000_i64..100_000, b in -100_000_i64..100_000, step in 1_i64..500) {
            let scaled = |n: i64| format!("{}{}.{:02}", if n < 0 { "-" } else { "" }, n.abs() / 100, n.abs() % 100);
            let (x, y, z) = (scaled(a), scaled(b), scaled(step));
            prop_assert_eq!(decimal(&x).cmp(&decimal(&y)), a.cmp(&b));
            prop_assert_eq!(decimal(&x).is_multiple_of(&decimal(&z)), Some(a % step == 0));
        }
    }
}
