//! Payloads broken in many ways.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::scenario::order::Order;
use crate::scenario::random::Random;

const FIELDS: [&str; 5] = ["order_id", "customer_id", "total_amount", "currency", "items"];

/// An order's text, or its bytes where these are no text: sound in half of the cases, and else with any field missing,
/// null or of another type, or no JSON at all.
pub(super) fn wild(order: &Order, random: &mut Random) -> serde_json::Result<(Option<String>, Option<String>)> {
    let mut value = serde_json::to_value(order)?;
    match random.below(100) {
        0..50 => {}
        50..52 => return Ok((None, None)),
        52..54 => return Ok((Some("{\"order_id\":".to_owned()), None)),
        54..56 => return Ok((None, Some(STANDARD.encode([0xff, 0xfe, b'{', b'}'])))),
        56..58 => return Ok((Some(format!("{}1{}", "[".repeat(100), "]".repeat(100))), None)),
        _ => {
            for field in FIELDS {
                break_field(&mut value, field, random);
            }
        }
    }
    Ok((Some(serde_json::to_string(&value)?), None))
}

fn break_field(value: &mut Value, field: &str, random: &mut Random) {
    match random.below(6) {
        0 => {
            if let Some(fields) = value.as_object_mut() {
                fields.remove(field);
            }
        }
        1 => value[field] = Value::Null,
        2 => value[field] = json!({"of": "another type"}),
        _ => {}
    }
}
