//! Two readers and two validators, which must agree on whatever they are shown.

use std::collections::BTreeMap;

use faultline_contracts::{
    document::{Content, Document, Element, Limits, ParseError, Parser},
    schema::JsonSchema,
    validator::{Findings, Validator},
};
use serde_json::Value;

use crate::departures::Departure;

/// A schema as both validators have compiled it.
pub struct Judged {
    name: String,
    ours: Validator,
    theirs: jsonschema::Validator,
}

impl Judged {
    pub fn new(schema: &Value) -> Self {
        let compiled = JsonSchema::compile_value(schema).unwrap_or_else(|error| panic!("{schema}: {error}"));
        assert!(compiled.unsupported.is_empty(), "{schema}: {:?}", compiled.unsupported);
        let theirs = jsonschema::options().offline().should_validate_formats(true).build(schema);
        Self {
            name: schema.to_string(),
            ours: Validator::compile(Some(&compiled.rule), None),
            theirs: theirs.unwrap_or_else(|error| panic!("{schema}: {error}")),
        }
    }

    /// What we say of a text that we can read.
    pub fn our_verdict(&self, parser: &mut Parser, text: &str) -> bool {
        let mut findings = Findings::default();
        self.ours.check(&parser.parse(text.as_bytes()).unwrap(), &mut findings);
        findings.is_empty()
    }
}

/// What has been compared: a comparison in which one side never comes up proves nothing.
#[derive(Debug, Default)]
pub struct Tally {
    pub read_by_both: usize,
    pub refused_by_both: usize,
    pub too_deep_for_us: usize,
    pub too_large_for_them: usize,
    pub valid: usize,
    pub invalid: usize,
    /// How often the crate departed from the standard, by how.
    pub departures: BTreeMap<Departure, usize>,
}

impl Tally {
    pub fn documents(&self) -> usize {
        self.read_by_both + self.refused_by_both + self.too_deep_for_us + self.too_large_for_them
    }

    pub fn departures(&self) -> Vec<Departure> {
        self.departures.keys().copied().collect()
    }
}

/// Compares documents under some schemas.
pub struct Judges {
    schemas: Vec<Judged>,
    parser: Parser,
    findings: Findings,
    pub tally: Tally,
}

impl Judges {
    pub fn new<'s>(schemas: impl IntoIterator<Item = &'s Value>) -> Self {
        Self {
            schemas: schemas.into_iter().map(Judged::new).collect(),
            parser: Parser::new(Limits::default()),
            findings: Findings::default(),
            tally: Tally::default(),
        }
    }

    /// Both readers, then both validators under each schema.
    #[track_caller]
    pub fn compare(&mut self, bytes: &[u8]) {
        let shown = || String::from_utf8_lossy(&bytes[..bytes.len().min(400)]).into_owned();
        let theirs = serde_json::from_slice::<Value>(bytes);
        let document = match (self.parser.parse(bytes), &theirs) {
            (Ok(document), _) => document,
            (Err(ParseError::TooDeep { limit }), Ok(value)) => {
                assert!(depth(value) > limit, "{}", shown());
                self.tally.too_deep_for_us += 1;
                return;
            }
            (Err(ParseError::Unparseable { message }), Err(_)) => {
                assert!(message.len() < 100, "quotes nothing: {message}");
                self.tally.refused_by_both += 1;
                return;
            }
            (Err(_), Err(_)) => {
                self.tally.refused_by_both += 1;
                return;
            }
            (Err(error), Ok(_)) => panic!("only we refuse {:?}: {error}", shown()),
        };
        let value = match theirs {
            Ok(value) => value,
            Err(error) => {
                assert!(error.to_string().contains("number out of range"), "only they refuse {:?}: {error}", shown());
                assert!(any_number(document.root(), &|text| text.parse::<f64>().unwrap().is_infinite()), "{}", shown());
                self.tally.too_large_for_them += 1;
                for schema in &self.schemas {
                    self.findings.clear();
                    schema.ours.check(&document, &mut self.findings);
                }
                return;
            }
        };
        assert!(depth(&value) <= Limits::default().max_depth, "{}", shown());
        assert!(same(&document.root().to_json(), &value), "read in two ways: {:?}", shown());
        self.tally.read_by_both += 1;
        for schema in &self.schemas {
            self.findings.clear();
            schema.ours.check(&document, &mut self.findings);
            let (ours, theirs) = (self.findings.is_empty(), schema.theirs.is_valid(&value));
            if ours == theirs {
                *(if ours { &mut self.tally.valid } else { &mut self.tally.invalid }) += 1;
                continue;
            }
            let departure = departure(schema, &document, &value, ours).unwrap_or_else(|| {
                panic!("{}\n{}\nours {ours}, theirs {theirs}: {:?}", schema.name, shown(), self.findings.reason_codes())
            });
            *self.tally.departures.entry(departure).or_default() += 1;
        }
    }
}

/// Why `jsonschema` says other than we do, where it is known to be wrong.
fn departure(schema: &Judged, document: &Document<'_>, value: &Value, ours: bool) -> Option<Departure> {
    let mut parser = Parser::new(Limits::default());
    if [as_floats, as_printed].iter().any(|rounded| schema.our_verdict(&mut parser, &text_of(value, rounded)) != ours) {
        return Some(Departure::RoundsNumbers);
    }
    Departure::of_format(&schema.name, document.text(), ours)
}

/// What a 64-bit float holds of a number, to the last digit.
fn as_floats(number: &serde_json::Number) -> String {
    let digits = format!("{:.1074}", number.as_f64().unwrap());
    digits.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The shortest number of those that a 64-bit float holds as the same one.
fn as_printed(number: &serde_json::Number) -> String {
    serde_json::Number::from_f64(number.as_f64().unwrap()).unwrap().to_string()
}

/// `value` with its numbers written in another way.
fn text_of(value: &Value, number: &dyn Fn(&serde_json::Number) -> String) -> String {
    let quoted = |text: &String| Value::from(text.as_str()).to_string();
    match value {
        Value::Number(written) => number(written),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| text_of(item, number)).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(members) => {
            let member = |(name, value)| format!("{}:{}", quoted(name), text_of(value, number));
            format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

fn any_number(value: Element<'_>, holds: &dyn Fn(&str) -> bool) -> bool {
    match value.content() {
        Content::Number(number) => holds(number.text()),
        Content::Array(array) => array.iter().any(|item| any_number(item, holds)),
        Content::Object(object) => object.iter().any(|(_, value)| any_number(value, holds)),
        _ => false,
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Equal, where `-0` is an integer for us and a float for `serde_json`.
fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == Some(0.0) && b.as_f64() == Some(0.0),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}
