//! Generated orders, and how many of them keep the contract.

use std::{collections::BTreeMap, fmt::Write as _};

use faultline_contracts::time::UnixMillis;

use crate::random::SplitMix64;

/// The example catalog that knows orders.
pub const CATALOG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../contracts/examples/orders");
/// Length of a compliance window in milliseconds.
pub const WINDOW_MS: i64 = 300_000;
/// The first window's first moment.
const START: UnixMillis = UnixMillis(1_698_400_500_000);
/// Event time from the first record to the last, in milliseconds: six windows.
const SPAN_MS: u64 = 1_800_000;
/// How far a record's time lies from where its number would put it, in milliseconds, at most.
const JITTER_MS: u64 = 5_000;
const SEED: u64 = 42;

/// Records of windows by first moment in milliseconds: those that keep the contract, and those that break it.
pub type Windows = BTreeMap<i64, [u64; 2]>;

/// Counts one record.
pub fn count(windows: &mut Windows, time: UnixMillis, broken: bool) {
    windows.entry(time.floor_to(WINDOW_MS).0).or_default()[usize::from(broken)] += 1;
}

/// What is wrong with an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Cut,
    Currency,
    Amount,
    Customer,
}

impl Fault {
    /// 0.1 % are cut off, 0.5 % in no known currency, 1 % with a text for an amount, 5 % without their customer.
    fn draw(random: &mut SplitMix64) -> Self {
        match random.below(1_000) {
            0 => Self::Cut,
            1..6 => Self::Currency,
            6..16 => Self::Amount,
            16..66 => Self::Customer,
            _ => Self::None,
        }
    }
}

/// An order as it is sent. The buffers are used again for the next.
#[derive(Debug, Clone, Default)]
pub struct Order {
    /// Its number, from 0.
    pub number: u64,
    /// Event time.
    pub time: UnixMillis,
    /// Whether it breaks its contract.
    pub broken: bool,
    /// Key.
    pub key: String,
    /// Value: about 325 bytes of JSON.
    pub text: String,
    /// `x-obs-producer-service`, on 70 % of them.
    pub producer: Option<&'static str>,
    /// `traceparent`, on half of them; empty on the others.
    pub traceparent: String,
}

/// The same orders on every run.
#[derive(Debug, Clone)]
pub struct Orders {
    random: SplitMix64,
    count: u64,
    next: u64,
}

impl Orders {
    /// So many orders.
    #[must_use]
    pub fn new(count: u64) -> Self {
        Self { random: SplitMix64(SEED), count, next: 0 }
    }

    /// Writes the next order over `order`; says whether there was one.
    pub fn next_into(&mut self, order: &mut Order) -> bool {
        let Self { random, count, next } = self;
        if *next == *count {
            return false;
        }
        order.number = *next;
        *next += 1;
        let place = order.number * SPAN_MS / *count + random.below(2 * JITTER_MS + 1);
        order.time = START.plus(place.saturating_sub(JITTER_MS).min(SPAN_MS - 1) as i64);
        let fault = Fault::draw(random);
        order.broken = fault != Fault::None;
        order.key.clear();
        _ = write!(order.key, "O-{:010}", order.number);
        write_json(order, fault, random);
        order.producer = (random.below(100) < 70)
            .then(|| random.of(&["orders-service", "orders-svc", "checkout-service", "pos-gateway"]));
        order.traceparent.clear();
        if random.below(100) < 50 {
            let [high, low, span] = std::array::from_fn(|_| 1 + random.below(u64::MAX));
            _ = write!(order.traceparent, "00-{high:016x}{low:016x}-{span:016x}-01");
        }
        true
    }
}

fn write_json(order: &mut Order, fault: Fault, random: &mut SplitMix64) {
    let Order { key, text, time, .. } = order;
    text.clear();
    _ = write!(text, r#"{{"order_id":"{key}","#);
    let customer = random.below(300_000);
    if fault != Fault::Customer {
        _ = write!(text, r#""customer_id":"C-{customer:08}","#);
    }
    let quote = if fault == Fault::Amount { "\"" } else { "" };
    let (euros, cents) = amount(random, 99_900);
    _ = write!(text, r#""total_amount":{quote}{euros}.{cents:02}{quote},"#);
    let currency = random.of(&["EUR", "USD", "GBP", "JPY", "CHF"]);
    let currency = if fault == Fault::Currency { "XXX" } else { currency };
    _ = write!(text, r#""currency":"{currency}","items":["#);
    for item in 0..1 + random.below(3) {
        let comma = if item > 0 { "," } else { "" };
        let (sku, qty, (euros, cents)) = (random.below(100_000), 1 + random.below(9), amount(random, 30_000));
        _ = write!(text, r#"{comma}{{"sku":"SKU-{sku:06}","qty":{qty},"price":{euros}.{cents:02}}}"#);
    }
    let street = random.of(&["Hauptstrasse", "Rue de Rivoli", "Baker Street", "Gran Via"]);
    let (number, zip) = (1 + random.below(200), random.below(100_000));
    let [city, country] = random.of(&[["Berlin", "DE"], ["Paris", "FR"], ["London", "GB"]]);
    _ = write!(
        text,
        r#"],"created_at":"{time}","shipping_address":{{"street":"{street} {number}","city":"{city}","zip":"{zip:05}","country":"{country}"}}}}"#,
    );
    if fault == Fault::Cut {
        text.truncate(text.len() / 2);
    }
}

fn amount(random: &mut SplitMix64, below: u64) -> (u64, u64) {
    let cents = 50 + random.below(below);
    (cents / 100, cents % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_as_said() {
        const COUNT: u64 = 20_000;
        let (mut orders, mut order) = (Orders::new(COUNT), Order::default());
        let (mut bytes, mut named, mut traced, mut windows) = (0, 0, 0, Windows::new());
        while orders.next_into(&mut order) {
            bytes += order.text.len() as u64;
            named += u64::from(order.producer.is_some());
            traced += u64::from(!order.traceparent.is_empty());
            assert!(order.traceparent.is_empty() || order.traceparent.len() == 55, "{}", order.traceparent);
            count(&mut windows, order.time, order.broken);
        }
        let [pass, fail] = windows.values().fold([0, 0], |sum, window| [sum[0] + window[0], sum[1] + window[1]]);
        assert_eq!((pass + fail, windows.len()), (COUNT, 6));
        assert!((300..350).contains(&(bytes / COUNT)), "{} bytes", bytes / COUNT);
        assert!((600..720).contains(&(fail * 10_000 / COUNT)), "{fail} of {COUNT} are broken");
        assert!((68..72).contains(&(named * 100 / COUNT)) && (48..52).contains(&(traced * 100 / COUNT)));
    }
}
