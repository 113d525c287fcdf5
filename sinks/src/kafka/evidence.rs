//! Evidence on its way into its topic: the record that it becomes, in the envelope that the topic has.

use std::{fmt, sync::Arc};

use faultline_contracts::{ids::EvidenceId, time::UnixMillis};

use super::{
    sender::TopicSender,
    writer::{Enqueued, KafkaWriter},
};
use crate::{
    SinkError,
    cloudevents::{Envelope, Event, EventType, STRUCTURED},
};

/// Where evidence goes, and how it looks there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceTopic {
    /// The topic's name.
    pub name: String,
    /// What is put around each record.
    pub envelope: Envelope,
    /// Who says so, in an envelope: a URI reference.
    pub source: String,
}

/// One piece of evidence, as it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvidencePiece<'a> {
    /// The epoch it belongs to.
    pub epoch: u64,
    /// The dataset's URN, where there is one.
    pub key: Option<&'a str>,
    /// Its id.
    pub id: EvidenceId,
    /// When it was made.
    pub made_at: UnixMillis,
    /// What it says.
    pub json: &'a [u8],
}

/// Sends evidence to its topic, for one thread.
pub struct EvidenceSender {
    sender: TopicSender,
    envelope: Envelope,
    source: String,
    id: Vec<u8>,
    value: Vec<u8>,
}

impl EvidenceSender {
    /// A sender to a topic.
    ///
    /// # Errors
    /// [`SinkError::Kafka`] where the name cannot be a topic's.
    pub fn new(writer: Arc<KafkaWriter>, topic: &EvidenceTopic) -> Result<Self, SinkError> {
        let EvidenceTopic { name, envelope, source } = topic;
        let sender = TopicSender::new(writer, name)?;
        Ok(Self { sender, envelope: *envelope, source: source.clone(), id: Vec::new(), value: Vec::new() })
    }

    /// Queues a piece, at ascending epochs. Does not block.
    ///
    /// # Errors
    /// As [`TopicSender::send`]: it can never be sent as it is, or the producer has failed for good.
    pub fn send(&mut self, piece: EvidencePiece<'_>) -> Result<Enqueued, SinkError> {
        let EvidencePiece { epoch, key, id, made_at, json } = piece;
        let key_bytes = key.unwrap_or_default().as_bytes();
        if self.envelope == Envelope::Plain {
            return self.sender.send(epoch, key_bytes, json);
        }
        let Self { sender, envelope, source, id: text, value } = self;
        text.clear();
        id.write_to(text);
        // An id's text is of ASCII characters.
        let id = std::str::from_utf8(text).unwrap_or_default();
        let event = Event { id, event_type: EventType::Evidence, source, time: made_at, subject: key };
        if *envelope == Envelope::CloudeventsStructured {
            value.clear();
            event.write_structured(json, value);
            return sender.send_with(epoch, key_bytes, value, &[(c"content-type", STRUCTURED)]);
        }
        let time = event.time_text();
        sender.send_with(epoch, key_bytes, json, event.headers(&time).as_slice())
    }

    /// No more evidence of the epoch will come: what there was counts from now on for what is durable.
    pub fn settle(&mut self) {
        self.sender.settle();
    }
}

impl fmt::Debug for EvidenceSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EvidenceSender").field("sender", &self.sender).finish_non_exhaustive()
    }
}
