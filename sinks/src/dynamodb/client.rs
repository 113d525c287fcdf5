//! The client: one request at a time as told, each with its own limit of time. It decides nothing.

use std::time::{Duration, Instant};

use aws_config::{AppName, BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_dynamodb::{
    config::{Credentials, ProvideCredentials, StalledStreamProtectionConfig},
    error::SdkError,
    types::{AttributeValue, ReturnValue},
};

use super::{
    failure::{DynamoFailure, Failure, NoAnswer},
    item::{EPOCH, PARTITION_KEY, Put, SORT_KEY},
    settings::{CredentialsFrom, DynamoSettings},
    writing::{Stored, Table},
};
use crate::{
    SinkError,
    retry::{Jitter, RetrySettings},
    store::StoreChange,
};

/// How long the sources of credentials and of the region may take at start: there may be several, each asked in turn.
const CHAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// The region that requests to a server that checks none are signed for, where the settings name none.
const LOCAL_REGION: &str = "us-east-1";
/// The key of no signal, by which a table is asked whether it is there and has our keys.
const PROBE: &str = "faultline:probe";

/// Writes where no newer epoch is stored. Retired signals have an epoch too, so that nothing older brings them back.
const CONDITION: &str = "attribute_not_exists(#epoch) OR #epoch <= :epoch";

/// DynamoDB, and the table.
pub(super) struct Client {
    pub sdk: aws_sdk_dynamodb::Client,
    pub table: String,
    /// Where it is, for people: the endpoint, or the region.
    pub place: String,
}

impl Client {
    /// Finds out the region and credentials. DynamoDB itself is not asked, so that it may be away.
    pub async fn open(settings: &DynamoSettings) -> Result<Self, SinkError> {
        let DynamoSettings { table, region, endpoint, credentials, ttl_days: _, concurrency: _, retry: _ } = settings;
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Ok(name) = AppName::new("faultline") {
            loader = loader.app_name(name);
        }
        if let Some(endpoint) = endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if let Some(region) = region {
            loader = loader.region(Region::new(region.clone()));
        }
        if *credentials == CredentialsFrom::Local {
            loader = loader.credentials_provider(Credentials::new("local", "local", None, None, "local"));
            if region.is_none() {
                loader = loader.region(Region::new(LOCAL_REGION));
            }
        }
        let place = endpoint.as_ref().or(region.as_ref()).map_or("its default region", String::as_str).to_owned();
        let failed = |failure: Failure| failure.error("reach", table, &place);
        let config = within(CHAIN_TIMEOUT, async { Ok(loader.load().await) }).await.map_err(failed)?;
        within(CHAIN_TIMEOUT, complete(&config)).await.map_err(failed)?;
        let place = match (endpoint, config.region()) {
            (None, Some(region)) => region.to_string(),
            _ => place,
        };
        // Time and repetition are this program's affair: see `retry`.
        let config = aws_sdk_dynamodb::config::Builder::from(&config)
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        Ok(Self { sdk: aws_sdk_dynamodb::Client::from_conf(config), table: table.clone(), place })
    }

    /// Whether the table is there, and one for signals. By a read, which goes the way that writes go, costs half a unit,
    /// and names the key as this store has it.
    pub async fn ask(&self) -> Result<(), Failure> {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let request = self
            .sdk
            .get_item()
            .table_name(&self.table)
            .key(PARTITION_KEY, text(PROBE))
            .key(SORT_KEY, text(PROBE))
            .projection_expression(PARTITION_KEY);
        match request.send().await.map_err(Failure::from) {
            Ok(_) => Ok(()),
            Err(Failure { kind: DynamoFailure::Rejected, source }) => {
                Err(Failure { kind: DynamoFailure::OtherTable, source })
            }
            Err(failure) => Err(failure),
        }
    }

    /// With what was tried, and on which table.
    pub fn error(&self, action: &'static str, failure: Failure) -> SinkError {
        failure.error(action, &self.table, &self.place)
    }
}

/// Whether requests can be signed at all.
async fn complete(config: &SdkConfig) -> Result<(), Failure> {
    if config.region().is_none() {
        return Err(Failure::new(DynamoFailure::NoRegion, "neither the settings nor the AWS SDK name one"));
    }
    let credentials = config.credentials_provider();
    let credentials = credentials.ok_or_else(|| Failure::new(DynamoFailure::Credentials, "the AWS SDK knows none"))?;
    credentials.provide_credentials().await.map_err(|error| Failure::new(DynamoFailure::Credentials, error))?;
    Ok(())
}

impl Table for Client {
    async fn put(&self, put: &Put, allowance: Duration) -> Result<Stored, Failure> {
        let replaces = match &put.change {
            StoreChange::Upsert { .. } => ReturnValue::None,
            StoreChange::Delete { .. } => ReturnValue::AllOld,
        };
        let request = self
            .sdk
            .put_item()
            .table_name(&self.table)
            .set_item(Some(put.item.clone()))
            .condition_expression(CONDITION)
            .expression_attribute_names("#epoch", EPOCH)
            .expression_attribute_values(":epoch", AttributeValue::N(put.change.epoch().to_string()))
            .return_values(replaces);
        let answer = async {
            match request.send().await {
                Ok(answer) => Ok(Stored::Written { replaced: answer.attributes.is_some() }),
                Err(SdkError::ServiceError(answer)) if answer.err().is_conditional_check_failed_exception() => {
                    Ok(Stored::Stale)
                }
                Err(error) => Err(error.into()),
            }
        };
        within(allowance, answer).await
    }

    async fn probe(&self, allowance: Duration) -> Result<(), Failure> {
        within(allowance, self.ask()).await
    }
}

/// One request until it succeeds, or fails for good, or the time for it is over.
pub(super) async fn repeat<T>(
    retry: &RetrySettings,
    dice: &mut Jitter,
    request: impl AsyncFn() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let (begin, mut failures, mut last) = (Instant::now(), 0, None);
    while let Some(allowance) = retry.attempt(begin.elapsed()) {
        let failure = match within(allowance, request()).await {
            Err(failure) if failure.kind.is_transient() => failure,
            settled => return settled,
        };
        failures += 1;
        match retry.again(failures, begin.elapsed(), Duration::ZERO, dice) {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Err(failure),
        }
        last = Some(failure);
    }
    Err(last.unwrap_or_else(|| NoAnswer(begin.elapsed()).into()))
}

/// What comes in time.
async fn within<T>(allowance: Duration, answer: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::time::timeout(allowance, answer).await.unwrap_or_else(|_| Err(NoAnswer(allowance).into()))
}

#[cfg(test)]
mod tests;
