//! What operators do to topics and groups, and what Kafka's own tools say of them.

use std::time::Duration;

use futures_executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{Offset, TopicPartitionList};

use super::{KafkaServer, QUICK_JAVA, java};
use crate::servers::error::{Result, ServerError, kafka};
use crate::servers::install::tail;

const ADMIN_TIMEOUT: Duration = Duration::from_secs(30);

impl KafkaServer {
    /// Adds partitions to a topic, up to this number.
    pub fn add_partitions(&self, topic: &str, partitions: usize) -> Result<()> {
        let action = format!("add partitions to topic {topic}");
        let added =
            block_on(self.admin(&action)?.create_partitions(&[NewPartitions::new(topic, partitions)], &options()));
        first(&action, added)
    }

    /// Deletes a topic.
    pub fn delete_topic(&self, topic: &str) -> Result<()> {
        let action = format!("delete topic {topic}");
        let deleted = block_on(self.admin(&action)?.delete_topics(&[topic], &options()));
        first(&action, deleted)
    }

    /// Deletes the records of a partition before an offset, as retention does.
    pub fn delete_records(&self, topic: &str, partition: i32, before: i64) -> Result<()> {
        let action = format!("delete records of {topic}[{partition}]");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(before)).map_err(kafka(&action))?;
        let deleted = block_on(self.admin(&action)?.delete_records(&list, &options())).map_err(kafka(&action))?;
        deleted.elements().iter().try_for_each(|element| element.error()).map_err(kafka(&action))
    }

    fn admin(&self, action: &str) -> Result<AdminClient<DefaultClientContext>> {
        self.client_config().create().map_err(kafka(action))
    }

    /// What `kafka-consumer-groups --describe` prints of a group.
    pub fn describe_group(&self, group: &str) -> Result<String> {
        self.tool("consumer.group.ConsumerGroupCommand", &["--describe", "--group", group])
    }

    /// The values of the first `count` records of a topic, as `kafka-console-consumer` prints them.
    pub fn console_consumer(&self, topic: &str, count: usize) -> Result<Vec<String>> {
        let count = count.to_string();
        let arguments = ["--topic", topic, "--from-beginning", "--max-messages", &count, "--timeout-ms", "30000"];
        Ok(self.tool("consumer.ConsoleConsumer", &arguments)?.lines().map(str::to_owned).collect())
    }

    /// Runs one of Kafka's own tools to its end, and returns what it prints.
    fn tool(&self, class: &str, arguments: &[&str]) -> Result<String> {
        let mut command = java(&self.jars, "128m", &QUICK_JAVA, self.dir.path());
        command.arg(format!("org.apache.kafka.tools.{class}"));
        command.args(["--bootstrap-server", self.bootstrap()]).args(arguments);
        let output = command.output().map_err(|source| ServerError::Program { program: "java".to_owned(), source })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let printed = [output.stdout, output.stderr].concat();
        Err(ServerError::Command { command: format!("{command:?}"), status: output.status, output: tail(&printed) })
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ADMIN_TIMEOUT)).operation_timeout(Some(ADMIN_TIMEOUT))
}

fn first<E: std::fmt::Display>(
    action: &str,
    results: rdkafka::error::KafkaResult<Vec<std::result::Result<String, (String, E)>>>,
) -> Result<()> {
    for result in results.map_err(kafka(action))? {
        result.map_err(|(_, code)| ServerError::Topic(format!("cannot {action}: {code}")))?;
    }
    Ok(())
}
