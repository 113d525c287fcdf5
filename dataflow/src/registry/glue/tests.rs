use std::time::{Duration, UNIX_EPOCH};

use super::*;

const URL: &str = "https://glue.eu-west-1.amazonaws.com/";
const WHAT: &str = "glue:b7b4a7f0-9c96-4e4a-a687-fb5de9ef0c63";

fn read_json(status: u16, body: &Value) -> Result<SchemaText, RegistryError> {
    read(status, body.to_string().as_bytes(), URL, WHAT, "default-registry")
}

fn version() -> Value {
    json!({
        "SchemaVersionId": "b7b4a7f0-9c96-4e4a-a687-fb5de9ef0c63",
        "SchemaDefinition": "{\"type\": \"string\"}",
        "DataFormat": "AVRO",
        "SchemaArn": "arn:aws:glue:eu-west-1:123456789012:schema/default-registry/orders.created",
        "VersionNumber": 17,
        "Status": "AVAILABLE",
        "CreatedTime": "2026-11-25T09:00:00Z"
    })
}

fn failure(status: u16, kind: &str) -> RegistryError {
    read_json(status, &json!({ "__type": kind, "Message": "said so" })).unwrap_err()
}

#[test]
fn requests_are_as_the_api_takes_them() {
    assert_eq!(by_id("u").to_string(), r#"{"SchemaVersionId":"u"}"#);
    assert_eq!(
        by_name("mine", "orders.created", "17").unwrap(),
        json!({"SchemaId": {"RegistryName": "mine", "SchemaName": "orders.created"},
               "SchemaVersionNumber": {"VersionNumber": 17}})
    );
    let latest = by_name("mine", "theirs/orders", "latest").unwrap();
    assert_eq!(latest["SchemaId"], json!({"RegistryName": "theirs", "SchemaName": "orders"}));
    assert_eq!(latest["SchemaVersionNumber"], json!({"LatestVersion": true}));
    for version in ["", "v1", "-1", "newest"] {
        assert!(matches!(by_name("mine", "orders", version), Err(RegistryError::Unusable { .. })), "{version}");
    }
    assert_eq!(endpoint("eu-west-1"), URL);
    assert_eq!(endpoint("cn-north-1"), "https://glue.cn-north-1.amazonaws.com.cn/");
}

#[test]
fn a_schema_version_is_a_schema() {
    let schema = read_json(200, &version()).unwrap();
    assert_eq!((schema.format, schema.name.as_str()), (SchemaFormat::Avro, "orders.created"));
    assert_eq!((schema.version.as_deref(), schema.text.as_str()), (Some("17"), r#"{"type": "string"}"#));

    let mut elsewhere = version();
    elsewhere["SchemaArn"] = "arn:aws:glue:eu-west-1:123456789012:schema/theirs/orders.created".into();
    elsewhere["DataFormat"] = "PROTOBUF".into();
    let schema = read_json(200, &elsewhere).unwrap();
    assert_eq!((schema.format, schema.name.as_str()), (SchemaFormat::Protobuf, "theirs/orders.created"));

    let mut nameless = version();
    nameless.as_object_mut().unwrap().remove("SchemaArn");
    assert_eq!(read_json(200, &nameless).unwrap().version, None, "a version of nothing is none");
}

#[test]
fn what_is_there_and_cannot_be_used_is_told_apart() {
    let with = |key: &str, value: &str| {
        let mut changed = version();
        changed[key] = value.into();
        read_json(200, &changed).unwrap_err()
    };
    assert!(matches!(with("DataFormat", "THRIFT"), RegistryError::Unusable { .. }));
    assert!(matches!(with("Status", "PENDING"), RegistryError::Refused { transient: true, .. }));
    assert!(matches!(with("Status", "FAILURE"), RegistryError::Unknown(_)));
    // A captive portal, a load balancer's page.
    let page = read(200, b"<html>", URL, WHAT, "r").unwrap_err();
    assert!(matches!(page, RegistryError::Refused { transient: false, .. }), "{page}");
    assert!(page.to_string().contains("registry.glue.endpoint"), "{page}");
}

#[test]
fn unknown_is_only_what_the_registry_says_it_does_not_have() {
    assert!(matches!(failure(400, "EntityNotFoundException"), RegistryError::Unknown(_)));
    assert!(matches!(failure(400, "com.amazonaws.glue#EntityNotFoundException:http://x"), RegistryError::Unknown(_)));
    for (status, kind, transient) in [
        (400, "ThrottlingException", true),
        (400, "TooManyRequestsException", true),
        (429, "", true),
        (500, "InternalServiceException", true),
        (503, "", true),
        (400, "InvalidInputException", false),
        (404, "", false),
        (403, "", false),
    ] {
        let error = failure(status, kind);
        assert!(
            matches!(&error, RegistryError::Refused { transient: found, .. } if *found == transient),
            "{status} {kind}: {error:?}"
        );
    }
}

#[test]
fn refusals_say_what_to_do() {
    for (kind, hint) in [
        ("AccessDeniedException", "glue:GetSchemaVersion"),
        ("UnrecognizedClientException", "credentials"),
        ("InvalidSignatureException", "clock"),
        ("ExpiredTokenException", "renew"),
    ] {
        let message = failure(400, kind).to_string();
        assert!(message.contains(hint) && message.contains(kind) && message.contains("said so"), "{message}");
    }
    assert!(is_expired(&Err(failure(400, "ExpiredTokenException"))));
    assert!(!is_expired(&Err(failure(400, "AccessDeniedException"))) && !is_expired(&read_json(200, &version())));
}

#[test]
fn the_signature_is_that_of_the_standard() {
    let credentials = Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None, None, "test");
    let time = UNIX_EPOCH + Duration::from_secs(1_440_938_160);
    let headers = signature(URL, r#"{"SchemaVersionId":"u"}"#, "eu-west-1", &credentials, time).unwrap();
    let header = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    assert_eq!(header("x-amz-date"), Some("20150830T123600Z"));
    assert_eq!(header("authorization"), Some(BOTOCORE));
    assert_eq!(header("x-amz-security-token"), None);

    let session = Credentials::new("AKIDEXAMPLE", "secret", Some("token".to_owned()), None, "test");
    let headers = signature(URL, "{}", "eu-west-1", &session, time).unwrap();
    assert!(headers.contains(&("x-amz-security-token".to_owned(), "token".to_owned())));
}

/// What botocore signs the same request with.
const BOTOCORE: &str = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/eu-west-1/glue/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=ca69f24bb85b3602a13a29239a0dbf0a6da130cf8edc480b9e512db825e85faa";
