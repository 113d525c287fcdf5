//! A record as it lies in a topic.

use std::sync::Arc;

use crate::{registry::wire, time::UnixMillis};

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordCoordinates<'a> {
    /// The topic's name.
    pub topic: &'a str,
    /// The partition's number.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
}

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: i32,
}

/// The headers that the gates read. Where a header is there several times, the last one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GateHeaders<'a> {
    /// `x-obs-producer-service`
    pub producer_service: Option<&'a [u8]>,
    /// `traceparent`
    pub traceparent: Option<&'a [u8]>,
    /// `x-obs-dag-run-id`
    pub dag_run_id: Option<&'a [u8]>,
    /// `__value_schema_id`
    pub schema_id: Option<&'a [u8]>,
}

impl<'a> GateHeaders<'a> {
    /// Takes note of one header. Keys are case-sensitive, as Kafka's are.
    pub fn observe(&mut self, key: &str, value: Option<&'a [u8]>) {
        match key {
            "x-obs-producer-service" => self.producer_service = value,
            "traceparent" => self.traceparent = value,
            "x-obs-dag-run-id" => self.dag_run_id = value,
            wire::VALUE_SCHEMA_ID => self.schema_id = value,
            _ => {}
        }
    }
}

/// A record of a data topic, borrowed from wherever its source keeps it.
#[derive(Debug, Clone, Copy)]
pub struct RawRecord<'a> {
    /// Where it lies.
    pub at: RecordCoordinates<'a>,
    /// Its timestamp; `None` where the topic has none.
    pub timestamp: Option<UnixMillis>,
    /// Its headers, as far as gates read them.
    pub headers: GateHeaders<'a>,
    /// Whether it has a key.
    pub has_key: bool,
    /// Its value; `None` is a tombstone.
    pub payload: Option<&'a [u8]>,
}
