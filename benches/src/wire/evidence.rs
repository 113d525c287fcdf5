//! Whether a topic holds the evidence of every record once, and of no other.

use faultline_contracts::ids::EvidenceId;
use memchr::memmem;
use rdkafka::{Message, message::BorrowedMessage};
use serde::Deserialize;

use super::{
    clients,
    error::{Result, WireError},
};

/// What every piece of evidence begins with, before its id.
const HEAD: &[u8] = b"{\"evidence_id\":\"";
/// Length of an id.
const ID: usize = 30;

/// What was found in a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Found {
    /// Records that keep the contract.
    pub pass: u64,
    /// Records that break it.
    pub fail: u64,
    /// Bytes of values, before compression.
    pub bytes: u64,
    /// Pieces of evidence: fewer than records where a range of them has one.
    pub pieces: u64,
}

/// The id at the head of a piece of evidence, read without parsing the rest.
#[must_use]
pub fn id_of(evidence: &[u8]) -> Option<EvidenceId> {
    let id = evidence.strip_prefix(HEAD)?.get(..ID)?;
    std::str::from_utf8(id).ok()?.parse().ok()
}

/// Reads a topic with a piece of evidence for each record of the input, whose partitions have these lengths.
///
/// # Errors
/// A piece is missing, is there twice, or is of no record.
pub fn check_all(bootstrap: &str, topic: &str, lengths: &[i64]) -> Result<Found> {
    let mut missing: Vec<Vec<bool>> = lengths.iter().map(|length| vec![true; length.unsigned_abs() as usize]).collect();
    let (mut found, failing) = (Found::default(), memmem::Finder::new(b"\"result\":\"FAIL\""));
    clients::read_whole(bootstrap, topic, |message| {
        let evidence = message.payload().unwrap_or_default();
        let place = id_of(evidence).map(|id| (id.partition() as usize, id.offset() as usize));
        let slot = place.and_then(|(partition, offset)| missing.get_mut(partition)?.get_mut(offset));
        if !slot.is_some_and(std::mem::take) {
            let what = format!("evidence of no record, or a second one: {}", String::from_utf8_lossy(evidence));
            return Err(wrong(topic, what));
        }
        let fails = failing.find(evidence).is_some();
        found.fail += u64::from(fails);
        found.pass += u64::from(!fails);
        found.bytes += evidence.len() as u64;
        found.pieces += 1;
        Ok(())
    })?;
    let missing: usize = missing.iter().flatten().map(|&missing| usize::from(missing)).sum();
    if missing > 0 {
        return Err(wrong(topic, format!("{missing} records have no evidence")));
    }
    Ok(found)
}

/// Reads a topic in which passing records share evidence by ranges.
///
/// # Errors
/// A piece of evidence is not of its form.
pub fn check_ranges(bootstrap: &str, topic: &str) -> Result<Found> {
    let mut found = Found::default();
    clients::read_whole(bootstrap, topic, |message| {
        let Piece { validation, count } = piece(message).map_err(|error| wrong(topic, error.to_string()))?;
        *(if validation.result == "PASS" { &mut found.pass } else { &mut found.fail }) += count.unwrap_or(1);
        found.bytes += message.payload_len() as u64;
        found.pieces += 1;
        Ok(())
    })?;
    Ok(found)
}

#[derive(Deserialize)]
struct Piece {
    validation: Validation,
    /// Of a range.
    count: Option<u64>,
}

#[derive(Deserialize)]
struct Validation {
    result: String,
}

fn piece(message: &BorrowedMessage<'_>) -> serde_json::Result<Piece> {
    serde_json::from_slice(message.payload().unwrap_or_default())
}

fn wrong(topic: &str, what: String) -> WireError {
    WireError::Wrong { contestant: topic.to_owned(), what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_read_from_the_head() {
        let id = EvidenceId::from_parts(faultline_contracts::time::UnixMillis(1_698_400_500_000), 7, 3, 12_345);
        let evidence = format!("{{\"evidence_id\":\"{id}\",\"timestamp\":\"\"}}");
        assert_eq!(id_of(evidence.as_bytes()), Some(id));
        assert_eq!((id.partition(), id.offset()), (3, 12_345));
        assert_eq!(id_of(b"{\"evidence_id\":\"evd-\"}"), None);
    }
}
