//! Records that wait for the schema of one before them.

use faultline_contracts::{
    record::{GateHeaders, RawRecord, RecordCoordinates},
    time::UnixMillis,
};

/// What a record takes besides its bytes: its place in the queue, and the allocator's share.
const OVERHEAD: usize = 256;

/// A record of a partition, copied out of where its source keeps it.
#[derive(Debug)]
pub(super) struct HeldRecord {
    /// The epoch in which it came.
    pub(super) epoch: u64,
    /// By which it counts.
    pub(super) event_time: UnixMillis,
    /// Whether it moves its partition's watermark.
    pub(super) high_water: bool,
    offset: i64,
    timestamp: Option<UnixMillis>,
    has_key: bool,
    headers: [Option<Box<[u8]>>; 4],
    payload: Option<Box<[u8]>>,
}

impl HeldRecord {
    pub(super) fn new(record: &RawRecord<'_>, event_time: UnixMillis, high_water: bool, epoch: u64) -> Self {
        let RawRecord { at, timestamp, headers, has_key, payload } = *record;
        let GateHeaders { producer_service, traceparent, dag_run_id, schema_id } = headers;
        Self {
            epoch,
            event_time,
            high_water,
            offset: at.offset,
            timestamp,
            has_key,
            headers: [producer_service, traceparent, dag_run_id, schema_id].map(|value| value.map(Into::into)),
            payload: payload.map(Into::into),
        }
    }

    /// Its offset.
    pub(super) fn offset(&self) -> i64 {
        self.offset
    }

    /// The record, as its source had it.
    pub(super) fn as_raw<'a>(&'a self, topic: &'a str, partition: i32) -> RawRecord<'a> {
        let [producer_service, traceparent, dag_run_id, schema_id] = self.headers.each_ref().map(Option::as_deref);
        RawRecord {
            at: RecordCoordinates { topic, partition, offset: self.offset },
            timestamp: self.timestamp,
            headers: GateHeaders { producer_service, traceparent, dag_run_id, schema_id },
            has_key: self.has_key,
            payload: self.payload.as_deref(),
        }
    }

    /// About how many bytes of memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let headers = self.headers.iter().flatten().map(|value| value.len()).sum::<usize>();
        OVERHEAD + headers + self.payload.as_ref().map_or(0, |payload| payload.len())
    }
}
