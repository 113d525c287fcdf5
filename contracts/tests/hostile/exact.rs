//! Numbers by the arithmetic of a schoolbook: slow, and plainly right.

use std::cmp::Ordering;

/// Exponents are held at ± this; numbers beyond are larger or smaller than all that tests compare them with.
const MOST_EXPONENT: i64 = 3_000;

/// `digits × 10^exponent`, without leading zeros; no digits for zero.
#[derive(Debug, Clone)]
pub struct Exact {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

impl Exact {
    /// A number as JSON writes it.
    pub fn new(text: &str) -> Self {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let exponent = exponent.parse::<i64>().unwrap_or(if exponent.starts_with('-') { i64::MIN } else { i64::MAX });
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = whole.trim_start_matches('-').bytes().chain(fraction.bytes()).map(|digit| digit - b'0');
        let digits: Vec<u8> = digits.skip_while(|digit| *digit == 0).collect();
        Self {
            negative: text.starts_with('-') && !digits.is_empty(),
            exponent: exponent.clamp(-MOST_EXPONENT, MOST_EXPONENT) - fraction.len() as i64,
            digits,
        }
    }

    /// Whether the exponent is the one written, so that a remainder means something.
    pub fn has_true_exponent(&self) -> bool {
        self.exponent.abs() < MOST_EXPONENT - 1_100
    }

    /// Its digits as a multiple of 10^`exponent`, which is not above its own.
    fn at(&self, exponent: i64) -> Vec<u8> {
        let zeros = if self.digits.is_empty() { 0 } else { self.exponent - exponent };
        self.digits.iter().copied().chain(std::iter::repeat_n(0, zeros as usize)).collect()
    }

    pub fn is_integer(&self) -> bool {
        let behind_point = usize::try_from(-self.exponent).unwrap_or(0);
        self.digits.iter().rev().take(behind_point).all(|digit| *digit == 0)
            && (self.digits.is_empty() || self.digits.len() > behind_point)
    }

    /// By long division.
    pub fn is_multiple_of(&self, step: &Self) -> bool {
        let exponent = self.exponent.min(step.exponent);
        let step = step.at(exponent);
        let mut rest: Vec<u8> = Vec::new();
        for digit in self.at(exponent) {
            if !rest.is_empty() || digit != 0 {
                rest.push(digit);
            }
            while order(&rest, &step).is_ge() {
                take_away(&mut rest, &step);
            }
        }
        rest.is_empty()
    }
}

impl PartialEq for Exact {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Exact {}

impl PartialOrd for Exact {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Exact {
    fn cmp(&self, other: &Self) -> Ordering {
        let exponent = self.exponent.min(other.exponent);
        let (a, b) = (self.at(exponent), other.at(exponent));
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => order(&a, &b),
            (true, true) => order(&b, &a),
        }
    }
}

/// Of whole numbers without leading zeros.
fn order(a: &[u8], b: &[u8]) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// `from -= what`, where `what` is not larger.
fn take_away(from: &mut Vec<u8>, what: &[u8]) {
    let mut borrow = false;
    for place in 0..from.len() {
        let taken = what.len().checked_sub(place + 1).map_or(0, |place| what[place]) + u8::from(borrow);
        let at = from.len() - 1 - place;
        borrow = from[at] < taken;
        from[at] = from[at] + if borrow { 10 } else { 0 } - taken;
    }
    let zeros = from.iter().take_while(|digit| **digit == 0).count();
    from.drain(..zeros);
}

#[test]
fn the_schoolbook_is_right() {
    let number = Exact::new;
    assert!(number("1") == number("1.0") && number("1e2") == number("100") && number("-0") == number("0e7"));
    assert!(number("-2") < number("-1.5") && number("0.1") > number("1e-2") && number("9e2") < number("1e3"));
    assert!(number("1.50e1").is_integer() && number("0.0").is_integer() && !number("5e-1").is_integer());
    assert!(number("19.99").is_multiple_of(&number("0.01")) && !number("19.995").is_multiple_of(&number("0.01")));
    assert!(number("-14").is_multiple_of(&number("7")) && !number("15").is_multiple_of(&number("7")));
    assert!(number("0").is_multiple_of(&number("3")) && !number("1e999").is_multiple_of(&number("3")));
}
