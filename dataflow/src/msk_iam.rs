//! Signs in to Amazon MSK with IAM: a token is a request to `kafka-cluster:Connect`, signed by AWS credentials, that the
//! broker sends on to IAM. It holds for a quarter of an hour.

use std::time::Duration;

use aws_config::{Region, sts::AssumeRoleProvider};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_msk_iam_sasl_signer::generate_auth_token_from_credentials_provider;
use faultline_sinks::kafka::{Token, TokenError, TokenProvider};

use self::fresh::FreshTokens;
use crate::{causes::WithCauses, config::MskIam};

mod fresh;

/// How long credentials and token may take: the chain may ask an instance's metadata service and STS.
const SIGN_TIMEOUT: Duration = Duration::from_secs(10);
/// Under which name an assumed role shows in CloudTrail.
const SESSION: &str = "faultline";

/// Tokens for MSK. The first call starts the thread that fetches them, and waits for the first.
pub struct MskTokens(FreshTokens);

impl MskTokens {
    /// Tokens of these credentials.
    #[must_use]
    pub fn new(iam: MskIam) -> Self {
        Self(FreshTokens::new("msk tokens", SIGN_TIMEOUT, move || fetch(&iam)))
    }
}

impl TokenProvider for MskTokens {
    fn token(&self) -> Result<Token, TokenError> {
        self.0.token()
    }
}

/// Finds credentials and signs a token.
fn fetch(iam: &MskIam) -> Result<Token, TokenError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| TokenError(format!("cannot start a runtime to sign in: {error}")))?;
    let signed = async {
        let region = Region::new(iam.region.clone());
        let credentials = credentials(iam, &region).await?;
        sign(region, credentials).await
    };
    runtime
        .block_on(async { tokio::time::timeout(SIGN_TIMEOUT, signed).await })
        .unwrap_or_else(|_| Err(TokenError(format!("AWS credentials did not come within {SIGN_TIMEOUT:?}"))))
}

async fn credentials(iam: &MskIam, region: &Region) -> Result<SharedCredentialsProvider, TokenError> {
    let MskIam { region: _, role_arn, profile } = iam;
    let mut loader = aws_config::from_env().region(region.clone());
    if let Some(profile) = profile {
        loader = loader.profile_name(profile);
    }
    let config = loader.load().await;
    match role_arn {
        Some(role) => {
            let role = AssumeRoleProvider::builder(role)
                .configure(&config)
                .region(region.clone())
                .session_name(SESSION)
                .build()
                .await;
            Ok(SharedCredentialsProvider::new(role))
        }
        None => config.credentials_provider().ok_or_else(|| {
            TokenError(
                "no AWS credentials are configured: set kafka.msk_iam.profile or role_arn, or give the \
                        process credentials by environment, web identity or instance profile"
                    .to_owned(),
            )
        }),
    }
}

async fn sign(region: Region, credentials: SharedCredentialsProvider) -> Result<Token, TokenError> {
    let (value, expires_at_ms) = generate_auth_token_from_credentials_provider(region, credentials)
        .await
        .map_err(|error| TokenError(WithCauses(&error).to_string()))?;
    Ok(Token { value, principal: SESSION.to_owned(), expires_at_ms })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use aws_credential_types::Credentials;
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

    use super::*;
    use crate::engine::wall_clock;

    #[test]
    fn a_token_is_a_signed_request_to_connect() {
        let credentials = Credentials::from_keys("AKIDEXAMPLE", "not-a-secret", Some("session".to_owned()));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let signed = sign(Region::new("eu-central-1"), SharedCredentialsProvider::new(credentials));
        let now = wall_clock().0;
        let token = runtime.block_on(signed).unwrap();
        let life = token.expires_at_ms - now;
        assert!((895_000..=905_000).contains(&life), "{life} ms");

        let url = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(&token.value).unwrap()).unwrap();
        let (endpoint, query) = url.split_once('?').unwrap();
        assert_eq!(endpoint, "https://kafka.eu-central-1.amazonaws.com/");
        let query: BTreeMap<_, _> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        assert_eq!(query["Action"], "kafka-cluster%3AConnect");
        assert_eq!(query["X-Amz-Algorithm"], "AWS4-HMAC-SHA256");
        assert_eq!(query["X-Amz-Expires"], "900");
        assert_eq!(query["X-Amz-Security-Token"], "session");
        let credential = query["X-Amz-Credential"];
        assert!(credential.starts_with("AKIDEXAMPLE%2F") && credential.contains("%2Feu-central-1%2Fkafka-cluster%2F"));
        assert_eq!(query["X-Amz-Signature"].len(), 64);
        assert!(!url.contains("not-a-secret"));
    }
}
