use super::*;

const URL: &str = "http://registry:8081";

fn registered(json: &str) -> Registered {
    read(200, json.as_bytes(), URL, "confluent:7").unwrap()
}

fn failed(status: u16, body: &str) -> RegistryError {
    read::<Registered>(status, body.as_bytes(), URL, "confluent:7").unwrap_err()
}

fn place(subject: &str, version: u64) -> Place {
    Place { subject: subject.to_owned(), version }
}

#[test]
fn a_schema_has_its_first_name_and_knows_the_others() {
    let answer = registered(r#"{"schema": "\"string\""}"#);
    let places = vec![place("b-value", 1), place("a-value", 9), place("a-value", 2)];
    let (schema, references) = text_of(answer, places, "confluent:7").unwrap();
    assert_eq!((schema.format, schema.text.as_str()), (SchemaFormat::Avro, "\"string\""));
    assert_eq!((schema.name.as_str(), schema.version.as_deref()), ("a-value", Some("2")));
    assert_eq!(schema.other_names, ["confluent:a-value:9", "confluent:b-value:1"]);
    assert!(references.is_empty());
}

#[test]
fn formats_references_and_what_newer_registries_say_besides() {
    let answer = registered(
        r#"{"id": 7, "guid": "x", "subject": "s", "version": 3, "schemaType": "PROTOBUF", "schema": "syntax",
            "references": [{"name": "a.proto", "subject": "a", "version": 1}], "metadata": null, "ruleSet": {}}"#,
    );
    let (schema, references) = text_of(answer, vec![place("s", 3)], "confluent:7").unwrap();
    assert_eq!((schema.format, schema.name.as_str()), (SchemaFormat::Protobuf, "s"));
    assert!(schema.other_names.is_empty(), "one place, told twice");
    assert_eq!(references, [Reference { name: "a.proto".into(), subject: "a".into(), version: 1 }]);

    let json = registered(r#"{"schemaType": "JSON", "schema": "{}"}"#);
    let (schema, _) = text_of(json, Vec::new(), "confluent:7").unwrap();
    assert_eq!((schema.format, schema.version), (SchemaFormat::Json, None));
    let other = registered(r#"{"schemaType": "THRIFT", "schema": ""}"#);
    assert!(matches!(text_of(other, Vec::new(), "x"), Err(RegistryError::Unusable { .. })));
}

#[test]
fn unknown_is_only_what_the_registry_says_it_does_not_have() {
    for code in [40_401, 40_402, 40_403] {
        let error = failed(404, &format!(r#"{{"error_code": {code}, "message": "not found"}}"#));
        assert!(matches!(error, RegistryError::Unknown(_)), "{error:?}");
    }
    for (status, body, transient) in [
        (404, "404 page not found", false),
        (404, r#"{"error_code": 404, "message": "HTTP 404 Not Found"}"#, false),
        (200, "<html>", false),
        (200, r#"{"error_code": 40403}"#, false),
        (302, "", false),
        (422, r#"{"error_code": 42202, "message": "no version"}"#, false),
        (429, "", true),
        (500, r#"{"error_code": 50001, "message": "store"}"#, true),
        (503, "", true),
    ] {
        let error = failed(status, body);
        assert!(
            matches!(&error, RegistryError::Refused { transient: found, .. } if *found == transient),
            "{status} {body}: {error:?}"
        );
    }
}

#[test]
fn refusals_say_what_to_do_and_who_may_do_better_is_asked() {
    for (status, hint) in [(401, "password"), (403, "allow"), (302, "registry.confluent.urls")] {
        let error = failed(status, "");
        assert!(error.to_string().contains(hint) && !is_for_another(&error), "{error}");
    }
    assert!(is_for_another(&failed(503, "")));
    let silence = RegistryError::Unreachable { address: URL.to_owned(), reason: "refused".to_owned() };
    assert!(is_for_another(&silence));
    assert!(!is_for_another(&failed(404, r#"{"error_code": 40403}"#)));
}

#[test]
fn subjects_may_hold_anything() {
    assert_eq!(version_path("a/b:c é", "latest"), "/subjects/a%2Fb%3Ac%20%C3%A9/versions/latest");
}
