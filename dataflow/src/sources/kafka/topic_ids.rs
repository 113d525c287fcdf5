//! The ids of topics, which `rdkafka` does not hand through.
#![allow(unsafe_code)]

use std::{
    collections::BTreeMap,
    ffi::{CStr, CString, c_char},
    sync::Arc,
    time::Duration,
};

use rdkafka::{
    ClientContext,
    bindings::{
        self, rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, rd_kafka_event_t,
        rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR,
    },
    client::Client,
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
};

pub(crate) use super::start::TopicId;

/// What a topic's id is, or why the brokers do not say.
pub(crate) type TopicIds = BTreeMap<Arc<str>, Result<Option<TopicId>, RDKafkaErrorCode>>;

/// The ids of these topics.
///
/// # Errors
/// No broker answers within `timeout`.
pub(crate) fn topic_ids<C: ClientContext>(
    client: &Client<C>,
    topics: &[Arc<str>],
    timeout: Duration,
) -> KafkaResult<TopicIds> {
    let names = topics.iter().map(|topic| CString::new(&**topic)).collect::<Result<Vec<_>, _>>()?;
    if names.is_empty() {
        return Ok(TopicIds::new());
    }
    let mut names: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client lives while it is borrowed; names live until the request has been made of copies of them; what
    // is made here is given back here, the event last, since the descriptions are the event's own.
    unsafe {
        let rk = client.native_ptr();
        let collection = bindings::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        let options = bindings::rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
        let mut why = [0_u8; 256];
        bindings::rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, why.as_mut_ptr().cast(), why.len());
        let queue = bindings::rd_kafka_queue_new(rk);
        bindings::rd_kafka_DescribeTopics(rk, collection, options, queue);
        // The request ends by itself at its time-out, and says so.
        let event = bindings::rd_kafka_queue_poll(queue, timeout_ms.saturating_add(1_000));
        let ids = read_event(event);
        if !event.is_null() {
            bindings::rd_kafka_event_destroy(event);
        }
        bindings::rd_kafka_queue_destroy(queue);
        bindings::rd_kafka_AdminOptions_destroy(options);
        bindings::rd_kafka_TopicCollection_destroy(collection);
        ids
    }
}

/// # Safety
/// The event is null, or one of librdkafka's.
unsafe fn read_event(event: *mut rd_kafka_event_t) -> KafkaResult<TopicIds> {
    if event.is_null() {
        return Err(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut));
    }
    let mut ids = TopicIds::new();
    // SAFETY: descriptions and texts are the event's, which outlives this function.
    unsafe {
        let code = bindings::rd_kafka_event_error(event);
        if code != RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(KafkaError::AdminOp(code.into()));
        }
        let result = bindings::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err(KafkaError::AdminOp(RDKafkaErrorCode::BadMessage));
        }
        let mut count = 0;
        let topics = bindings::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        for index in 0..count {
            let topic = *topics.add(index);
            let Ok(name) = CStr::from_ptr(bindings::rd_kafka_TopicDescription_name(topic)).to_str() else { continue };
            let error = bindings::rd_kafka_error_code(bindings::rd_kafka_TopicDescription_error(topic));
            let id = if error == RD_KAFKA_RESP_ERR_NO_ERROR {
                let id = bindings::rd_kafka_TopicDescription_topic_id(topic);
                Ok(read_id(id))
            } else {
                Err(error.into())
            };
            ids.insert(name.into(), id);
        }
    }
    Ok(ids)
}

/// # Safety
/// The id is null, or one of librdkafka's.
unsafe fn read_id(id: *const bindings::rd_kafka_Uuid_t) -> Option<TopicId> {
    if id.is_null() {
        return None;
    }
    // SAFETY: as the caller says.
    let (most, least) = unsafe {
        (bindings::rd_kafka_Uuid_most_significant_bits(id), bindings::rd_kafka_Uuid_least_significant_bits(id))
    };
    // Brokers that know no ids send zero.
    ((most, least) != (0, 0)).then(|| TopicId(format!("{most:016x}{least:016x}").into()))
}
