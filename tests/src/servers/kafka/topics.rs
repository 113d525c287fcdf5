//! Topics: made, and led.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::{KafkaServer, REQUEST_TIMEOUT};
use crate::servers::error::{Result, ServerError, kafka};
use crate::servers::process::ServerProcess;

const TOPIC_READY_WITHIN: Duration = Duration::from_secs(30);
const TOPICS_READY_WITHIN: Duration = Duration::from_secs(60);
/// How many topics one request makes.
const TOPICS_AT_ONCE: usize = 250;

impl KafkaServer {
    /// Makes a topic and waits until each of its partitions has a leader.
    pub fn create_topic(&self, name: &str, partitions: u32) -> Result<()> {
        self.create_topic_with(name, partitions, &[])
    }

    /// [`KafkaServer::create_topic`] with topic properties, such as `("cleanup.policy", "compact")`.
    pub fn create_topic_with(&self, name: &str, partitions: u32, properties: &[(&str, &str)]) -> Result<()> {
        let action = format!("create topic {name} of {partitions} partitions");
        self.request_topics(&[name], partitions, properties, (&action, TOPIC_READY_WITHIN))?;
        self.running(&action)?.wait_until_ready(TOPIC_READY_WITHIN, || match self.partitions(name) {
            Ok(led) if led == partitions => Ok(()),
            Ok(led) => Err(format!("{led} of {partitions} partitions of {name} have a leader")),
            Err(unready) => Err(unready.to_string()),
        })
    }

    /// Makes any number of topics, many by one request, and waits until each of their partitions has a leader.
    pub fn create_topics<N: AsRef<str>>(&self, names: &[N], partitions: u32) -> Result<()> {
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        let action = format!("create {} topics of {partitions} partitions", names.len());
        self.request_topics(&names, partitions, &[], (&action, TOPICS_READY_WITHIN))?;
        let (wanted, all) = (BTreeSet::from_iter(names), u64::from(partitions));
        self.running(&action)?.wait_until_ready(TOPICS_READY_WITHIN, || {
            let led = self.led(None, TOPICS_READY_WITHIN, |name| wanted.contains(name)).map_err(|e| e.to_string())?;
            let all = all * wanted.len() as u64;
            if u64::from(led) == all { Ok(()) } else { Err(format!("{led} of {all} partitions have a leader")) }
        })
    }

    fn request_topics(
        &self,
        names: &[&str],
        partitions: u32,
        properties: &[(&str, &str)],
        (action, within): (&str, Duration),
    ) -> Result<()> {
        let count = i32::try_from(partitions)
            .map_err(|_| ServerError::Topic(format!("cannot {action}: too many partitions")))?;
        let mut topics = Vec::with_capacity(names.len());
        for name in names {
            let topic = NewTopic::new(name, count, TopicReplication::Fixed(1));
            topics.push(properties.iter().fold(topic, |topic, (key, value)| topic.set(key, value)));
        }
        let admin: AdminClient<DefaultClientContext> = self.client_config().create().map_err(kafka(action))?;
        let options = AdminOptions::new().operation_timeout(Some(within));
        for topics in topics.chunks(TOPICS_AT_ONCE) {
            for outcome in block_on(admin.create_topics(topics, &options)).map_err(kafka(action))? {
                outcome.map_err(|(name, code)| {
                    ServerError::Topic(format!("cannot create topic {name} of {partitions} partitions: {code}"))
                })?;
            }
        }
        Ok(())
    }

    /// The broker, without which `action` makes no sense.
    fn running(&self, action: &str) -> Result<&ServerProcess> {
        let stopped = || ServerError::Topic(format!("cannot {action}: the broker is stopped"));
        self.process.as_ref().ok_or_else(stopped)
    }

    /// How many partitions of a topic have a leader.
    pub fn partitions(&self, topic: &str) -> Result<u32> {
        self.led(Some(topic), REQUEST_TIMEOUT, |_| true)
    }

    /// How many partitions have a leader, of this topic or of all that are wanted.
    fn led(&self, topic: Option<&str>, timeout: Duration, wanted: impl Fn(&str) -> bool) -> Result<u32> {
        let action = topic
            .map_or("read the metadata of all topics".into(), |topic| format!("read the metadata of topic {topic}"));
        let client: BaseConsumer = self.client_config().create().map_err(kafka(&action))?;
        let metadata = client.fetch_metadata(topic, timeout).map_err(kafka(&action))?;
        let topics = metadata.topics().iter().filter(|topic| wanted(topic.name()));
        Ok(topics.flat_map(|topic| topic.partitions()).map(|partition| u32::from(partition.leader() >= 0)).sum())
    }
}
