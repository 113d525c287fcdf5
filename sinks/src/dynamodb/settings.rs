//! What can be set.

use std::num::{NonZeroU32, NonZeroUsize};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::retry::RetrySettings;

/// The DynamoDB table that holds the state of signals, and how it is reached.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DynamoSettings {
    /// The table. Its partition key is `PK` and its sort key `SK`, both strings; `faultline run --create-tables` makes it.
    pub table: String,
    /// The AWS region. Without it the one that the AWS SDK finds: `AWS_REGION`, the profile, the instance's metadata.
    pub region: Option<String>,
    /// The endpoint as a URL, where it is not the region's own: a VPC endpoint, or DynamoDB Local.
    pub endpoint: Option<String>,
    /// Whose name requests are signed in.
    pub credentials: CredentialsFrom,
    /// For how many days the mark of a retired signal is kept. While it is, no write of an older epoch brings the signal
    /// back.
    pub ttl_days: NonZeroU32,
    /// The most requests at a time.
    pub concurrency: NonZeroUsize,
    /// How DynamoDB is tried again.
    pub retry: RetrySettings,
}

impl Default for DynamoSettings {
    fn default() -> Self {
        const DAYS: NonZeroU32 = NonZeroU32::new(30).unwrap();
        const REQUESTS: NonZeroUsize = NonZeroUsize::new(32).unwrap();
        Self {
            table: "signal_state".to_owned(),
            region: None,
            endpoint: None,
            credentials: CredentialsFrom::Chain,
            ttl_days: DAYS,
            concurrency: REQUESTS,
            retry: RetrySettings::default(),
        }
    }
}

/// Whose name requests are signed in. Secrets are never part of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CredentialsFrom {
    /// As the AWS SDK finds them: environment variables, profile, web identity, the role of the container or instance.
    #[default]
    Chain,
    /// Made-up ones, for a server that checks none: DynamoDB Local.
    Local,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(json: serde_json::Value) -> Result<DynamoSettings, serde_json::Error> {
        serde_json::from_value(json)
    }

    #[test]
    fn defaults_stay_and_what_cannot_be_is_refused() {
        let some = serde_json::json!({"region": "eu-west-1", "credentials": "local", "retry": {"first_pause_ms": 10}});
        let expected = DynamoSettings {
            region: Some("eu-west-1".to_owned()),
            credentials: CredentialsFrom::Local,
            retry: RetrySettings { first_pause_ms: 10, ..RetrySettings::default() },
            ..DynamoSettings::default()
        };
        assert_eq!(settings(some).unwrap(), expected);
        for wrong in [
            serde_json::json!({"ttl_days": 0}),
            serde_json::json!({"concurrency": 0}),
            serde_json::json!({"credentials": "AKIA…"}),
            serde_json::json!({"tabel": "x"}),
        ] {
            assert!(settings(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
