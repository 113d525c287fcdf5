//! The one place where clients of Kafka are configured.

use std::{collections::BTreeMap, fmt};

use rdkafka::{config::ClientConfig, error::KafkaError};
use serde::{Deserialize, Deserializer};

use super::token::Tokens;

/// How to reach a Kafka cluster. `properties` are librdkafka's own, and go to it as they are
/// (<https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md>).
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaSettings {
    /// `host:port`, several with commas.
    pub bootstrap_servers: String,
    /// Any of librdkafka's properties: security, SASL, tuning. They win over the program's defaults.
    #[serde(default, deserialize_with = "properties_from_scalars")]
    pub properties: BTreeMap<String, String>,
    /// Who gives tokens where `sasl.mechanism` is `OAUTHBEARER`.
    #[serde(skip)]
    pub tokens: Option<Tokens>,
}

impl KafkaSettings {
    /// A cluster without further properties.
    #[must_use]
    pub fn new(bootstrap_servers: impl Into<String>) -> Self {
        Self { bootstrap_servers: bootstrap_servers.into(), properties: BTreeMap::new(), tokens: None }
    }

    /// Checks that librdkafka knows every property and takes its value, as far as it can tell without a connection.
    ///
    /// # Errors
    /// Which property it refuses, and why.
    pub fn check(&self) -> Result<(), String> {
        kafka_config(self, &[]).create_native_config().map(drop).map_err(|error| refusal(&error))
    }
}

/// What librdkafka says of a configuration that it does not take: the property's name and the reason, without a value
/// that may be a secret.
#[must_use]
pub fn refusal(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, why, name, value) if is_secret(name) => {
            format!("{name}: {}", why.replace(value.as_str(), "***"))
        }
        KafkaError::ClientConfig(_, why, name, _) => format!("{name}: {why}"),
        KafkaError::ClientCreation(why) => why.clone(),
        other => other.to_string(),
    }
}

/// The error without a value that may be a secret.
pub(super) fn without_secret(error: KafkaError) -> KafkaError {
    match error {
        KafkaError::ClientConfig(code, why, name, value) if is_secret(&name) => {
            KafkaError::ClientConfig(code, why.replace(value.as_str(), "***"), name, "***".to_owned())
        }
        other => other,
    }
}

/// Whether a property's value is nobody's business.
fn is_secret(name: &str) -> bool {
    const SECRETS: [&str; 6] = ["password", "secret", "pem", "token", "oauthbearer.config", "jaas"];
    SECRETS.iter().any(|secret| name.contains(secret))
}

/// Shows the names of properties and hides the values of those that may hold secrets.
impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSettings")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("properties", &shown_properties(&self.properties))
            .field("tokens", &self.tokens.is_some())
            .finish()
    }
}

/// Properties as they may be shown: those that may hold secrets without their values.
#[must_use]
pub fn shown_properties(properties: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    properties.iter().map(|(name, value)| (name.as_str(), if is_secret(name) { "***" } else { value })).collect()
}

/// In YAML `linger.ms: 5` is a number and `enable.idempotence: true` a truth value; librdkafka wants texts.
///
/// # Errors
/// A value is none of these, or the deserializer fails.
pub fn properties_from_scalars<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a text, a number, true or false")]
    enum Scalar {
        Bool(bool),
        Integer(i64),
        Float(f64),
        Text(String),
    }
    let scalars = BTreeMap::<String, Scalar>::deserialize(deserializer)?;
    let text = |scalar| match scalar {
        Scalar::Bool(bool) => bool.to_string(),
        Scalar::Integer(integer) => integer.to_string(),
        Scalar::Float(float) => float.to_string(),
        Scalar::Text(text) => text,
    };
    Ok(scalars.into_iter().map(|(name, scalar)| (name, text(scalar))).collect())
}

/// The configuration of a client: `defaults` of its role, under what the settings say.
#[must_use]
pub fn kafka_config(settings: &KafkaSettings, defaults: &[(&str, &str)]) -> ClientConfig {
    let KafkaSettings { bootstrap_servers, properties, tokens: _ } = settings;
    let mut config = ClientConfig::new();
    config.set("client.id", "faultline");
    for &(name, value) in defaults {
        config.set(name, value);
    }
    for (name, value) in properties {
        config.set(name, value);
    }
    config.set("bootstrap.servers", bootstrap_servers);
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(json: serde_json::Value) -> Result<KafkaSettings, serde_json::Error> {
        serde_json::from_value(json)
    }

    #[test]
    fn properties_win_over_defaults_and_may_be_numbers() {
        let settings = settings(serde_json::json!({
            "bootstrap_servers": "a:9092,b:9092",
            "properties": {"linger.ms": 20, "enable.idempotence": false, "compression.type": "zstd"},
        }));
        let config = kafka_config(&settings.unwrap(), &[("linger.ms", "5"), ("acks", "all")]);
        let expected = [
            ("acks", "all"),
            ("bootstrap.servers", "a:9092,b:9092"),
            ("client.id", "faultline"),
            ("compression.type", "zstd"),
            ("enable.idempotence", "false"),
            ("linger.ms", "20"),
        ];
        assert_eq!(config.config_map(), expected.into());
    }

    #[test]
    fn unknown_settings_are_refused() {
        assert!(settings(serde_json::json!({"bootstrap_servers": "a:9092", "propertys": {}})).is_err());
        assert!(settings(serde_json::json!({"bootstrap_servers": "a:9092", "properties": {"acks": []}})).is_err());
    }

    #[test]
    fn a_property_that_librdkafka_refuses_is_named() {
        let refused = |name: &str, value: &str| {
            let mut settings = KafkaSettings::new("a:9092");
            settings.properties.insert(name.into(), value.into());
            settings.check()
        };
        assert_eq!(refused("compression.type", "zstd"), Ok(()));
        for (name, value) in [("compresion.type", "zstd"), ("linger.ms", "soon"), ("security.protocol", "SSSL")] {
            let why = refused(name, value).unwrap_err();
            assert!(why.starts_with(&format!("{name}: ")), "{why}");
        }
        let why = refused("ssl.keystore.pasword", "hunter2").unwrap_err();
        assert!(why.starts_with("ssl.keystore.pasword: ") && !why.contains("hunter2"), "{why}");
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut settings = KafkaSettings::new("a:9092");
        settings.properties.insert("sasl.password".into(), "hunter2".into());
        settings.properties.insert("ssl.key.pem".into(), "hunter2".into());
        settings.properties.insert("sasl.username".into(), "faultline".into());
        let shown = format!("{settings:?}");
        assert!(
            !shown.contains("hunter2") && shown.contains("sasl.password") && shown.contains("faultline"),
            "{shown}"
        );
    }
}
