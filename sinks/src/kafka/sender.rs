//! The fast way into one topic, for one thread that sends one record after the other.
//!
//! [`KafkaWriter::send`] looks the topic up by name and accounts for each record under a lock. A sender keeps librdkafka's
//! handle of its topic, and says once an epoch how many records it has queued.
#![allow(unsafe_code)]

use std::{
    ffi::{CStr, CString},
    fmt,
    ptr::{self, NonNull},
    sync::Arc,
};

use rdkafka::{
    bindings::{
        self, rd_kafka_producev, rd_kafka_resp_err_t,
        rd_kafka_resp_err_t::{RD_KAFKA_RESP_ERR__QUEUE_FULL, RD_KAFKA_RESP_ERR_NO_ERROR},
        rd_kafka_topic_t,
        rd_kafka_vtype_t::{
            RD_KAFKA_VTYPE_END, RD_KAFKA_VTYPE_HEADER, RD_KAFKA_VTYPE_HEADERS, RD_KAFKA_VTYPE_KEY,
            RD_KAFKA_VTYPE_MSGFLAGS, RD_KAFKA_VTYPE_OPAQUE, RD_KAFKA_VTYPE_RKT, RD_KAFKA_VTYPE_VALUE,
        },
    },
    error::{KafkaError, RDKafkaErrorCode},
};

use super::writer::{Enqueued, JSON, KafkaWriter};
use crate::SinkError;

/// The header that says that a payload is JSON, as C takes it.
const CONTENT_TYPE: (&CStr, &[u8]) = (c"content-type", JSON[0].1);

/// Sends JSON records to one topic, at ascending epochs.
pub struct TopicSender {
    // librdkafka keeps what it has queued; the handle must go before the client, which `writer` holds.
    topic: NonNull<rd_kafka_topic_t>,
    name: String,
    writer: Arc<KafkaWriter>,
    epoch: u64,
    queued: u64,
}

// SAFETY: librdkafka's topic handles are counted and locked; any thread may use one.
unsafe impl Send for TopicSender {}

impl TopicSender {
    /// A sender to `topic`.
    ///
    /// # Errors
    /// [`SinkError::Kafka`] where the name cannot be a topic's.
    pub fn new(writer: Arc<KafkaWriter>, topic: &str) -> Result<Self, SinkError> {
        let name = CString::new(topic).map_err(|error| writer.refused(topic, KafkaError::Nul(error)))?;
        let client = writer.native();
        // SAFETY: the client lives, the name ends with a zero, and no configuration means the client's own.
        let handle = unsafe { bindings::rd_kafka_topic_new(client, name.as_ptr(), ptr::null_mut()) };
        let handle = NonNull::new(handle).ok_or_else(|| {
            // SAFETY: reads this thread's last error.
            let code = unsafe { bindings::rd_kafka_last_error() };
            writer.refused(topic, KafkaError::MessageProduction(code.into()))
        })?;
        Ok(Self { topic: handle, name: topic.to_owned(), writer, epoch: 0, queued: 0 })
    }

    /// Queues a record that belongs to this epoch; its key's hash gives the partition. Does not block.
    ///
    /// # Errors
    /// As [`KafkaWriter::send`]: the record can never be sent as it is, or the producer has failed for good.
    pub fn send(&mut self, epoch: u64, key: &[u8], payload: &[u8]) -> Result<Enqueued, SinkError> {
        if epoch != self.epoch {
            self.settle();
            self.epoch = epoch;
        }
        let (header, value) = CONTENT_TYPE;
        // SAFETY: each tag is followed by what librdkafka takes for it, sizes are those of the slices, and key, value and
        // header are copied before the call returns.
        let code = unsafe {
            rd_kafka_producev(
                self.writer.native(),
                RD_KAFKA_VTYPE_RKT,
                self.topic.as_ptr(),
                RD_KAFKA_VTYPE_MSGFLAGS,
                bindings::RD_KAFKA_MSG_F_COPY,
                RD_KAFKA_VTYPE_KEY,
                key.as_ptr(),
                key.len(),
                RD_KAFKA_VTYPE_VALUE,
                payload.as_ptr(),
                payload.len(),
                RD_KAFKA_VTYPE_HEADER,
                header.as_ptr(),
                value.as_ptr(),
                value.len() as isize,
                RD_KAFKA_VTYPE_OPAQUE,
                epoch as usize as *mut std::ffi::c_void,
                RD_KAFKA_VTYPE_END,
            )
        };
        self.enqueued(code)
    }

    /// [`TopicSender::send`] with headers of the record's own in place of the one that says that it is JSON.
    ///
    /// # Errors
    /// As [`TopicSender::send`].
    pub fn send_with(
        &mut self,
        epoch: u64,
        key: &[u8],
        payload: &[u8],
        headers: &[(&CStr, &[u8])],
    ) -> Result<Enqueued, SinkError> {
        if epoch != self.epoch {
            self.settle();
            self.epoch = epoch;
        }
        // SAFETY: names end with a zero, sizes are those of the slices, and both are copied. The list is the client's once
        // it has taken the record, and ours where it has not.
        let code = unsafe {
            let list = bindings::rd_kafka_headers_new(headers.len());
            for (name, value) in headers {
                let added = bindings::rd_kafka_header_add(
                    list,
                    name.as_ptr(),
                    name.to_bytes().len() as isize,
                    value.as_ptr().cast(),
                    value.len() as isize,
                );
                debug_assert_eq!(added, RD_KAFKA_RESP_ERR_NO_ERROR, "only a list that is read alone takes none");
            }
            let code = rd_kafka_producev(
                self.writer.native(),
                RD_KAFKA_VTYPE_RKT,
                self.topic.as_ptr(),
                RD_KAFKA_VTYPE_MSGFLAGS,
                bindings::RD_KAFKA_MSG_F_COPY,
                RD_KAFKA_VTYPE_KEY,
                key.as_ptr(),
                key.len(),
                RD_KAFKA_VTYPE_VALUE,
                payload.as_ptr(),
                payload.len(),
                RD_KAFKA_VTYPE_HEADERS,
                list,
                RD_KAFKA_VTYPE_OPAQUE,
                epoch as usize as *mut std::ffi::c_void,
                RD_KAFKA_VTYPE_END,
            );
            if code != RD_KAFKA_RESP_ERR_NO_ERROR {
                bindings::rd_kafka_headers_destroy(list);
            }
            code
        };
        self.enqueued(code)
    }

    #[inline]
    fn enqueued(&mut self, code: rd_kafka_resp_err_t) -> Result<Enqueued, SinkError> {
        match code {
            RD_KAFKA_RESP_ERR_NO_ERROR => {
                self.queued += 1;
                Ok(Enqueued::Accepted)
            }
            RD_KAFKA_RESP_ERR__QUEUE_FULL => Ok(Enqueued::Full),
            code => {
                let code = RDKafkaErrorCode::from(code);
                Err(self.writer.refused(&self.name, KafkaError::MessageProduction(code)))
            }
        }
    }

    /// No more records of the epoch will come: those there were count from now on for what is durable.
    pub fn settle(&mut self) {
        if self.queued > 0 {
            self.writer.queued(self.epoch, std::mem::take(&mut self.queued));
        }
    }
}

impl Drop for TopicSender {
    fn drop(&mut self) {
        self.settle();
        // SAFETY: the handle is this sender's own, and is not used again.
        unsafe { bindings::rd_kafka_topic_destroy(self.topic.as_ptr()) };
    }
}

impl fmt::Debug for TopicSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicSender").field("topic", &self.name).field("epoch", &self.epoch).finish_non_exhaustive()
    }
}
