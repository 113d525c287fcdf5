//! How an envelope is written in JSON.

use std::{borrow::Cow, fmt};

use faultline_contracts::time::UnixMillis;
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, SeqAccess, Visitor},
};

use super::{Header, MAX_HEADERS, RecordHead};
use crate::decode::DecodeError;

#[derive(Deserialize)]
pub(super) struct Head<'a> {
    #[serde(borrow)]
    pub(super) topic: Cow<'a, str>,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) tstype: Option<TimestampType>,
    pub(super) ts: Option<i64>,
}

#[derive(Deserialize)]
pub(super) struct Envelope<'a, V> {
    #[serde(borrow)]
    pub(super) topic: Cow<'a, str>,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) tstype: Option<TimestampType>,
    pub(super) ts: Option<i64>,
    #[serde(borrow)]
    pub(super) headers: Option<HeaderList<'a>>,
    #[serde(default)]
    pub(super) key: V,
    #[serde(default)]
    pub(super) payload: V,
    #[serde(borrow)]
    pub(super) payload_base64: Option<Bytes<'a>>,
}

/// What a timestamp means. Only whether there is one matters.
#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum TimestampType {
    Unknown,
    /// `create` or `logappend`
    #[serde(other)]
    Known,
}

impl<'a> Head<'a> {
    pub(super) fn check(self) -> Result<RecordHead<'a>, DecodeError> {
        let Self { topic, partition, offset, tstype, ts } = self;
        if topic.is_empty() {
            return Err(DecodeError::invalid("topic", "it is empty"));
        }
        if partition < 0 {
            return Err(DecodeError::invalid("partition", "it is negative"));
        }
        if offset < 0 {
            return Err(DecodeError::invalid("offset", "it is negative"));
        }
        // Kafka's −1 means that there is none.
        let ts = ts.filter(|&ms| ms >= 0 && tstype != Some(TimestampType::Unknown)).map(UnixMillis);
        Ok(RecordHead { topic, partition, offset, ts })
    }
}

/// The bytes of a JSON string, whether they are UTF-8 or not.
pub(super) struct Bytes<'a>(pub(super) Cow<'a, [u8]>);

impl<'de: 'a, 'a> Deserialize<'de> for Bytes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BytesVisitor;
        impl<'de> Visitor<'de> for BytesVisitor {
            type Value = Cow<'de, [u8]>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(bytes))
            }
            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Ok(Cow::Owned(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(BytesVisitor).map(Self)
    }
}

/// `[key, value, key, value, …]`
#[derive(Default)]
pub(super) struct HeaderList<'a> {
    pub(super) kept: Vec<Header<'a>>,
    pub(super) omitted: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for HeaderList<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HeaderVisitor;
        impl<'de> Visitor<'de> for HeaderVisitor {
            type Value = HeaderList<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of header keys and values in turn")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut headers = HeaderList::default();
                let odd = || A::Error::custom("the last header has a key and no value");
                while headers.kept.len() < MAX_HEADERS {
                    let Some(Bytes(key)) = list.next_element()? else { return Ok(headers) };
                    let value: Option<Bytes<'de>> = list.next_element()?.ok_or_else(odd)?;
                    headers.kept.push((text(key), value.map(|Bytes(bytes)| bytes)));
                }
                while list.next_element::<IgnoredAny>()?.is_some() {
                    list.next_element::<IgnoredAny>()?.ok_or_else(odd)?;
                    headers.omitted += 1;
                }
                Ok(headers)
            }
        }
        deserializer.deserialize_seq(HeaderVisitor)
    }
}

fn text(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => String::from_utf8_lossy(&bytes).into_owned().into(),
    }
}
