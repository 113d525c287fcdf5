//! The configuration, described from the code: as a JSON Schema for editors, and as a table for people.

use std::fmt::Write as _;

use schemars::schema_for;
use serde_json::{Map, Value};

use super::Config;

/// The JSON Schema of `faultline.yaml`.
#[must_use]
pub fn schema() -> Value {
    schema_for!(Config).to_value()
}

/// Every setting with its type, its default and what it is, as a Markdown table.
#[must_use]
pub fn table() -> String {
    let schema = schema();
    let mut table = "| setting | type | default | what it is |\n|---|---|---|---|\n".to_owned();
    Reference { definitions: schema["$defs"].as_object() }.rows("", &schema, &mut table);
    table
}

struct Reference<'a> {
    definitions: Option<&'a Map<String, Value>>,
}

impl<'a> Reference<'a> {
    fn rows(&self, prefix: &str, object: &'a Value, table: &mut String) {
        let none = Map::new();
        for (name, property) in object["properties"].as_object().unwrap_or(&none) {
            let target = self.resolved(property);
            let path = format!("{prefix}{name}");
            let description = property["description"].as_str().or(target["description"].as_str()).unwrap_or_default();
            let default = match &property["default"] {
                Value::Null => String::new(),
                Value::String(text) => format!("`{text}`"),
                other => format!("`{other}`"),
            };
            let (kind, inside) = self.kind(target);
            let _ = writeln!(table, "| `{path}` | {kind} | {default} | {} |", cell(description));
            if let Some((suffix, inside)) = inside {
                self.rows(&format!("{path}{suffix}."), inside, table);
            }
        }
    }

    /// What a value is called, and the object whose settings are inside of it, if it is one or a list of such.
    fn kind(&self, schema: &'a Value) -> (String, Option<(&'static str, &'a Value)>) {
        if let Some(values) = choices(schema) {
            return (values.join(", "), None);
        }
        if schema["properties"].is_object() {
            return ("section".to_owned(), Some(("", schema)));
        }
        let kind = match &schema["type"] {
            Value::String(kind) => kind.as_str(),
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or("any"),
            _ => "text",
        };
        match kind {
            "array" => {
                let item = self.resolved(&schema["items"]);
                match self.kind(item) {
                    (_, Some((_, inside))) => ("list of sections".to_owned(), Some(("[]", inside))),
                    (kind, None) => (format!("list of {kind}"), None),
                }
            }
            "object" => {
                let (value, _) = self.kind(self.resolved(&schema["additionalProperties"]));
                (format!("{value} by name"), None)
            }
            "boolean" => ("true or false".to_owned(), None),
            "string" => ("text".to_owned(), None),
            other => (other.to_owned(), None),
        }
    }

    /// What a schema refers to, through references and through what may be null.
    fn resolved(&self, schema: &'a Value) -> &'a Value {
        let referred = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix("#/$defs/"));
        if let Some(target) = referred.and_then(|name| self.definitions?.get(name)) {
            return self.resolved(target);
        }
        let or_null = |branches: &'a Value| {
            let branches = branches.as_array()?;
            let mut others = branches.iter().filter(|branch| branch["type"] != "null");
            others.next().filter(|_| others.next().is_none())
        };
        match or_null(&schema["anyOf"]).or_else(|| or_null(&schema["allOf"])) {
            Some(only) => self.resolved(only),
            None => schema,
        }
    }
}

/// The values of an enumeration.
fn choices(schema: &Value) -> Option<Vec<String>> {
    let quoted = |value: &Value| Some(format!("`{}`", value.as_str()?));
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().map(quoted).collect();
    }
    let variants = schema["oneOf"].as_array()?.iter().map(|variant| match &variant["const"] {
        Value::String(_) => Some(vec![quoted(&variant["const"])?]),
        _ => variant["enum"].as_array()?.iter().map(quoted).collect(),
    });
    Some(variants.collect::<Option<Vec<_>>>()?.concat())
}

/// A description on one line, without what would end a cell.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_described_with_its_default() {
        let table = table();
        for row in table.lines().skip(2) {
            let cells: Vec<_> = row.split(" | ").collect();
            assert_eq!(cells.len(), 4, "{row}");
            assert!(!cells[3].trim_matches(['|', ' ']).is_empty(), "not described: {row}");
        }
        let row = |path: &str| {
            let start = format!("| `{path}` |");
            table.lines().find(|row| row.starts_with(&start)).unwrap_or("no such row")
        };
        assert!(row("tick_ms").contains("| integer | `20` |"), "{}", row("tick_ms"));
        assert!(row("evidence.pass").contains("| `all`, `ranges`, `none` | `all` |"), "{}", row("evidence.pass"));
        assert!(row("kafka.bootstrap").contains("| text |"), "{table}");
        assert!(row("webhooks[].url").contains("| text |"), "{table}");
    }

    /// `docs/OPERATIONS.md` has the table as it is made here; `make reference` writes it.
    #[test]
    fn the_operators_handbook_has_this_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/OPERATIONS.md");
        let handbook = std::fs::read_to_string(path).unwrap();
        let written = handbook.split_once("<!-- made by `make reference` -->\n").unwrap().1;
        let written = written.split_once("<!-- end -->").unwrap().0;
        assert!(written.trim() == table().trim(), "docs/OPERATIONS.md is behind the code: run `make reference`");
    }
}
