//! Tokens for SASL/OAUTHBEARER: who gives them, and how a client is handed one.
//!
//! Producers and consumers ask for a token by a callback of librdkafka's, whenever the one they have is near its end. A
//! client of the admin API never serves that callback, so it is handed one when it is made.
#![allow(unsafe_code)]

use std::{error::Error, ffi::CString, fmt, ops::Deref, sync::Arc};

use rdkafka::{
    ClientContext,
    bindings::{self, rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR},
    client::{Client, OAuthToken},
    error::RDKafkaErrorCode,
};

/// A token as brokers take it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// What is sent to the broker.
    pub value: String,
    /// Whom it stands for, in the client's own log.
    pub principal: String,
    /// When it ends, in milliseconds since the Unix epoch. A new one is asked for when four fifths of what is left of
    /// its life are over.
    pub expires_at_ms: i64,
}

/// Hides the token itself.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("principal", &self.principal)
            .field("expires_at_ms", &self.expires_at_ms)
            .finish_non_exhaustive()
    }
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no token for SASL/OAUTHBEARER: {0}")]
pub struct TokenError(pub String);

/// Gives tokens to clients of Kafka.
pub trait TokenProvider: Send + Sync {
    /// A token that is valid now. It is called on threads that have other work to do, so a provider has its next token
    /// ready before the last one ends; only where there is none yet does it wait for one, and not without end.
    ///
    /// # Errors
    /// There is none. The client goes on with what it has and asks again after ten seconds.
    fn token(&self) -> Result<Token, TokenError>;
}

/// A provider that clients share. Two are equal where they are the same.
#[derive(Clone)]
pub struct Tokens(Arc<dyn TokenProvider>);

impl Tokens {
    /// Shares a provider.
    pub fn new(provider: impl TokenProvider + 'static) -> Self {
        Self(Arc::new(provider))
    }
}

impl Deref for Tokens {
    type Target = dyn TokenProvider;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl PartialEq for Tokens {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Tokens {}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

/// What a client's context answers when librdkafka asks for a token.
///
/// # Errors
/// The provider has none, or there is no provider.
pub fn oauth_token(tokens: Option<&Tokens>) -> Result<OAuthToken, Box<dyn Error>> {
    let tokens = tokens.ok_or("OAUTHBEARER is set, and nothing that gives tokens: configure `kafka.msk_iam`")?;
    let Token { value, principal, expires_at_ms } = tokens.token().map_err(|TokenError(why)| {
        // librdkafka takes the text as C does.
        TokenError(why.replace('\0', " "))
    })?;
    Ok(OAuthToken { token: value, principal_name: principal, lifetime_ms: expires_at_ms })
}

/// Hands a client its first token; without one it does not connect.
///
/// # Errors
/// There is none, or the client is not set to OAUTHBEARER.
pub(super) fn hand_over<C: ClientContext>(client: &Client<C>, tokens: &Tokens) -> Result<(), TokenError> {
    let Token { value, principal, expires_at_ms } = tokens.token()?;
    let unfit = |error: std::ffi::NulError| TokenError(error.to_string());
    let (value, principal) = (CString::new(value).map_err(unfit)?, CString::new(principal).map_err(unfit)?);
    let mut why = [0_u8; 512];
    // SAFETY: the client lives while it is borrowed, the texts end with zeros, there are no extensions, and librdkafka
    // writes at most so many bytes of its reason.
    let code = unsafe {
        bindings::rd_kafka_oauthbearer_set_token(
            client.native_ptr(),
            value.as_ptr(),
            expires_at_ms,
            principal.as_ptr(),
            std::ptr::null_mut(),
            0,
            why.as_mut_ptr().cast(),
            why.len(),
        )
    };
    if code == RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    let why = why.split(|&byte| byte == 0).next().map(String::from_utf8_lossy).unwrap_or_default();
    Err(TokenError(format!("{}: {why}", RDKafkaErrorCode::from(code))))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(Result<Token, TokenError>);

    impl TokenProvider for Fixed {
        fn token(&self) -> Result<Token, TokenError> {
            self.0.clone()
        }
    }

    #[test]
    fn a_token_is_not_shown() {
        let token = Token { value: "hunter2".into(), principal: "faultline".into(), expires_at_ms: 7 };
        assert_eq!(format!("{token:?}"), "Token { principal: \"faultline\", expires_at_ms: 7, .. }");
    }

    #[test]
    fn without_a_token_it_says_why() {
        let nobody = oauth_token(None).err().unwrap().to_string();
        assert!(nobody.contains("kafka.msk_iam"), "{nobody}");
        let refused = Tokens::new(Fixed(Err(TokenError("no credentials\0 here".into()))));
        let error = oauth_token(Some(&refused)).err().unwrap().to_string();
        assert_eq!(error, "no token for SASL/OAUTHBEARER: no credentials  here");
    }

    #[test]
    fn a_client_that_takes_no_token_says_so() {
        let token = Token { value: "a".into(), principal: "b".into(), expires_at_ms: i64::MAX / 2_000 };
        let producer: rdkafka::producer::BaseProducer = rdkafka::ClientConfig::new().create().unwrap();
        let client = rdkafka::producer::Producer::client(&producer);
        let error = hand_over(client, &Tokens::new(Fixed(Ok(token)))).unwrap_err();
        assert!(error.to_string().contains("not the configured authentication mechanism"), "{error}");
    }
}
