//! Records that keep the schemas of the example catalogs, and ways to break them at each place.

use std::path::Path;

use serde_json::Value;

/// One example schema each, and a record that keeps it.
const RECORDS: [(&str, &str); 5] = [
    ("orders/schemas/orders.created/17.json", ORDER),
    (
        "payments/schemas/payments.authorized/4.json",
        r#"{"payment_id":"p-1","merchant":{"id":"m","category_code":"5411","country":"DE"},"amount":{"minor_units":1999,"currency":"EUR"},"card":null,"result":"APPROVED","decline_reasons":["none"],"authorized_at":"2023-10-27T09:57:45.113+02:00","risk_score":0.25}"#,
    ),
    (
        "payments/schemas/payments.settlements/1.json",
        r#"{"settlement_id":"s","payment_id":"p","acquirer":"adyen","gross":10.50,"fee":null,"value_date":"2024-02-29","cutoff":"18:00"}"#,
    ),
    (
        "logistics/schemas/shipments.status/9.json",
        r#"{"shipment_id":"SHP-1","status":"DELIVERED","scanned_at":"x","position":{"lat":52.5,"lon":13.4},"parcels":[{"parcel_no":1}]}"#,
    ),
    (
        "clickstream/schemas/web.events/2.json",
        r#"{"event_id":"e","event_type":"click","page":{"url":"/"},"visitor":{"id":"v"},"tags":["a"],"properties":{"a":1,"b":"x","c":null,"d":true}}"#,
    ),
];

/// An order with a bit of everything: escapes, characters of several bytes, a fraction, an exponent, space.
pub const ORDER: &str = "{\"order_id\":\"ord-\\u0031\",\"customer_id\":null,\"total_amount\":1.25e1, \"currency\":\"EUR\",\n\
    \"created_at\":\"2023-10-27T09:57:45Z\",\"items\":[{\"sku\":\"né-\\\"1\\\"\",\"qty\":-0,\"price\":6.25},{}],\"on\":true}";

pub fn example_schemas() -> Vec<Value> {
    let read = |(path, _): (&str, &str)| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(path);
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    };
    RECORDS.map(read).into()
}

pub fn records() -> [&'static str; 5] {
    RECORDS.map(|(_, record)| record)
}

/// `bytes` cut short at each place, and with each byte left out, written twice, swapped with the next one, and replaced
/// by each other one.
pub fn damaged(bytes: &[u8], mut each: impl FnMut(&[u8])) {
    (0..bytes.len()).for_each(|end| each(&bytes[..end]));
    for place in 0..bytes.len() {
        let (before, after) = (&bytes[..place], &bytes[place + 1..]);
        each(&[before, after].concat());
        each(&[before, &bytes[place..=place], &bytes[place..]].concat());
        let mut changed = bytes.to_vec();
        if place > 0 {
            changed.swap(place - 1, place);
            each(&changed);
            changed.swap(place - 1, place);
        }
        for byte in 0..=255 {
            changed[place] = byte;
            each(&changed);
        }
    }
}

/// A record with each of its values replaced by `text` in turn, and with `text` as a further member.
pub fn with_value(record: &str, text: &str) -> Vec<String> {
    const MARK: &str = "@@@";
    let whole: Value = serde_json::from_str(record).unwrap();
    let mut pointers = Vec::new();
    pointers_of(&whole, String::new(), &mut pointers);
    let replaced = |pointer: &String| {
        let mut value = whole.clone();
        *value.pointer_mut(pointer).unwrap() = MARK.into();
        value.to_string().replace(&format!("\"{MARK}\""), text)
    };
    let mut documents: Vec<String> = pointers.iter().map(replaced).collect();
    documents.push(format!("{},\"more\":{text}}}", &record[..record.len() - 1]));
    documents
}

/// A record with each member of its own repeated, with `text` for a value, behind it and before it.
pub fn with_member_twice(record: &str, spelled: impl Fn(&str) -> Vec<String>, text: &str) -> Vec<String> {
    let whole: Value = serde_json::from_str(record).unwrap();
    let inner = &record[1..record.len() - 1];
    let names = whole.as_object().unwrap().keys();
    let twice = |name: String| [format!("{{{inner},\"{name}\":{text}}}"), format!("{{\"{name}\":{text},{inner}}}")];
    names.flat_map(|name| spelled(name)).flat_map(twice).collect()
}

fn pointers_of(value: &Value, at: String, pointers: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(place, item)| pointers_of(item, format!("{at}/{place}"), pointers));
        }
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| pointers_of(member, format!("{at}/{name}"), pointers));
        }
        _ => {}
    }
    pointers.push(at);
}
