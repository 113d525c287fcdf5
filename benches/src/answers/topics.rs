//! Many topics at once. One request for each, as the tests' broker makes them, would take minutes for thousands.

use std::time::{Duration, Instant};

use faultline_tests::servers::KafkaServer;
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    error::KafkaError,
};

use super::error::{AnswersError, Result};
use crate::wire::{
    clients,
    error::{io, kafka},
};

/// How many topics one request makes.
const AT_ONCE: usize = 250;
/// How long the broker may take for one request.
const REQUEST: Duration = Duration::from_secs(60);
/// How long leaders may take to be there after the last request.
const LED_WITHIN: Duration = Duration::from_secs(60);

/// Makes topics of so many partitions, and waits until each partition has a leader.
///
/// # Errors
/// The broker refuses one, or a partition stays without a leader.
pub fn create_topics(server: &KafkaServer, names: &[String], partitions: i32) -> Result<()> {
    let action = "create topics";
    let admin: AdminClient<DefaultClientContext> =
        clients::client(server.bootstrap()).create().map_err(kafka(action))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(io(action))?;
    let options = AdminOptions::new().operation_timeout(Some(REQUEST)).request_timeout(Some(REQUEST));
    for names in names.chunks(AT_ONCE) {
        let topics: Vec<_> =
            names.iter().map(|name| NewTopic::new(name, partitions, TopicReplication::Fixed(1))).collect();
        for made in runtime.block_on(admin.create_topics(&topics, &options)).map_err(kafka(action))? {
            made.map_err(|(topic, code)| kafka(format!("create topic {topic}"))(KafkaError::AdminOp(code)))?;
        }
    }
    let begin = Instant::now();
    loop {
        let metadata = admin.inner().fetch_metadata(None, REQUEST).map_err(kafka("list topics"))?;
        let led = metadata.topics().iter().flat_map(|topic| topic.partitions()).filter(|at| at.leader() >= 0).count();
        if led >= names.len() * partitions.unsigned_abs() as usize {
            return Ok(());
        }
        if begin.elapsed() > LED_WITHIN {
            return Err(AnswersError::Silence(format!("only {led} partitions have a leader")));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
