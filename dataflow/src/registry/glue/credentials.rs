//! The credentials and the region that requests are made with: looked for where the AWS tools look, kept while valid.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_config::{
    Region,
    default_provider::{credentials::DefaultCredentialsChain, region::DefaultRegionChain},
};
use aws_credential_types::{Credentials, provider::ProvideCredentials};
use tokio::sync::{Mutex, OnceCell};

use crate::{causes::WithCauses, registry::error::RegistryError};

/// How long before their end credentials are replaced.
const RENEW_BEFORE: Duration = Duration::from_secs(300);

/// Where credentials come from. One search at a time, and one that whoever asked gave up on goes on: a machine's role may
/// take longer to be told than a look-up may last.
#[derive(Debug)]
pub(super) struct AwsCredentials(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    configured: Option<String>,
    place: OnceCell<(String, DefaultCredentialsChain)>,
    valid: Mutex<Option<Credentials>>,
}

impl AwsCredentials {
    /// Nothing is looked for before the first request. `region` goes before what is found.
    pub(super) fn new(region: Option<String>) -> Self {
        Self(Arc::new(Inner { configured: region, place: OnceCell::new(), valid: Mutex::default() }))
    }

    /// The region, and credentials that are valid now.
    pub(super) async fn get(&self) -> Result<(String, Credentials), RegistryError> {
        let inner = Arc::clone(&self.0);
        let search = tokio::spawn(async move { inner.get().await });
        search.await.unwrap_or_else(|error| Err(nobody(format!("the search for credentials failed: {error}"))))
    }

    /// Has the next request look for other ones.
    pub(super) async fn discard(&self) {
        *self.0.valid.lock().await = None;
    }
}

impl Inner {
    async fn get(&self) -> Result<(String, Credentials), RegistryError> {
        let (region, chain) = self.place.get_or_try_init(|| self.find_place()).await?;
        let mut valid = self.valid.lock().await;
        if let Some(credentials) = valid.as_ref().filter(|known| is_fresh(known.expiry(), SystemTime::now())) {
            return Ok((region.clone(), credentials.clone()));
        }
        let found = chain.provide_credentials().await.map_err(|error| {
            nobody(format!(
                "no AWS credentials were found ({}); set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or \
                 give the machine a role",
                WithCauses(&error)
            ))
        })?;
        *valid = Some(found.clone());
        Ok((region.clone(), found))
    }

    async fn find_place(&self) -> Result<(String, DefaultCredentialsChain), RegistryError> {
        let region = match &self.configured {
            Some(region) => Some(Region::new(region.clone())),
            None => DefaultRegionChain::builder().build().region().await,
        };
        let region = region
            .ok_or_else(|| nobody("no AWS region is known; set registry.glue.region or AWS_REGION".to_owned()))?;
        let chain = DefaultCredentialsChain::builder().region(region.clone()).build().await;
        Ok((region.to_string(), chain))
    }
}

fn nobody(reason: String) -> RegistryError {
    RegistryError::Unreachable { address: "AWS Glue".to_owned(), reason }
}

/// Whether credentials that end then are still good for a request. Those without an end are always.
fn is_fresh(expiry: Option<SystemTime>, now: SystemTime) -> bool {
    expiry.is_none_or(|expiry| expiry.duration_since(now).is_ok_and(|left| left > RENEW_BEFORE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_replaced_before_they_end() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        assert!(is_fresh(None, now));
        assert!(is_fresh(Some(now + Duration::from_secs(900)), now));
        assert!(!is_fresh(Some(now + Duration::from_secs(299)), now));
        assert!(!is_fresh(Some(now - Duration::from_secs(1)), now));
    }
}
