//! Records as producers with a schema registry write them: bodies in Avro and Protobuf, and the wire headers before them.
//!
//! Written from the formats' descriptions, and not with the program's own readers, so that a test compares two sides.

use std::io::Write as _;

use apache_avro::{Schema, to_avro_datum_schemata, types::Value};

use crate::servers::Bytes;

/// A payment, which the tests' schemas describe in three languages.
#[derive(Debug, Clone, Copy)]
pub struct Payment<'a> {
    /// Its id.
    pub id: &'a str,
    /// How much.
    pub amount: f64,
    /// Of what: `EUR` or `USD`.
    pub currency: &'a str,
}

impl Payment<'_> {
    /// Its Avro body, by the last of these schemas, which may refer to those before it.
    ///
    /// # Errors
    /// A schema is none, or is not of a payment.
    pub fn avro(&self, schemas: &[&str]) -> apache_avro::AvroResult<Vec<u8>> {
        let parsed = Schema::parse_list(schemas.iter())?;
        let Some(schema) = parsed.last() else { return Ok(Vec::new()) };
        let currency = Value::Enum(u32::from(self.currency == "USD"), self.currency.to_owned());
        let record = Value::Record(vec![
            ("id".to_owned(), Value::String(self.id.to_owned())),
            ("amount".to_owned(), Value::Double(self.amount)),
            ("currency".to_owned(), currency),
        ]);
        to_avro_datum_schemata(schema, parsed.iter().collect(), record)
    }

    /// Its Protobuf body: id 1, amount 2, currency 3.
    #[must_use]
    pub fn protobuf(&self) -> Vec<u8> {
        let mut body = vec![0x0a, self.id.len() as u8];
        body.extend(self.id.as_bytes());
        body.push(0x11);
        body.extend(self.amount.to_le_bytes());
        body.extend([0x18, u8::from(self.currency == "USD")]);
        body
    }

    /// Its JSON body.
    #[must_use]
    pub fn json(&self) -> Vec<u8> {
        let Self { id, amount, currency } = self;
        serde_json::json!({"id": id, "amount": amount, "currency": currency}).to_string().into_bytes()
    }
}

/// A body behind Confluent's id.
#[must_use]
pub fn confluent(id: u32, body: &[u8]) -> Bytes {
    Bytes { value: [&[0][..], &id.to_be_bytes(), body].concat(), ..Bytes::default() }
}

/// A Protobuf body of its schema's first message, behind Confluent's id.
#[must_use]
pub fn confluent_protobuf(id: u32, body: &[u8]) -> Bytes {
    confluent(id, &[&[0], body].concat())
}

/// A body whose GUID is in a Kafka header.
#[must_use]
pub fn confluent_header(guid: [u8; 16], body: &[u8]) -> Bytes {
    let header = ("__value_schema_id".to_owned(), [&[1][..], &guid].concat());
    Bytes { headers: vec![header], value: body.to_vec() }
}

/// A body behind Glue's schema version id.
#[must_use]
pub fn glue(id: [u8; 16], body: &[u8]) -> Bytes {
    Bytes { value: [&[3, 0][..], &id, body].concat(), ..Bytes::default() }
}

/// A body behind Glue's schema version id, deflated.
///
/// # Errors
/// None that memory would give.
pub fn glue_deflated(id: [u8; 16], body: &[u8]) -> std::io::Result<Bytes> {
    let mut deflated = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    deflated.write_all(body)?;
    Ok(Bytes { value: [&[3, 5][..], &id, &deflated.finish()?].concat(), ..Bytes::default() })
}

/// The 16 bytes of a UUID in text form.
///
/// # Errors
/// It is none.
pub fn uuid(text: &str) -> Result<[u8; 16], hex::FromHexError> {
    let mut bytes = [0; 16];
    hex::decode_to_slice(text.replace('-', ""), &mut bytes)?;
    Ok(bytes)
}
