use faultline_contracts::time::UnixMillis;

use super::*;
use crate::decode::fixtures::{
    CDEVENTS_0_3_DEPLOYED, CDEVENTS_0_4_UPGRADED, CDEVENTS_0_5_DEPLOYED_STRUCTURED, shop, with,
};

fn bare(payload: &str) -> Result<Option<Deployment>, DecodeError> {
    decode(Headers::default(), payload.as_bytes(), &shop())
}

fn millis(text: &str) -> UnixMillis {
    text.parse().unwrap()
}

#[test]
fn an_event_of_version_0_3_is_a_deployment() {
    let expected = Deployment {
        service: "orders-svc".into(),
        at: millis("2023-10-27T09:57:45.123Z"),
        version: "v1.2.3".into(),
        kind: DeploymentKind::Deployed,
        environment: Some("prod".into()),
        event: "/event/source/123 271069a8-fc18-44f1-b38f-9d70a1695819".into(),
    };
    assert_eq!(bare(CDEVENTS_0_3_DEPLOYED), Ok(Some(expected)));
}

#[test]
fn an_event_of_version_0_4_is_a_deployment() {
    let expected = Deployment {
        service: "checkout-api".into(),
        at: millis("2023-10-27T09:57:45Z"),
        version: "2.0.0+build.7".into(),
        kind: DeploymentKind::Upgraded,
        environment: Some("production".into()),
        event: "/platform/argocd argo-8842".into(),
    };
    assert_eq!(bare(CDEVENTS_0_4_UPGRADED), Ok(Some(expected)));
}

#[test]
fn the_modes_of_cloudevents_say_the_same() {
    let sniffed = bare(CDEVENTS_0_5_DEPLOYED_STRUCTURED).unwrap().unwrap();
    assert_eq!((&*sniffed.service, &*sniffed.version), ("orders-svc", "4f0c1b9d"));

    let structured = [("content-type", Some(&b"Application/CloudEvents+JSON; charset=UTF-8"[..]))];
    let declared = decode(Headers(&structured), CDEVENTS_0_5_DEPLOYED_STRUCTURED.as_bytes(), &shop());
    assert_eq!(declared, Ok(Some(sniffed.clone())));

    let mut envelope: Value = serde_json::from_str(CDEVENTS_0_5_DEPLOYED_STRUCTURED).unwrap();
    let data = envelope["data"].to_string();
    let binary = [
        ("ce_specversion", Some(&b"1.0"[..])),
        ("ce_type", Some(b"dev.cdevents.service.deployed.0.3.0")),
        ("content-type", Some(b"application/json")),
    ];
    assert_eq!(decode(Headers(&binary), data.as_bytes(), &shop()), Ok(Some(sniffed.clone())));

    envelope["data"] = Value::String(data.clone());
    assert_eq!(bare(&envelope.to_string()), Ok(Some(sniffed.clone())), "JSON in a string");

    envelope["data"] = Value::Null;
    envelope["data_base64"] = Value::String(STANDARD.encode(data));
    assert_eq!(bare(&envelope.to_string()), Ok(Some(sniffed)), "JSON in base64");
}

#[test]
fn each_predicate_is_its_kind_in_any_version() {
    for (predicate, kind) in [
        ("deployed.0.1.1", DeploymentKind::Deployed),
        ("upgraded.0.3.0-draft", DeploymentKind::Upgraded),
        ("rolledback.9.0.0", DeploymentKind::RolledBack),
        ("removed", DeploymentKind::Removed),
    ] {
        let event = with(CDEVENTS_0_3_DEPLOYED, "deployed.0.1.1", predicate);
        assert_eq!(bare(&event).unwrap().unwrap().kind, kind);
    }
}

#[test]
fn other_events_are_no_deployments() {
    for predicate in
        ["dev.cdevents.service.published.0.1.1", "dev.cdevents.artifact.packaged.0.2.0", "com.example.ping"]
    {
        let event = with(CDEVENTS_0_3_DEPLOYED, "dev.cdevents.service.deployed.0.1.1", predicate);
        assert_eq!(bare(&event), Ok(None), "{predicate}");
        let event = with(CDEVENTS_0_5_DEPLOYED_STRUCTURED, "dev.cdevents.service.deployed.0.3.0", predicate);
        assert_eq!(bare(&event), Ok(None), "{predicate}, structured");
    }
    let avro = [("ce_type", Some(&b"com.example.order"[..])), ("content-type", Some(b"application/avro"))];
    assert_eq!(decode(Headers(&avro), b"\x00\x01", &shop()), Ok(None), "the payload is not looked at");
}

#[test]
fn services_are_known_by_full_id_or_last_segment() {
    for (subject, service) in [
        ("eu/billing", "billing-eu"),
        ("us/billing", "billing"),
        ("orders", "orders-svc"),
        ("/namespaces/shop/services/orders/", "orders-svc"),
    ] {
        let event = with(CDEVENTS_0_4_UPGRADED, "\"checkout-api\"", &format!("\"{subject}\""));
        assert_eq!(&*bare(&event).unwrap().unwrap().service, service);
    }
    let error = bare(&with(CDEVENTS_0_4_UPGRADED, "\"checkout-api\"", "\"//\"")).unwrap_err();
    assert_eq!(error.to_string(), "subject.id cannot be used: it has no name");
}

#[test]
fn versions_come_out_of_package_urls() {
    for (purl, version) in [
        ("pkg:oci/orders@v1.2.3", "v1.2.3"),
        ("pkg:oci/orders@sha256:abc123?tag=1.2", "1.2"),
        ("pkg:oci/orders@sha512%3Aabc123?arch=arm64&tag=1.2%2B3#sub/path", "1.2+3"),
        ("pkg:oci/orders@sha256%3Aabc123?repository_url=ghcr.io/x", "sha256:abc123"),
        ("pkg:oci/orders@1.2.3?tag=latest", "1.2.3"),
        ("pkg:oci/orders?tag=nightly", "nightly"),
        ("pkg:npm/%40shop/orders@12.3.1#src", "12.3.1"),
        ("pkg:npm/@shop/orders@12.3.1", "12.3.1"),
        ("pkg:golang/example.com/orders@feature/x", "feature/x"),
        ("pkg:generic/orders@1@2", "2"),
    ] {
        assert_eq!(version_of(purl).unwrap(), version, "{purl}");
    }
    for purl in
        ["registry.example/orders:1.2.3", "pkg:oci/orders", "pkg:npm/@shop/orders", "pkg:oci/orders@", "pkg:oci/o@%FF"]
    {
        let error = version_of(purl).unwrap_err();
        assert!(matches!(error, DecodeError::Invalid { .. }), "{purl}: {error}");
    }
}

#[test]
fn only_a_removal_needs_no_artifact() {
    let without = with(CDEVENTS_0_4_UPGRADED, "artifactId", "somethingElse");
    assert_eq!(bare(&without), Err(DecodeError::Missing { field: "subject.content.artifactId" }));
    let removed = bare(&with(&without, "upgraded", "removed")).unwrap().unwrap();
    assert_eq!((removed.kind, &*removed.version), (DeploymentKind::Removed, ""));
    let with_artifact = bare(&with(CDEVENTS_0_4_UPGRADED, "upgraded", "removed")).unwrap().unwrap();
    assert_eq!(&*with_artifact.version, "2.0.0+build.7");
}

#[test]
fn what_is_no_event_is_refused_with_a_reason() {
    for (payload, reason) in [
        ("", "not a JSON document"),
        ("deployed!", "not a JSON document"),
        ("[]", "context is missing"),
        ("{\"hello\":1}", "context is missing"),
        ("{\"context\":{}}", "context.type is missing"),
        (r#"{"specversion":"1.0","data":{}}"#, "type is missing"),
        (r#"{"specversion":"1.0","type":"dev.cdevents.service.deployed.0.3.0"}"#, "data is missing"),
        (r#"{"specversion":"1.0","type":"dev.cdevents.service.deployed.0.3.0","data":[1]}"#, "data cannot be used"),
    ] {
        let error = bare(payload).unwrap_err().to_string();
        assert!(error.starts_with(reason), "{payload}: {error}");
    }
    for (part, replacement, reason) in [
        ("2023-10-27T11:57:45+02:00", "yesterday", "context.timestamp cannot be used"),
        ("\"timestamp\"", "\"time\"", "context.timestamp is missing"),
        ("\"argo-8842\"", "7", "context.id cannot be used"),
        ("\"/platform/argocd\"", "null", "context.source is missing"),
        ("\"subject\"", "\"object\"", "subject.id is missing"),
    ] {
        let error = bare(&with(CDEVENTS_0_4_UPGRADED, part, replacement)).unwrap_err().to_string();
        assert!(error.starts_with(reason), "{replacement}: {error}");
    }
}
