//! What `faultline.proto` promises of all its messages.

use faultline_proto::{
    descriptor_pool, reflected,
    v1::{ComplianceWindow, Explanation, Hypothesis, Incident, Verdicts, compliance_window, hypothesis, incident},
};
use prost_reflect::{Cardinality, Kind, MessageDescriptor};
use prost_types::Timestamp;
use serde_json::{json, to_value};

fn package() -> impl Iterator<Item = MessageDescriptor> {
    descriptor_pool().all_messages().filter(|message| message.package_name() == "faultline.v1")
}

#[test]
fn json_names_are_the_names_of_the_fields() {
    let wrong: Vec<_> = package()
        .flat_map(|message| message.fields().collect::<Vec<_>>())
        .filter(|field| field.json_name() != field.name())
        .map(|field| field.full_name().to_owned())
        .collect();
    assert!(wrong.is_empty(), "without json_name: {wrong:?}");
}

#[test]
fn every_answer_says_what_it_is_based_on_and_every_question_may_ask() {
    let service = descriptor_pool().get_service_by_name("faultline.v1.Faultline").unwrap();
    assert_eq!(service.methods().len(), 14);
    for method in service.methods() {
        let as_of = method.output().get_field_by_name("as_of").unwrap_or_else(|| panic!("{}", method.full_name()));
        assert_eq!(as_of.kind().as_message().unwrap().full_name(), "faultline.v1.AsOf");
        let least = method.input().get_field_by_name("min_as_of").unwrap_or_else(|| panic!("{}", method.full_name()));
        assert_eq!(least.kind().as_message().unwrap().full_name(), "faultline.v1.MinAsOf");
        assert_eq!(method.is_server_streaming(), method.name().starts_with("Watch"), "{}", method.full_name());
    }
}

#[test]
fn pages_are_as_aip_158_has_them() {
    for message in package().filter(|message| message.get_field_by_name("page_token").is_some()) {
        assert_eq!(message.get_field_by_name("page_size").unwrap().kind(), Kind::Int32, "{}", message.name());
        let response = format!("{}Response", message.full_name().strip_suffix("Request").unwrap());
        let response = descriptor_pool().get_message_by_name(&response).unwrap();
        assert_eq!(response.get_field(1).unwrap().cardinality(), Cardinality::Repeated, "{}", response.name());
        assert!(response.get_field_by_name("next_page_token").is_some(), "{}", response.name());
    }
}

#[test]
fn json_has_the_words_of_the_interfaces() {
    let explanation = Explanation {
        incident: Some(Incident {
            id: "INC-4F7A2B9C".into(),
            severity: "SEV-1".into(),
            status: incident::Status::Open.into(),
            opened_at: Some(Timestamp { seconds: 1_698_400_800, nanos: 123_000_000 }),
            ..Incident::default()
        }),
        hypotheses: vec![Hypothesis {
            kind: hypothesis::Kind::UpstreamDataset.into(),
            score: 0.92,
            confidence: hypothesis::Confidence::High.into(),
            layer: hypothesis::Layer::RuntimeTrace.into(),
            ..Hypothesis::default()
        }],
        ..Explanation::default()
    };
    assert_eq!(
        to_value(reflected(&explanation).unwrap()).unwrap(),
        json!({
            "incident": {"id": "INC-4F7A2B9C", "severity": "SEV-1", "status": "OPEN", "opened_at": "2023-10-27T10:00:00.123Z"},
            "hypotheses": [{"kind": "UPSTREAM_DATASET", "score": 0.92, "confidence": "HIGH", "layer": "RUNTIME_TRACE"}],
        })
    );
    let window = ComplianceWindow {
        dataset_urn: "urn:dp:orders:created".into(),
        fail: 1_120,
        status: compliance_window::Status::Final.into(),
        by_signature: [("MISSING_FIELD:customer_id".to_owned(), 1_120)].into(),
        by_producer: [("orders-svc".to_owned(), Verdicts { pass: 127, fail: 1_120, warn: 0 })].into(),
        ..ComplianceWindow::default()
    };
    assert_eq!(
        to_value(reflected(&window).unwrap()).unwrap(),
        json!({
            "dataset_urn": "urn:dp:orders:created",
            "fail": "1120",
            "status": "FINAL",
            "by_signature": {"MISSING_FIELD:customer_id": "1120"},
            "by_producer": {"orders-svc": {"pass": "127", "fail": "1120"}},
        })
    );
}
