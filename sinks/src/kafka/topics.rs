//! Makes topics that are not there.

use std::time::Duration;

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{
    config::{KafkaSettings, kafka_config},
    token,
};
use crate::SinkError;

/// Makes those of the topics that do not exist, with this number of partitions and replicas, and returns them.
/// Topics that exist stay as they are. Needs no async runtime; where brokers want a token, waits for the first.
///
/// # Errors
/// [`SinkError::Kafka`] where the brokers cannot be reached within `timeout` or refuse; topics that were made before
/// the first refused one are there.
pub async fn ensure_topics(
    settings: &KafkaSettings,
    names: &[&str],
    partitions: i32,
    replication: i32,
    timeout: Duration,
) -> Result<Vec<String>, SinkError> {
    let failed = |topic: String, source| SinkError::Kafka {
        action: "create",
        topic,
        servers: settings.bootstrap_servers.clone(),
        source: Box::new(source),
    };
    let admin: AdminClient<DefaultClientContext> =
        kafka_config(settings, &[]).create().map_err(|source| failed(names.join(", "), source))?;
    if let Some(tokens) = &settings.tokens {
        let without =
            |error: token::TokenError| failed(names.join(", "), KafkaError::ClientCreation(error.to_string()));
        token::hand_over(admin.inner(), tokens).map_err(without)?;
    }
    let topics: Vec<_> =
        names.iter().map(|name| NewTopic::new(name, partitions, TopicReplication::Fixed(replication))).collect();
    let options = AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout));
    let results = admin.create_topics(&topics, &options).await.map_err(|source| failed(names.join(", "), source))?;
    created(results).map_err(|(topic, code)| failed(topic, KafkaError::AdminOp(code)))
}

/// The topics that were made, or the first that could not be.
fn created(
    results: Vec<Result<String, (String, RDKafkaErrorCode)>>,
) -> Result<Vec<String>, (String, RDKafkaErrorCode)> {
    let mut made = Vec::new();
    for result in results {
        match result {
            Ok(name) => made.push(name),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err(refused) => return Err(refused),
        }
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_that_exist_are_no_error() {
        let exists = Err(("evidence".to_owned(), RDKafkaErrorCode::TopicAlreadyExists));
        let made = Ok("signals".to_owned());
        assert_eq!(created(vec![exists.clone(), made.clone()]), Ok(vec!["signals".to_owned()]));
        let refused = Err(("incidents".to_owned(), RDKafkaErrorCode::TopicAuthorizationFailed));
        let error = created(vec![exists, made, refused]).unwrap_err();
        assert_eq!(error, ("incidents".to_owned(), RDKafkaErrorCode::TopicAuthorizationFailed));
    }

    #[tokio::test]
    async fn brokers_that_are_away_are_named() {
        let settings = KafkaSettings::new("127.0.0.1:9");
        let error = ensure_topics(&settings, &["a", "b"], 1, 1, Duration::from_millis(200)).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot create a, b at 127.0.0.1:9");
        assert!(error.is_transient(), "{error:?}");
    }
}
