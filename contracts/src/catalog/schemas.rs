//! Which file a dataset's schema is, and the rules in it.

use std::{fmt, path::PathBuf};

use super::{
    CatalogFiles,
    files::{schema_hash, text_hash},
};
use crate::{
    diagnostic::{Diagnostic, Findings, Position},
    registry::{ReferencedSchema, SchemaFormat, SchemaModel, SchemaText},
    schema::{CompiledSchema, JsonSchema},
    validator::{Unsupported, Validator},
};

/// What a dataset's `schema` names.
///
/// ```
/// use faultline_contracts::catalog::SchemaRef;
/// let schema = SchemaRef::parse("glue:orders.created:17").unwrap();
/// assert_eq!(schema.paths()[0], "schemas/orders.created/17.json");
/// assert_eq!(SchemaRef::parse("file:../secret.json"), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaRef {
    /// `glue:<name>:<version>`
    Glue {
        /// Schema name.
        name: String,
        /// Schema version.
        version: String,
    },
    /// `confluent:<subject>:<version>`
    Confluent {
        /// Subject.
        subject: String,
        /// Version.
        version: String,
    },
    /// `file:<path>`, relative to the catalog's directory and inside it.
    File(String),
}

impl SchemaRef {
    /// Reads a reference; `None` for what is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once(':')?;
        if scheme == "file" {
            return inside(rest).map(Self::File);
        }
        // Subjects may hold colons, versions do not.
        let (name, version) = rest.rsplit_once(':')?;
        if name.is_empty() || version.is_empty() {
            return None;
        }
        let (name, version) = (name.to_owned(), version.to_owned());
        match scheme {
            "glue" => Some(Self::Glue { name, version }),
            "confluent" => Some(Self::Confluent { subject: name, version }),
            _ => None,
        }
    }

    /// The files in the catalog's directory that it may be, in the order in which they are looked for.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        match self {
            Self::Glue { name, version } | Self::Confluent { subject: name, version } => {
                ["json", "avsc", "proto"].map(|extension| format!("schemas/{name}/{version}.{extension}")).to_vec()
            }
            Self::File(path) => vec![path.clone()],
        }
    }
}

/// A relative path that stays inside, without `.` segments.
fn inside(path: &str) -> Option<String> {
    let segments: Vec<&str> = path.split('/').filter(|segment| *segment != ".").collect();
    let sound = !path.contains('\\') && segments.iter().all(|segment| !segment.is_empty() && *segment != "..");
    sound.then(|| segments.join("/"))
}

/// What a reference to a schema leads to.
pub(super) enum Found {
    /// The schema.
    Schema(SchemaModel),
    /// A text that is no schema; it has been reported.
    Broken,
    /// Not of one of the forms.
    NotAReference,
    /// No such file.
    Missing(SchemaRef),
}

/// A hash of the schema that a reference leads to, 0 where it leads to none.
pub(super) fn hash(files: &CatalogFiles, reference: &str) -> u64 {
    let Some(schema) = SchemaRef::parse(reference) else { return 0 };
    if let Some(registered) = files.schema(&schema) {
        return schema_hash(registered);
    }
    schema.paths().iter().find_map(|path| files.get(path)).map_or(0, text_hash)
}

/// Finds and compiles the schema that `reference` names: what a registry said of it, else a file. What is wrong with it
/// goes to `diagnostics`, what it asks and nobody can judge to `coverage`.
pub(super) fn find(
    files: &CatalogFiles,
    reference: &str,
    diagnostics: &mut Vec<Diagnostic>,
    coverage: &mut Vec<Diagnostic>,
) -> Found {
    let Some(schema) = SchemaRef::parse(reference) else { return Found::NotAReference };
    let place;
    let mut findings;
    let found = if let Some(SchemaText { format, text, references, .. }) = files.schema(&schema) {
        place = PathBuf::from(reference);
        findings = Findings::about(&place);
        SchemaModel::compile(*format, text, references).map_err(|message| {
            findings.error("schema-invalid", Position::default(), format!("no {format} schema: {message}"));
        })
    } else {
        let candidates = schema.paths();
        let present = candidates.iter().find_map(|path| files.get(path).map(|text| (path, text)));
        let Some((path, text)) = present else { return Found::Missing(schema) };
        place = files.locate(path);
        findings = Findings::about(&place);
        file(files, path, text, &mut findings)
    };
    diagnostics.append(&mut findings.into_diagnostics());
    let Ok(model) = found else { return Found::Broken };
    if let SchemaModel::Json(schema) = &model {
        let mut findings = Findings::about(&place);
        let validator = Validator::compile(Some(&schema.rule), None);
        for Unsupported { path, keyword, reason } in schema.unsupported.iter().chain(validator.unsupported()) {
            let message = format!("'{keyword}' of '{path}' is not judged: {reason}");
            findings.note("schema-unsupported-keyword", Position::default(), message);
        }
        coverage.append(&mut findings.into_diagnostics());
    }
    Found::Schema(model)
}

/// Compiles a file. A `.proto` may import others of the directory, by their path in it or relative to `schemas/`.
fn file(files: &CatalogFiles, path: &str, text: &str, findings: &mut Findings<'_>) -> Result<SchemaModel, ()> {
    let (format, references) = match path.rsplit_once('.') {
        Some((_, "avsc")) => (SchemaFormat::Avro, Vec::new()),
        Some((_, "proto")) if text.contains("import") => (SchemaFormat::Protobuf, imports(files)),
        Some((_, "proto")) => (SchemaFormat::Protobuf, Vec::new()),
        _ => return compile(text, findings).map(|schema| SchemaModel::Json(Box::new(schema))).ok_or(()),
    };
    SchemaModel::compile(format, text, &references).map_err(|message| {
        findings.error("schema-invalid", Position::default(), format!("no {format} schema: {message}"));
    })
}

fn imports(files: &CatalogFiles) -> Vec<ReferencedSchema> {
    let protos = files.iter().filter(|(path, _)| path.ends_with(".proto"));
    let named = |name: &str, text: &str| ReferencedSchema { name: name.to_owned(), text: text.to_owned() };
    let both = protos.flat_map(|(path, text)| {
        let short = path.strip_prefix("schemas/").map(|short| named(short, text));
        std::iter::once(named(path, text)).chain(short)
    });
    both.collect()
}

fn compile(text: &str, findings: &mut Findings<'_>) -> Option<CompiledSchema> {
    let value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(error) => {
            let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            let at = Position { line: narrow(error.line()), column: narrow(error.column()) };
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or_default();
            findings.error("schema-syntax", at, format!("not JSON: {message}"));
            return None;
        }
    };
    match JsonSchema::compile_value(&value) {
        Ok(schema) => Some(schema),
        Err(error) => {
            findings.error("schema-invalid", Position::default(), format!("no JSON Schema: {error}"));
            None
        }
    }
}

impl fmt::Display for SchemaRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Glue { name, version } => write!(f, "glue:{name}:{version}"),
            Self::Confluent { subject, version } => write!(f, "confluent:{subject}:{version}"),
            Self::File(path) => write!(f, "file:{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_stay_inside_the_directory() {
        for bad in
            ["file:/etc/passwd", "file:a/../../b", "file:", "file:a//b", "file:a\\b", "glue:x", "glue::1", "x:a:1", "x"]
        {
            assert_eq!(SchemaRef::parse(bad), None, "{bad}");
        }
        assert_eq!(SchemaRef::parse("file:./s/a.json"), Some(SchemaRef::File("s/a.json".into())));
        let subject = SchemaRef::parse("confluent:raw:orders-value:4").unwrap();
        assert_eq!(subject.paths()[0], "schemas/raw:orders-value/4.json");
        assert_eq!(subject.to_string(), "confluent:raw:orders-value:4");
    }
}
