//! A consumer whose partitions share one queue, from which records are taken many at a time.
//!
//! The consumer of `rdkafka` hands over one record a call, each in an event of its own with an allocation and two looks at
//! the clock around it; `docs/PERFORMANCE.md` has what that costs. librdkafka gives a whole array of records for one
//! call and one lock, where they lie. What is no record (errors, statistics, commits) still comes by the
//! consumer's own queue, in [`PartitionConsumer::serve`].
#![allow(unsafe_code)]

use std::{
    ffi::{CStr, CString, c_void},
    ptr::{self, NonNull},
    slice,
    time::Duration,
};

use faultline_contracts::{record::GateHeaders, time::UnixMillis};
use rdkafka::{
    TopicPartitionList,
    bindings::{
        self, rd_kafka_headers_t, rd_kafka_message_t, rd_kafka_queue_t,
        rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR, rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE,
    },
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
};

/// How many records are taken at once, at most: few enough to stay in the processor's cache on their way.
pub const BATCH: usize = 512;

/// How long librdkafka's thread may take to stop partitions. It asks nobody for that.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

type Wake = Box<dyn Fn() + Send + Sync>;

/// A consumer with one queue for the records of all partitions that it is assigned.
pub struct PartitionConsumer<C: ConsumerContext + 'static> {
    queue: NonNull<rd_kafka_queue_t>,
    batch: Vec<*mut rd_kafka_message_t>,
    /// Where librdkafka's callback points; in a box of its own because a `dyn` pointer does not fit one of C's.
    _wake: Box<Wake>,
    // Last: the queue goes before its client.
    consumer: BaseConsumer<C>,
}

extern "C" fn wake(_client: *mut bindings::rd_kafka_t, wake: *mut c_void) {
    // SAFETY: the box behind the pointer lives until the callback is taken away.
    let wake = unsafe { &*wake.cast::<Wake>() };
    wake();
}

impl<C: ConsumerContext + 'static> PartitionConsumer<C> {
    /// Takes a consumer without an assignment. `wake_up` is called, on a thread of librdkafka's, when something comes to a
    /// queue that was empty.
    pub fn new(mut consumer: BaseConsumer<C>, wake_up: impl Fn() + Send + Sync + Clone + 'static) -> KafkaResult<Self> {
        consumer.set_nonempty_callback(wake_up.clone());
        let wake_up: Box<Wake> = Box::new(Box::new(wake_up));
        // SAFETY: the client lives as long as `consumer`, which drops after the queue.
        let queue = unsafe { bindings::rd_kafka_queue_new(consumer.client().native_ptr()) };
        let queue = NonNull::new(queue).ok_or(KafkaError::ClientCreation("no queue".to_owned()))?;
        let opaque = ptr::from_ref::<Wake>(&wake_up).cast_mut().cast();
        // SAFETY: the box does not move with its owner, and outlives the queue.
        unsafe { bindings::rd_kafka_queue_cb_event_enable(queue.as_ptr(), Some(wake), opaque) };
        Ok(Self { queue, batch: Vec::with_capacity(BATCH), _wake: wake_up, consumer })
    }

    /// The consumer, for all but its records.
    pub fn consumer(&self) -> &BaseConsumer<C> {
        &self.consumer
    }

    /// Assigns further partitions, from the offsets that the list has.
    ///
    /// # Errors
    /// librdkafka refuses them.
    pub fn assign(&self, partitions: &TopicPartitionList) -> KafkaResult<()> {
        for partition in partitions.elements() {
            let topic = CString::new(partition.topic()).map_err(KafkaError::Nul)?;
            // Before the assignment, which leaves the queue of a partition alone that somebody has forwarded.
            // SAFETY: client and queue live; the partition's queue is counted, and given back here.
            unsafe {
                let client = self.consumer.client().native_ptr();
                let own = bindings::rd_kafka_queue_get_partition(client, topic.as_ptr(), partition.partition());
                if !own.is_null() {
                    bindings::rd_kafka_queue_forward(own, self.queue.as_ptr());
                    bindings::rd_kafka_queue_destroy(own);
                }
            }
        }
        self.consumer.incremental_assign(partitions)
    }

    /// Lets go of partitions. What is read ahead of them is dropped, and when this returns they may be assigned again.
    ///
    /// # Errors
    /// librdkafka refuses, or its thread does not come round to it.
    pub fn unassign(&self, partitions: &TopicPartitionList) -> KafkaResult<()> {
        self.consumer.incremental_unassign(partitions)?;
        // The stop of a partition takes away where its queue is forwarded to, later and on librdkafka's own thread. A seek
        // waits in the same line behind it, so that its refusal (the partition is stopped) says that this has been.
        self.consumer.seek_partitions(partitions.clone(), STOP_TIMEOUT).map(drop)
    }

    /// Sends positions to the group. What becomes of them comes by [`PartitionConsumer::serve`] to the context's
    /// `commit_callback`, which the consumer's own asynchronous commit does not do.
    ///
    /// # Errors
    /// librdkafka refuses the list.
    pub fn commit(&self, positions: &TopicPartitionList) -> KafkaResult<()> {
        // SAFETY: client and list live; the queue is counted, and given back here.
        let code = unsafe {
            let client = self.consumer.client().native_ptr();
            let own = bindings::rd_kafka_queue_get_consumer(client);
            if own.is_null() {
                return Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::UnknownGroup));
            }
            let code = bindings::rd_kafka_commit_queue(client, positions.ptr(), own, None, ptr::null_mut());
            bindings::rd_kafka_queue_destroy(own);
            code
        };
        if code == RD_KAFKA_RESP_ERR_NO_ERROR { Ok(()) } else { Err(KafkaError::ConsumerCommit(code.into())) }
    }

    /// Does what waits besides records: statistics, errors, outcomes of commits.
    ///
    /// # Errors
    /// What librdkafka could not mend by itself.
    pub fn serve(&self) -> KafkaResult<()> {
        match self.consumer.poll(Duration::ZERO) {
            Some(Err(error)) => Err(error),
            // Records do not come this way: every partition is forwarded before it is assigned.
            Some(Ok(_)) | None => Ok(()),
        }
    }

    /// Takes what is there now: at most `most` records, and [`BATCH`].
    pub fn take(&mut self, most: usize) -> Records<'_> {
        let most = most.min(BATCH);
        // SAFETY: there is room for so many pointers, and librdkafka says how many of them it wrote.
        unsafe {
            let taken =
                bindings::rd_kafka_consume_batch_queue(self.queue.as_ptr(), 0, self.batch.as_mut_ptr(), most as _);
            self.batch.set_len(usize::try_from(taken).unwrap_or(0));
        }
        Records { batch: &mut self.batch }
    }
}

impl<C: ConsumerContext + 'static> Drop for PartitionConsumer<C> {
    fn drop(&mut self) {
        // SAFETY: the queue is this consumer's own; without its callback nothing points to the box.
        unsafe {
            bindings::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut());
            bindings::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

/// Records that were taken. Dropping it gives them back to librdkafka.
pub struct Records<'a> {
    batch: &'a mut Vec<*mut rd_kafka_message_t>,
}

impl Records<'_> {
    /// How many.
    pub fn len(&self) -> usize {
        self.batch.len()
    }

    /// The records, in the order in which they came: those of a partition by offset.
    ///
    /// # Errors
    /// What came in a record's place: librdkafka tells so of a partition that it cannot read.
    pub fn iter(&self) -> impl Iterator<Item = Result<Fetched<'_>, Failure<'_>>> {
        let (mut handle, mut topic) = (ptr::null_mut(), "");
        self.batch.iter().map(move |&message| {
            // SAFETY: librdkafka wrote the pointer, and the message is whole until `self` drops.
            let message = unsafe { &*message };
            if message.err != RD_KAFKA_RESP_ERR_NO_ERROR {
                return Err(Failure::of(message));
            }
            // All messages hold their topic's handle, so while they live one handle is one topic.
            if message.rkt != handle {
                handle = message.rkt;
                // SAFETY: the handle is counted by the message, and so is its name.
                topic = unsafe { CStr::from_ptr(bindings::rd_kafka_topic_name(handle)) }.to_str().unwrap_or_default();
            }
            Ok(Fetched { message, topic })
        })
    }
}

impl Drop for Records<'_> {
    fn drop(&mut self) {
        for message in self.batch.drain(..) {
            // SAFETY: each was taken once, and nothing that borrows from it outlives `self`.
            unsafe { bindings::rd_kafka_message_destroy(message) };
        }
    }
}

/// What came in a record's place.
#[derive(Debug, Clone, Copy)]
pub struct Failure<'a> {
    /// What kind of failure.
    pub code: RDKafkaErrorCode,
    /// Of which topic; empty if of none.
    pub topic: &'a str,
    /// Of which partition.
    pub partition: i32,
    /// Where the consumer was; negative if it does not say.
    pub offset: i64,
    /// What librdkafka says.
    pub reason: &'a str,
}

impl<'a> Failure<'a> {
    fn of(message: &'a rd_kafka_message_t) -> Self {
        // SAFETY: texts end with zeros, and are the message's, or librdkafka's own for a code.
        let (topic, reason) = unsafe {
            let topic = (!message.rkt.is_null()).then(|| CStr::from_ptr(bindings::rd_kafka_topic_name(message.rkt)));
            (topic, CStr::from_ptr(bindings::rd_kafka_message_errstr(message)))
        };
        Self {
            code: message.err.into(),
            topic: topic.and_then(|topic| topic.to_str().ok()).unwrap_or_default(),
            partition: message.partition,
            offset: message.offset,
            reason: reason.to_str().unwrap_or("a reason that is no text"),
        }
    }
}

/// A record, where librdkafka has it.
#[derive(Clone, Copy)]
pub struct Fetched<'a> {
    message: &'a rd_kafka_message_t,
    /// Its topic.
    pub topic: &'a str,
}

/// The bytes at a place of C's; `None` for null, which Kafka tells from nothing.
///
/// # Safety
/// `start` is null or has `length` bytes that do not change while `'a` lasts.
unsafe fn bytes<'a>(start: *const c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: as the caller says.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start.cast(), length) })
}

impl<'a> Fetched<'a> {
    /// Its partition.
    pub fn partition(self) -> i32 {
        self.message.partition
    }

    /// Its offset.
    pub fn offset(self) -> i64 {
        self.message.offset
    }

    /// Whether it has a key.
    pub fn has_key(self) -> bool {
        !self.message.key.is_null()
    }

    /// Its value.
    pub fn payload(self) -> Option<&'a [u8]> {
        // SAFETY: the message's payload, which lives as long as the message.
        unsafe { bytes(self.message.payload, self.message.len) }
    }

    /// When it was made or appended.
    pub fn timestamp(self) -> Option<UnixMillis> {
        let mut kind = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: reads the message.
        let at = unsafe { bindings::rd_kafka_message_timestamp(self.message, &raw mut kind) };
        (kind != RD_KAFKA_TIMESTAMP_NOT_AVAILABLE && at >= 0).then_some(UnixMillis(at))
    }

    /// At most `most` of its headers, in their order. A name that is not UTF-8 is nobody's, and given as empty.
    pub fn headers(self, most: usize) -> impl Iterator<Item = (&'a str, Option<&'a [u8]>)> {
        let mut headers: *mut rd_kafka_headers_t = ptr::null_mut();
        // SAFETY: reads the message; the headers that it points to then are the message's own.
        let code = unsafe { bindings::rd_kafka_message_headers(ptr::from_ref(self.message), &raw mut headers) };
        let there = code == RD_KAFKA_RESP_ERR_NO_ERROR && !headers.is_null();
        (0..if there { most } else { 0 }).map_while(move |index| {
            let (mut name, mut value, mut length) = (ptr::null(), ptr::null(), 0);
            // SAFETY: names end with a zero, and both are the message's own.
            unsafe {
                let code =
                    bindings::rd_kafka_header_get_all(headers, index, &raw mut name, &raw mut value, &raw mut length);
                (code == RD_KAFKA_RESP_ERR_NO_ERROR)
                    .then(|| (CStr::from_ptr(name).to_str().unwrap_or_default(), bytes(value, length)))
            }
        })
    }

    /// The headers that gates read, of at most `most` headers.
    pub fn gate_headers(self, most: usize) -> GateHeaders<'a> {
        let mut found = GateHeaders::default();
        self.headers(most).for_each(|(name, value)| found.observe(name, value));
        found
    }
}
