//! What DynamoDB's refusals mean, and those of its client.

use std::{error::Error as StdError, fmt, time::Duration};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::{
    config::http::HttpResponse,
    error::{BoxError, ProvideErrorMetadata, SdkError},
};

use crate::SinkError;

/// Why DynamoDB did not do what it was asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DynamoFailure {
    /// It does not answer, or not with success, for reasons of its own.
    Unavailable,
    /// It asks for fewer writes.
    Throttled,
    /// There is no such table.
    NoTable,
    /// The table is there, and of another kind.
    OtherTable,
    /// The program may not do that.
    Denied,
    /// There are no credentials, or they are not valid.
    Credentials,
    /// There is no region.
    NoRegion,
    /// It refuses the request as it is.
    Rejected,
}

impl DynamoFailure {
    /// Whether the same may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Unavailable | Self::Throttled)
    }

    /// What somebody can do about it.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Self::Unavailable => "check that the endpoint is the right one and can be reached from here",
            Self::Throttled => "raise the write capacity of the table, or make it an on-demand table",
            Self::NoTable => "make it with `faultline run --create-tables`, or correct its name and region",
            Self::OtherTable => "name a table whose partition key is PK and whose sort key is SK, both strings",
            Self::Denied => {
                "allow the program's role dynamodb:PutItem and dynamodb:GetItem on the table, and for --create-tables \
                 CreateTable, DescribeTable, UpdateTimeToLive and DescribeTimeToLive"
            }
            Self::Credentials => {
                "give the program a role or valid AWS credentials, check the machine's clock, and for DynamoDB Local set \
                 `credentials: local`"
            }
            Self::NoRegion => "set `region`, or AWS_REGION",
            Self::Rejected => "check the table's name and its definition",
        }
    }

    /// By the error's code, and for codes that are not known by the answer's HTTP status. What nobody can interpret is
    /// taken for a failure that passes, so that nothing is dropped for it.
    pub(super) fn of(code: Option<&str>, status: u16) -> Self {
        match (code.unwrap_or_default(), status) {
            ("ValidationException" | "SerializationException" | "ItemCollectionSizeLimitExceededException", _)
            | ("", 413) => Self::Rejected,
            (
                "ProvisionedThroughputExceededException"
                | "RequestLimitExceeded"
                | "ThrottlingException"
                | "Throttling"
                | "LimitExceededException",
                _,
            )
            | ("", 429) => Self::Throttled,
            ("ResourceNotFoundException" | "TableNotFoundException", _) => Self::NoTable,
            (
                "AccessDeniedException"
                | "AccessDenied"
                | "NotAuthorized"
                | "OptInRequired"
                | "InaccessibleEncryptionCredentialsException",
                _,
            )
            | ("", 403) => Self::Denied,
            (
                "UnrecognizedClientException"
                | "InvalidSignatureException"
                | "InvalidClientTokenId"
                | "MissingAuthenticationToken"
                | "MissingAuthenticationTokenException"
                | "IncompleteSignature"
                | "IncompleteSignatureException"
                | "ExpiredToken"
                | "ExpiredTokenException",
                _,
            ) => Self::Credentials,
            (kms, _) if kms.starts_with("KMS") => Self::Denied,
            _ => Self::Unavailable,
        }
    }
}

impl fmt::Display for DynamoFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unavailable => "it does not answer as it should",
            Self::Throttled => "it asks for fewer requests",
            Self::NoTable => "there is no such table",
            Self::OtherTable => "the table is none for signals",
            Self::Denied => "that is not allowed",
            Self::Credentials => "there are no credentials that are valid",
            Self::NoRegion => "there is no region",
            Self::Rejected => "it refuses the request as it is",
        })
    }
}

/// A request that failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub kind: DynamoFailure,
    /// What DynamoDB or its client said.
    pub source: BoxError,
}

/// No answer in time.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {} ms", .0.as_millis())]
pub(super) struct NoAnswer(pub Duration);

impl Failure {
    pub(super) fn new(kind: DynamoFailure, source: impl Into<BoxError>) -> Self {
        Self { kind, source: source.into() }
    }

    /// With what was tried, on which table, and where that is.
    pub(super) fn error(self, action: &'static str, table: &str, place: &str) -> SinkError {
        let Self { kind: failure, source } = self;
        SinkError::DynamoDb { action, table: table.to_owned(), place: place.to_owned(), failure, source }
    }
}

impl From<NoAnswer> for Failure {
    fn from(error: NoAnswer) -> Self {
        Self::new(DynamoFailure::Unavailable, error)
    }
}

impl<E> From<SdkError<E, HttpResponse>> for Failure
where
    E: StdError + ProvideErrorMetadata + Send + Sync + 'static,
{
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        match error {
            SdkError::ServiceError(answer) => {
                let kind = DynamoFailure::of(answer.err().code(), answer.raw().status().as_u16());
                Self::new(kind, answer.into_err())
            }
            // Neither a request was sent nor can it be told why; or it was, and what came is no answer.
            other => {
                let kind = if is_about_credentials(&other) {
                    DynamoFailure::Credentials
                } else if matches!(other, SdkError::ConstructionFailure(_)) {
                    DynamoFailure::Rejected
                } else {
                    DynamoFailure::Unavailable
                };
                Self::new(kind, other)
            }
        }
    }
}

/// Whether somewhere among the causes nobody had credentials to give. That a source of them did not answer passes.
fn is_about_credentials(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(credentials) = error.downcast_ref::<CredentialsError>() {
            return matches!(
                credentials,
                CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_)
            );
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_say_what_to_do() {
        use DynamoFailure::*;
        for (code, status, expected) in [
            (Some("ValidationException"), 400, Rejected),
            (Some("ProvisionedThroughputExceededException"), 400, Throttled),
            (Some("ThrottlingException"), 400, Throttled),
            (Some("RequestLimitExceeded"), 400, Throttled),
            (Some("ResourceNotFoundException"), 400, NoTable),
            (Some("AccessDeniedException"), 400, Denied),
            (Some("KMSAccessDeniedException"), 400, Denied),
            (Some("UnrecognizedClientException"), 400, Credentials),
            (Some("InvalidSignatureException"), 403, Credentials),
            (Some("ExpiredTokenException"), 400, Credentials),
            (Some("TransactionConflictException"), 400, Unavailable),
            (Some("ReplicatedWriteConflictException"), 400, Unavailable),
            (Some("InternalServerError"), 500, Unavailable),
            (Some("SomethingThatIsNotKnownYet"), 400, Unavailable),
            (None, 413, Rejected),
            (None, 429, Throttled),
            (None, 403, Denied),
            (None, 503, Unavailable),
        ] {
            assert_eq!(DynamoFailure::of(code, status), expected, "{code:?}, {status}");
        }
    }

    #[test]
    fn only_what_passes_by_itself_is_tried_again_at_once() {
        use DynamoFailure::*;
        for failure in [Unavailable, Throttled, NoTable, OtherTable, Denied, Credentials, NoRegion, Rejected] {
            assert_eq!(failure.is_transient(), matches!(failure, Unavailable | Throttled), "{failure}");
            assert!(!failure.hint().is_empty());
        }
    }

    #[test]
    fn missing_credentials_are_found_among_the_causes() {
        let failure = |cause: CredentialsError| {
            Failure::from(
                SdkError::<aws_sdk_dynamodb::operation::put_item::PutItemError, HttpResponse>::construction_failure(
                    cause,
                ),
            )
        };
        assert_eq!(failure(CredentialsError::not_loaded_no_source()).kind, DynamoFailure::Credentials);
        assert_eq!(failure(CredentialsError::provider_timed_out(Duration::ZERO)).kind, DynamoFailure::Rejected);
    }
}
