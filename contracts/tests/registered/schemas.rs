//! Schemas as registries hold them.

use faultline_contracts::registry::{
    ReferencedSchema, RegisteredSchema, SchemaFormat, SchemaId, SchemaModel, SchemaText,
};

fn registered(format: SchemaFormat, version: Option<&str>, text: &str) -> SchemaText {
    SchemaText {
        format,
        name: "orders-value".into(),
        version: version.map(Into::into),
        text: text.into(),
        other_names: vec!["confluent:other-value:1".into()],
        references: Vec::new(),
    }
}

#[test]
fn names_and_differences() {
    let compile = |version| {
        RegisteredSchema::compile(SchemaId::Confluent(17), registered(SchemaFormat::Json, version, "{}")).unwrap()
    };
    let named = compile(Some("4"));
    assert_eq!((named.reference(), named.format()), ("confluent:orders-value:4", SchemaFormat::Json));
    for (catalogs, differs) in [
        ("confluent:orders-value:4", false),
        ("confluent:other-value:1", false),
        ("confluent:orders-value:3", true),
        ("glue:orders-value:4", true),
        ("file:orders.json", false),
        ("confluent:orders-value:latest", false),
        ("confluent:orders:latest", true),
        ("glue:latest", true),
    ] {
        assert_eq!(named.differs_from(catalogs), differs, "{catalogs}");
    }
    let nameless = compile(None);
    assert_eq!((nameless.reference(), nameless.differs_from("confluent:orders-value:3")), ("confluent:17", false));
}

#[test]
fn broken_schemas_say_what_is_wrong() {
    for (format, text, message) in [
        (SchemaFormat::Json, r#"{"type": "text"}"#, "at '/type'"),
        (SchemaFormat::Json, "{", "not JSON"),
        (SchemaFormat::Avro, r#"{"type": "record", "name": "a"}"#, "record 'a' has no fields"),
        (SchemaFormat::Protobuf, "message {", "expected"),
    ] {
        let error =
            RegisteredSchema::compile(SchemaId::Glue([0; 16]), registered(format, Some("2"), text)).unwrap_err();
        assert_eq!((&*error.reference, error.format), ("glue:orders-value:2", format));
        assert!(error.message.contains(message), "{}", error.message);
        assert!(error.differs_from("glue:orders-value:1") && !error.differs_from("glue:orders-value:2"));
    }
}

#[test]
fn what_is_kept_on_a_disk_is_read_again() {
    let mut text = registered(SchemaFormat::Avro, Some("1"), "\"int\"");
    text.references.push(ReferencedSchema { name: "a".into(), text: "{}".into() });
    let json = serde_json::to_string(&text).unwrap();
    assert!(json.contains(r#""format":"AVRO""#));
    assert_eq!(serde_json::from_str::<SchemaText>(&json).unwrap(), text);
    let old = r#"{"format": "JSON", "name": "a", "version": null, "text": "{}"}"#;
    assert!(serde_json::from_str::<SchemaText>(old).unwrap().references.is_empty());
}

#[test]
fn schemas_have_limits() {
    let reference = |n: usize| ReferencedSchema { name: format!("r{n}"), text: "{}".into() };
    let many: Vec<_> = (0..600).map(reference).collect();
    assert!(SchemaModel::compile(SchemaFormat::Json, "{}", &many).unwrap_err().contains("600 schemas"));
    let long = " ".repeat(9 << 20);
    assert!(SchemaModel::compile(SchemaFormat::Avro, &long, &[]).unwrap_err().contains("bytes"));
}
