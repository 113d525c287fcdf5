//! The table itself: made where it is not there yet.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::{
    error::BuildError,
    types::{
        AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableDescription,
        TableStatus, TimeToLiveDescription, TimeToLiveSpecification, TimeToLiveStatus,
    },
};

use super::{
    PURPOSE,
    client::{Client, repeat},
    failure::{DynamoFailure, Failure, NoAnswer},
    item::{EXPIRY, PARTITION_KEY, SORT_KEY},
    settings::DynamoSettings,
};
use crate::{
    SinkError,
    retry::{Jitter, RetrySettings},
    runtime::OwnRuntime,
};

/// How long a new table may take until it can be used; AWS says that it is a matter of seconds.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// Names, roles and types.
const OUR_KEYS: &str = "PK (HASH, S) and SK (RANGE, S)";
/// How often to look whether it can.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What was to be done for the table to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableCreation {
    /// It was made.
    Created,
    /// It was there already.
    Existed,
}

/// Makes the table where it is not there, as one that is paid by the request, and has DynamoDB remove retired signals when
/// their `ttl` is over. Returns when it can be written to. What is there stays as it is, so that any number of processes
/// may do this at every start.
///
/// # Errors
/// [`SinkError::DynamoDb`] where DynamoDB cannot be reached, does not allow it, has a table of that name with other keys,
/// or takes longer than two minutes; and those of [`DynamoStore::open`](super::DynamoStore::open).
pub fn create_table(settings: &DynamoSettings) -> Result<TableCreation, SinkError> {
    let runtime = OwnRuntime::new(PURPOSE)?;
    runtime.wait(async {
        let client = Client::open(settings).await?;
        let mut table = Making { client: &client, retry: settings.retry, dice: Jitter::new() };
        table.make().await.map_err(|failure| client.error("make", failure))
    })
}

struct Making<'c> {
    client: &'c Client,
    retry: RetrySettings,
    dice: Jitter,
}

impl Making<'_> {
    async fn make(&mut self) -> Result<TableCreation, Failure> {
        let creation = match self.describe().await? {
            Some(_) => TableCreation::Existed,
            None => self.create().await?,
        };
        self.wait_until_ready().await?;
        self.expire().await?;
        Ok(creation)
    }

    async fn request<T>(&mut self, request: impl AsyncFn() -> Result<T, Failure>) -> Result<T, Failure> {
        repeat(&self.retry, &mut self.dice, request).await
    }

    async fn describe(&mut self) -> Result<Option<TableDescription>, Failure> {
        let Client { sdk, table, .. } = self.client;
        match self.request(async || Ok(sdk.describe_table().table_name(table).send().await?)).await {
            Ok(answer) => Ok(answer.table),
            Err(failure) if failure.kind == DynamoFailure::NoTable => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    async fn create(&mut self) -> Result<TableCreation, Failure> {
        let Client { sdk, table, .. } = self.client;
        let (attributes, keys) = keys().map_err(|error| Failure::new(DynamoFailure::Rejected, error))?;
        let request = sdk
            .create_table()
            .table_name(table)
            .billing_mode(BillingMode::PayPerRequest)
            .set_attribute_definitions(Some(attributes))
            .set_key_schema(Some(keys));
        let answer = self.request(async || match request.clone().send().await {
            Ok(_) => Ok(TableCreation::Created),
            // Another process was quicker; or it was this one, and the answer was lost.
            Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_in_use_exception()) => {
                Ok(TableCreation::Existed)
            }
            Err(error) => Err(error.into()),
        });
        answer.await
    }

    async fn wait_until_ready(&mut self) -> Result<(), Failure> {
        let begin = Instant::now();
        loop {
            // A table that is just made may not be seen at once.
            if let Some(table) = self.describe().await? {
                if let Some(difference) = difference(&table) {
                    return Err(Failure::new(DynamoFailure::OtherTable, difference));
                }
                if matches!(table.table_status, Some(TableStatus::Active | TableStatus::Updating)) {
                    return Ok(());
                }
            }
            if begin.elapsed() >= READY_WITHIN {
                return Err(NoAnswer(READY_WITHIN).into());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Turns on the removal of items whose time is over. A table that removes items by another attribute is somebody's
    /// will, and serves as well, but keeps retired signals.
    async fn expire(&mut self) -> Result<(), Failure> {
        let mut found = self.expiry().await?;
        if found.is_none() {
            match self.set_expiry().await {
                Ok(()) => return Ok(()),
                Err(failure) if failure.kind == DynamoFailure::Rejected => {
                    // Another process was quicker; or somebody has changed it within the last hour.
                    found = self.expiry().await?;
                    if found.is_none() {
                        return Err(failure);
                    }
                }
                Err(failure) => return Err(failure),
            }
        }
        if let Some(attribute) = found.filter(|attribute| attribute != EXPIRY) {
            let table = &self.client.table;
            tracing::warn!(table, attribute, "time to live is on another attribute: retired signals stay in the table");
        }
        Ok(())
    }

    /// Which attribute says when an item's time is over, if one does.
    async fn expiry(&mut self) -> Result<Option<String>, Failure> {
        let Client { sdk, table, .. } = self.client;
        let answer = self.request(async || Ok(sdk.describe_time_to_live().table_name(table).send().await?)).await?;
        Ok(answer.time_to_live_description.and_then(enabled))
    }

    async fn set_expiry(&mut self) -> Result<(), Failure> {
        let Client { sdk, table, .. } = self.client;
        let specification = TimeToLiveSpecification::builder().enabled(true).attribute_name(EXPIRY).build();
        let specification = specification.map_err(|error| Failure::new(DynamoFailure::Rejected, error))?;
        let request = sdk.update_time_to_live().table_name(table).time_to_live_specification(specification);
        self.request(async || Ok(request.clone().send().await?)).await.map(|_| ())
    }
}

fn enabled(description: TimeToLiveDescription) -> Option<String> {
    let on = matches!(description.time_to_live_status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling));
    description.attribute_name.filter(|_| on)
}

fn keys() -> Result<(Vec<AttributeDefinition>, Vec<KeySchemaElement>), BuildError> {
    let (mut attributes, mut keys) = (Vec::new(), Vec::new());
    for (name, kind) in [(PARTITION_KEY, KeyType::Hash), (SORT_KEY, KeyType::Range)] {
        let attribute = AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
        attributes.push(attribute.build()?);
        keys.push(KeySchemaElement::builder().attribute_name(name).key_type(kind).build()?);
    }
    Ok((attributes, keys))
}

/// How the keys of a table are different from ours.
fn difference(table: &TableDescription) -> Option<String> {
    let kind = |name: &str| {
        let mut attributes = table.attribute_definitions().iter();
        let attribute = attributes.find(|attribute| attribute.attribute_name() == name);
        attribute.map_or("?", |attribute| attribute.attribute_type().as_str())
    };
    // The partition key is the first.
    let keys = table.key_schema().iter().map(|key| {
        let name = key.attribute_name();
        format!("{name} ({}, {})", key.key_type(), kind(name))
    });
    let keys = keys.collect::<Vec<_>>().join(" and ");
    (keys != OUR_KEYS).then(|| format!("its keys are {keys}, not {OUR_KEYS}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(keys: &[(&str, KeyType, ScalarAttributeType)]) -> TableDescription {
        let mut table = TableDescription::builder();
        for (name, kind, scalar) in keys {
            let attribute = AttributeDefinition::builder().attribute_name(*name).attribute_type(scalar.clone());
            let key = KeySchemaElement::builder().attribute_name(*name).key_type(kind.clone());
            table = table.attribute_definitions(attribute.build().unwrap()).key_schema(key.build().unwrap());
        }
        table.build()
    }

    #[test]
    fn a_table_of_ours_has_our_keys_and_may_have_more_attributes() {
        use KeyType::{Hash, Range};
        use ScalarAttributeType::{N, S};
        let other = AttributeDefinition::builder().attribute_name("state").attribute_type(S).build().unwrap();
        let mut ours = table(&[("PK", Hash, S), ("SK", Range, S)]);
        ours.attribute_definitions.get_or_insert_default().push(other);
        assert_eq!(difference(&ours), None);
        for (keys, said) in [
            (table(&[("PK", Hash, S)]), "PK (HASH, S)"),
            (table(&[("PK", Hash, S), ("SK", Range, N)]), "PK (HASH, S) and SK (RANGE, N)"),
            (table(&[("SK", Hash, S), ("PK", Range, S)]), "SK (HASH, S) and PK (RANGE, S)"),
            (table(&[("id", Hash, S)]), "id (HASH, S)"),
        ] {
            let expected = format!("its keys are {said}, not PK (HASH, S) and SK (RANGE, S)");
            assert_eq!(difference(&keys), Some(expected));
        }
    }

    #[test]
    fn a_time_to_live_counts_where_it_is_on_or_about_to_be() {
        let ttl = |status| TimeToLiveDescription::builder().time_to_live_status(status).attribute_name("ttl").build();
        assert_eq!(enabled(ttl(TimeToLiveStatus::Enabled)).as_deref(), Some("ttl"));
        assert_eq!(enabled(ttl(TimeToLiveStatus::Enabling)).as_deref(), Some("ttl"));
        assert_eq!(enabled(ttl(TimeToLiveStatus::Disabling)), None);
        assert_eq!(enabled(ttl(TimeToLiveStatus::Disabled)), None);
    }
}
