//! The yardstick: what one would write without Faultline. One thread; `serde_json` parses, `jsonschema` validates, the
//! contract is checked by hand, evidence is a string, and windows are counted in a hash map.

use std::{fmt::Write as _, path::Path};

use faultline_contracts::time::UnixMillis;
use jsonschema::Validator;
use rdkafka::{
    Message,
    message::{BorrowedMessage, Headers},
};
use rustc_hash::FxHashMap;
use serde_json::Value;

use super::error::{Result, WireError, io};
use crate::orders::{WINDOW_MS, Windows};

const DATASET: &str = "urn:dp:orders:created";
const SCHEMA_ID: &str = "glue:orders.created:17";
const CONTRACT_ID: &str = "dc:orders.created:3";
const SCHEMA: &str = "schemas/orders.created/17.json";
const CURRENCIES: [&str; 18] = [
    "AUD", "BRL", "CAD", "CHF", "CNY", "CZK", "DKK", "EUR", "GBP", "INR", "JPY", "MXN", "NOK", "NZD", "PLN", "SEK",
    "SGD", "USD",
];

/// The loop's state.
#[derive(Debug)]
pub struct PlainLoop {
    schema: Validator,
    windows: FxHashMap<i64, [u64; 2]>,
    reasons: Vec<String>,
    gates: Vec<&'static str>,
    evidence: String,
}

impl PlainLoop {
    /// By the orders' schema in this catalog.
    ///
    /// # Errors
    /// The schema cannot be read or compiled.
    pub fn new(catalog: &Path) -> Result<Self> {
        let path = catalog.join(SCHEMA);
        let form = |message: String| WireError::Form { what: path.display().to_string(), message };
        let text = std::fs::read_to_string(&path).map_err(io(format!("read {}", path.display())))?;
        let schema: Value = serde_json::from_str(&text).map_err(|error| form(error.to_string()))?;
        let schema = jsonschema::options().should_validate_formats(true).build(&schema);
        Ok(Self {
            schema: schema.map_err(|error| form(error.to_string()))?,
            windows: FxHashMap::default(),
            reasons: Vec::new(),
            gates: Vec::new(),
            evidence: String::new(),
        })
    }

    /// What was counted.
    #[must_use]
    pub fn windows(&self) -> Windows {
        self.windows.iter().map(|(&start, &counts)| (start, counts)).collect()
    }

    /// Judges a record, counts it, and writes its evidence.
    pub fn evidence(&mut self, message: &BorrowedMessage<'_>) -> &str {
        self.judge(message.payload().unwrap_or_default());
        let time = UnixMillis(message.timestamp().to_millis().unwrap_or_default());
        let window = self.windows.entry(time.floor_to(WINDOW_MS).0).or_default();
        window[usize::from(!self.gates.is_empty())] += 1;

        let (mut producer, mut trace) = ("orders-svc", None);
        if let Some(headers) = message.headers() {
            for header in headers.iter() {
                let value = header.value.and_then(|value| std::str::from_utf8(value).ok());
                match header.key {
                    "x-obs-producer-service" => producer = value.unwrap_or(producer),
                    "traceparent" => trace = value.and_then(|value| value.get(3..35)),
                    _ => {}
                }
            }
        }
        self.write(message, time, producer, trace)
    }

    fn judge(&mut self, payload: &[u8]) {
        let Self { schema, reasons, gates, .. } = self;
        reasons.clear();
        gates.clear();
        let Ok(order) = serde_json::from_slice::<Value>(payload) else {
            reasons.push("UNPARSEABLE".to_owned());
            gates.push("SCHEMA");
            return;
        };
        if !schema.is_valid(&order) {
            reasons.extend(schema.iter_errors(&order).map(|error| format!("SCHEMA:{}", error.instance_path())));
            gates.push("SCHEMA");
        }
        let before = reasons.len();
        check_contract(&order, |field| reasons.push(format!("CONTRACT:{field}")));
        if reasons.len() > before {
            gates.push("CONTRACT");
        }
    }

    fn write(&mut self, message: &BorrowedMessage<'_>, time: UnixMillis, producer: &str, trace: Option<&str>) -> &str {
        let Self { reasons, gates, evidence, .. } = self;
        let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
        let result = if gates.is_empty() { "PASS" } else { "FAIL" };
        evidence.clear();
        _ = write!(
            evidence,
            r#"{{"evidence_id":"evd-{:012x}{partition:04x}{offset:010x}","timestamp":"{time}","dataset_urn":"{DATASET}","producer":{{"id":"{producer}","confidence":"HIGH"}},"validation":{{"result":"{result}","failed_gates":["#,
            time.0
        );
        list(evidence, gates);
        evidence.push_str(r#"],"reason_codes":["#);
        list(evidence, reasons);
        _ = write!(evidence, r#"]}},"source":{{"topic":"{topic}","partition":{partition},"offset":{offset}}}"#);
        if let Some(trace) = trace {
            _ = write!(evidence, r#","otel":{{"trace_id":"{trace}"}}"#);
        }
        _ = write!(evidence, r#","event_time":"{time}","schema":"{SCHEMA_ID}","contract":"{CONTRACT_ID}"}}"#);
        evidence
    }
}

fn list(out: &mut String, texts: &[impl AsRef<str>]) {
    for (place, text) in texts.iter().enumerate() {
        out.push_str(if place == 0 { "\"" } else { ",\"" });
        out.push_str(text.as_ref());
        out.push('"');
    }
}

/// The orders' contract, by hand: `broken` is called with each field that breaks it.
fn check_contract(order: &Value, mut broken: impl FnMut(&str)) {
    let text = |field: &str| order.get(field).and_then(Value::as_str);
    let is_number = |id: &str| !id.is_empty() && id.bytes().all(|digit| digit.is_ascii_digit());
    if !text("order_id").and_then(|id| id.strip_prefix("O-")).is_some_and(is_number) {
        broken("order_id");
    }
    if text("customer_id").is_none() {
        broken("customer_id");
    }
    if !order.get("total_amount").and_then(Value::as_f64).is_some_and(|amount| amount >= 0.0) {
        broken("total_amount");
    }
    if !text("currency").is_some_and(|currency| CURRENCIES.contains(&currency)) {
        broken("currency");
    }
    for item in order.get("items").and_then(Value::as_array).into_iter().flatten() {
        if item.get("sku").and_then(Value::as_str).is_none() {
            broken("items.sku");
        }
        if item.get("qty").and_then(Value::as_i64).is_none_or(|qty| qty < 1) {
            broken("items.qty");
        }
        if !item.get("price").and_then(Value::as_f64).is_some_and(|price| price >= 0.0) {
            broken("items.price");
        }
    }
}
