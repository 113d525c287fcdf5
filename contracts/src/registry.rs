//! Schemas that records name by id: what an id is, what a registry holds under it, and what becomes of that.
//!
//! ```text
//! record ──wire header──► SchemaId ──registry──► SchemaText ──compile──► RegisteredSchema ──► JSON text, rules
//! ```
//! Nothing here talks to a registry. What an id stands for never changes, so a [`RegisteredSchema`] is compiled once and
//! kept, and a [`SchemaText`] may lie on a disk for as long as anybody likes.

mod avro;
mod body;
mod id;
mod json;
mod protobuf;
mod spelled;
mod text;
pub mod wire;

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

pub use self::{
    avro::AvroSchema,
    body::{BodyReader, Encoding},
    id::{SchemaId, SchemaIdError},
    protobuf::{Place, ProtobufSchema, ProtobufScratch},
    text::DecodeLimits,
};
use crate::{
    schema::{CompiledSchema, JsonSchema},
    validator::Unsupported,
};

/// Most bytes of a schema and all that it refers to: as much as a registry's answer may have.
const MAX_TEXT_BYTES: usize = 8 << 20;
/// Most schemas that one refers to.
const MAX_REFERENCES: usize = 512;

/// The language that a schema is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SchemaFormat {
    /// JSON Schema, of JSON records.
    Json,
    /// Avro, of records in Avro's binary encoding.
    Avro,
    /// Protocol Buffers: the text of a `.proto` file.
    Protobuf,
}

impl SchemaFormat {
    /// What people call it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Avro => "Avro",
            Self::Protobuf => "Protobuf",
        }
    }
}

impl fmt::Display for SchemaFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a registry holds under an id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaText {
    /// The language of the text.
    pub format: SchemaFormat,
    /// Glue's schema name, or Confluent's subject; of several subjects with the same schema, the first by name.
    pub name: String,
    /// The version under that name, where the registry says.
    pub version: Option<String>,
    /// The schema.
    pub text: String,
    /// Further names of the same schema, as references: `confluent:other-value:2`.
    #[serde(default)]
    pub other_names: Vec<String>,
    /// The schemas that it refers to, and those that they refer to: what is referred to before what refers to it.
    #[serde(default)]
    pub references: Vec<ReferencedSchema>,
}

/// A schema that another one refers to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReferencedSchema {
    /// The name by which it is referred to: the URI of a `$ref`, an Avro full name, the path of an `import`.
    pub name: String,
    /// The schema.
    pub text: String,
}

/// A schema, ready to judge records.
#[derive(Debug)]
pub enum SchemaModel {
    /// Rules of JSON records.
    Json(Box<CompiledSchema>),
    /// How Avro records are read.
    Avro(AvroSchema),
    /// How Protobuf records are read.
    Protobuf(ProtobufSchema),
}

impl SchemaModel {
    /// Compiles a schema.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn compile(format: SchemaFormat, text: &str, references: &[ReferencedSchema]) -> Result<Self, String> {
        let bytes = references.iter().map(|reference| reference.text.len()).fold(text.len(), usize::saturating_add);
        if bytes > MAX_TEXT_BYTES {
            return Err(format!("it has {bytes} bytes with all that it refers to, and {MAX_TEXT_BYTES} are allowed"));
        }
        if references.len() > MAX_REFERENCES {
            let count = references.len();
            return Err(format!("it refers to {count} schemas, and {MAX_REFERENCES} are allowed"));
        }
        match format {
            SchemaFormat::Json => {
                let bundle = json::bundle(text, references)?;
                let schema = JsonSchema::compile_value(&bundle).map_err(|error| error.to_string())?;
                Ok(Self::Json(Box::new(schema)))
            }
            SchemaFormat::Avro => {
                let references: Vec<&str> = references.iter().map(|reference| reference.text.as_str()).collect();
                AvroSchema::compile(text, &references).map(Self::Avro)
            }
            SchemaFormat::Protobuf => ProtobufSchema::compile(text, references).map(Self::Protobuf),
        }
    }

    /// The language that it is written in.
    #[must_use]
    pub fn format(&self) -> SchemaFormat {
        match self {
            Self::Json(_) => SchemaFormat::Json,
            Self::Avro(_) => SchemaFormat::Avro,
            Self::Protobuf(_) => SchemaFormat::Protobuf,
        }
    }

    /// How records of it are written.
    #[must_use]
    pub fn encoding(&self) -> Encoding<'_> {
        match self {
            Self::Json(_) => Encoding::Json,
            Self::Avro(schema) => Encoding::Avro(schema),
            Self::Protobuf(schema) => Encoding::Protobuf(schema),
        }
    }
}

/// A registered schema, ready to judge records.
#[derive(Debug)]
pub struct RegisteredSchema {
    id: SchemaId,
    reference: Arc<str>,
    /// Whether a version is known, so that [`RegisteredSchema::reference`] is a name.
    named: bool,
    other_names: Vec<String>,
    model: SchemaModel,
}

/// A registered schema that no record can be judged by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{format} schema {reference} ({id}) cannot be used: {message}")]
pub struct RegisteredSchemaError {
    /// Its id.
    pub id: SchemaId,
    /// Its name, as [`RegisteredSchema::reference`].
    pub reference: Arc<str>,
    /// The language that it claims to be in.
    pub format: SchemaFormat,
    /// What is wrong with it.
    pub message: String,
}

impl RegisteredSchemaError {
    /// As [`RegisteredSchema::differs_from`].
    #[must_use]
    pub fn differs_from(&self, catalogs: &str) -> bool {
        let named = *self.reference != *self.id.to_string();
        named && !catalogs.starts_with("file:") && !is_named_by(&self.reference, catalogs)
    }
}

impl RegisteredSchema {
    /// Compiles what a registry holds under `id`.
    ///
    /// # Errors
    /// Says why no record can be judged by it.
    ///
    /// ```
    /// use faultline_contracts::registry::{RegisteredSchema, SchemaFormat, SchemaId, SchemaText};
    /// let text = SchemaText {
    ///     format: SchemaFormat::Json,
    ///     name: "raw.orders-value".into(),
    ///     version: Some("4".into()),
    ///     text: r#"{"required": ["id"]}"#.into(),
    ///     other_names: Vec::new(),
    ///     references: Vec::new(),
    /// };
    /// let schema = RegisteredSchema::compile(SchemaId::Confluent(17), text)?;
    /// assert_eq!(schema.reference(), "confluent:raw.orders-value:4");
    /// # Ok::<(), faultline_contracts::registry::RegisteredSchemaError>(())
    /// ```
    pub fn compile(id: SchemaId, text: SchemaText) -> Result<Self, RegisteredSchemaError> {
        let (reference, named) = reference_of(id, &text);
        let SchemaText { format, name: _, version: _, text, other_names, references } = text;
        match SchemaModel::compile(format, &text, &references) {
            Ok(model) => Ok(Self { id, reference, named, other_names, model }),
            Err(message) => Err(RegisteredSchemaError { id, reference, format, message }),
        }
    }

    /// The id.
    #[must_use]
    pub fn id(&self) -> SchemaId {
        self.id
    }

    /// The name that catalogs and evidence use: `glue:orders.created:17`, `confluent:raw.orders-value:4`; the id where the
    /// registry does not say the version.
    #[must_use]
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// [`RegisteredSchema::reference`], to be shared.
    #[must_use]
    pub fn shared_reference(&self) -> &Arc<str> {
        &self.reference
    }

    /// Whether it is another schema than the one that a catalog names. No where that cannot be told: a `file:` has no
    /// version in a registry, and neither has a schema of which the registry says none.
    #[must_use]
    pub fn differs_from(&self, catalogs: &str) -> bool {
        let comparable = self.named && !catalogs.starts_with("file:");
        let mut names = std::iter::once(&*self.reference).chain(self.other_names.iter().map(|name| &**name));
        comparable && !names.any(|name| is_named_by(name, catalogs))
    }

    /// The language that it is written in.
    #[must_use]
    pub fn format(&self) -> SchemaFormat {
        self.model.format()
    }

    /// What records are judged by.
    #[must_use]
    pub fn model(&self) -> &SchemaModel {
        &self.model
    }

    /// What it asks for and nobody can judge.
    #[must_use]
    pub fn unsupported(&self) -> &[Unsupported] {
        match &self.model {
            SchemaModel::Json(schema) => &schema.unsupported,
            SchemaModel::Avro(_) | SchemaModel::Protobuf(_) => &[],
        }
    }
}

/// Whether a catalog's reference names this version: as it is, or as whichever is the latest.
fn is_named_by(reference: &str, catalogs: &str) -> bool {
    reference == catalogs
        || catalogs.strip_suffix(":latest").is_some_and(|name| {
            reference.strip_prefix(name).is_some_and(|version| version.starts_with(':') && !version[1..].contains(':'))
        })
}

/// A schema's name, and whether it is one.
fn reference_of(id: SchemaId, text: &SchemaText) -> (Arc<str>, bool) {
    let scheme = match id {
        SchemaId::Glue(_) => "glue",
        SchemaId::Confluent(_) | SchemaId::ConfluentGuid(_) => "confluent",
    };
    match &text.version {
        Some(version) => (format!("{scheme}:{}:{version}", text.name).into(), true),
        None => (id.to_string().into(), false),
    }
}
