//! A change as the item that stands for it, and the bounds that DynamoDB sets to items.

use std::{collections::HashMap, num::NonZeroU32};

use aws_sdk_dynamodb::types::AttributeValue;
use faultline_contracts::signal::HealthState;
use serde_json::Value as Json;

use crate::store::{StoreChange, StoreItem, StoreKey};

/// The partition key.
pub(super) const PARTITION_KEY: &str = "PK";
/// The sort key.
pub(super) const SORT_KEY: &str = "SK";
/// Since which epoch the item is as it is.
pub(super) const EPOCH: &str = "epoch";
/// When DynamoDB may remove the item, in seconds since 1970: only retired signals have it.
pub(super) const EXPIRY: &str = "ttl";
/// The one attribute whose length follows from contracts alone.
const UNBOUNDED: &str = "failure_signature";

/// DynamoDB's bounds, in bytes.
const LARGEST_ITEM: usize = 400 << 10;
const LONGEST_PARTITION_KEY: usize = 2_048;
/// The most that a number takes.
const NUMBER: usize = 21;

/// An item's attributes.
pub(super) type Item = HashMap<String, AttributeValue>;

/// A change that is ready to be written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Put {
    /// The change, for the caller, where it is left.
    pub change: StoreChange,
    /// The whole item.
    pub item: Item,
}

/// A change that no table can hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error("the dataset's URN is empty")]
    NoKey,
    #[error("the dataset's URN has {bytes} bytes, and DynamoDB's keys have at most {LONGEST_PARTITION_KEY}")]
    LongKey { bytes: usize },
    #[error("the item has {bytes} bytes without its failure signature, and DynamoDB's items at most {LARGEST_ITEM}")]
    Large { bytes: usize },
    #[error("this store holds signals only")]
    NoSignal,
}

impl Put {
    /// The change as an item. An upsert is the signal's JSON. A delete is a mark without what was known of the signal:
    /// its state is `UNKNOWN`, and DynamoDB removes it so many days after its epoch. So what is stored is a function of the
    /// newest change, whatever came before.
    pub fn new(change: StoreChange, ttl_days: NonZeroU32) -> Result<Self, Unfit> {
        let mut item = match &change {
            StoreChange::Upsert { item: StoreItem::Signal(signal), .. } => attributes(&serde_json::json!(signal)),
            StoreChange::Delete { key: StoreKey::Signal(dataset, kind), epoch } => attributes(&serde_json::json!({
                PARTITION_KEY: dataset, SORT_KEY: kind, "state": HealthState::Unknown, EXPIRY: expiry(*epoch, ttl_days),
            })),
            StoreChange::Upsert { .. } | StoreChange::Delete { .. } => return Err(Unfit::NoSignal),
        };
        item.insert(EPOCH.to_owned(), AttributeValue::N(change.epoch().to_string()));
        match item.get(PARTITION_KEY) {
            Some(AttributeValue::S(key)) if key.is_empty() => return Err(Unfit::NoKey),
            Some(AttributeValue::S(key)) if key.len() > LONGEST_PARTITION_KEY => {
                return Err(Unfit::LongKey { bytes: key.len() });
            }
            _ => {}
        }
        fit(&mut item)?;
        Ok(Self { change, item })
    }
}

/// In seconds since 1970. Epochs are milliseconds since then.
fn expiry(epoch: u64, days: NonZeroU32) -> u64 {
    (epoch / 1_000).saturating_add(u64::from(days.get()) * 86_400)
}

/// The fields of a JSON object as attributes. What is null has none.
fn attributes(object: &Json) -> Item {
    let fields = object.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    fields.map(|(name, value)| (name.clone(), attribute(value))).collect()
}

/// Items are flat, so that any client reads them; what is not would be its JSON text, as in SQLite.
fn attribute(value: &Json) -> AttributeValue {
    match value {
        Json::Number(number) => AttributeValue::N(number.to_string()),
        Json::String(text) => AttributeValue::S(text.clone()),
        other => AttributeValue::S(other.to_string()),
    }
}

/// Cuts the failure signature where the item is too large with it: the state of a signal is worth more than the last of
/// many thousand reason codes.
fn fit(item: &mut Item) -> Result<(), Unfit> {
    let bytes = size(item);
    let Some(excess) = bytes.checked_sub(LARGEST_ITEM).filter(|excess| *excess > 0) else { return Ok(()) };
    let Some(AttributeValue::S(signature)) = item.get_mut(UNBOUNDED) else { return Err(Unfit::Large { bytes }) };
    const CUT: &str = "…";
    let Some(mut kept) = signature.len().checked_sub(excess + CUT.len()) else {
        return Err(Unfit::Large { bytes: bytes - signature.len() });
    };
    while !signature.is_char_boundary(kept) {
        kept -= 1;
    }
    signature.truncate(kept);
    signature.push_str(CUT);
    Ok(())
}

/// What DynamoDB counts, in bytes, and no less: numbers are taken for as long as they can be.
fn size(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + value.as_s().map_or(NUMBER, String::len)).sum()
}

#[cfg(test)]
mod tests;
