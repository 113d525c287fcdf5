//! Whether brokers answer a client, asked where nothing else would tell.
#![allow(unsafe_code)]

use std::{ptr, time::Duration};

use rdkafka::{
    ClientContext,
    bindings::{self, rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR},
    client::Client,
};

/// Whether a broker answers within `timeout`: a request about the topics that the client knows, not about all.
pub(super) fn is_reachable<C: ClientContext>(client: &Client<C>, timeout: Duration) -> bool {
    let mut metadata = ptr::null();
    let timeout = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client lives while it is borrowed; what librdkafka gives is given back.
    unsafe {
        let code = bindings::rd_kafka_metadata(client.native_ptr(), 0, ptr::null_mut(), &raw mut metadata, timeout);
        if !metadata.is_null() {
            bindings::rd_kafka_metadata_destroy(metadata);
        }
        code == RD_KAFKA_RESP_ERR_NO_ERROR
    }
}
