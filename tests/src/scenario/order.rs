//! Orders as the orders service sends them, and the trace headers that some carry.

use serde::Serialize;

use super::random::Random;

const CURRENCIES: [&str; 10] = ["USD", "USD", "USD", "USD", "USD", "USD", "EUR", "EUR", "EUR", "GBP"];

/// An order. Without a customer it still keeps its JSON Schema, which lets `customer_id` be absent, and breaks
/// its contract, which requires it.
#[derive(Debug, Clone, Serialize)]
pub struct Order {
    /// `O-99123`
    pub order_id: String,
    /// `C-48213`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_id: Option<String>,
    /// Sum over items.
    pub total_amount: f64,
    /// ISO 4217 code.
    pub currency: &'static str,
    /// At least one.
    pub items: Vec<Item>,
}

/// A line of an order.
#[derive(Debug, Clone, Serialize)]
pub struct Item {
    /// What.
    pub sku: String,
    /// How many.
    pub qty: u64,
    /// Price of one.
    pub price: f64,
}

impl Order {
    /// An order of one to four items, from a customer.
    pub fn random(number: u64, random: &mut Random) -> Self {
        let mut cents = 0;
        let items = (0..1 + random.below(4))
            .map(|_| {
                let (qty, price) = (1 + random.below(3), 499 + random.below(14_500));
                cents += qty * price;
                Item { sku: format!("SKU-{:05}", random.below(100_000)), qty, price: amount(price) }
            })
            .collect();
        Self {
            order_id: format!("O-{number}"),
            customer_id: Some(format!("C-{:05}", 10_000 + random.below(90_000))),
            total_amount: amount(cents),
            currency: random.pick(&CURRENCIES),
            items,
        }
    }

    /// The same order as the faulty release sends it.
    #[must_use]
    pub fn without_customer(self) -> Self {
        Self { customer_id: None, ..self }
    }
}

/// Cents as an amount; exact to the cent for any that an order reaches, since shortest printing restores it.
fn amount(cents: u64) -> f64 {
    cents as f64 / 100.0
}

/// A W3C trace context: whose request made a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// 16 bytes.
    pub trace_id: u128,
    /// 8 bytes: the span that sent the record.
    pub span_id: u64,
    /// Whether the trace was recorded.
    pub sampled: bool,
}

impl TraceContext {
    /// A fresh one; ids of only zeros are invalid and do not come up.
    pub fn random(random: &mut Random) -> Self {
        Self {
            trace_id: u128::from(random.bits()) << 64 | u128::from(random.bits() | 1),
            span_id: random.bits() | 1,
            sampled: !random.per_mille(100),
        }
    }

    /// The value of the `traceparent` header.
    pub fn traceparent(&self) -> String {
        format!("00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}
