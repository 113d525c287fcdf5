//! Reading an Avro schema.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::AvroSchema;
use crate::evidence::write_json_string;

/// Most schemas within one another, through references as well.
const MAX_DEPTH: usize = 160;
/// Most nodes of a schema.
const MAX_NODES: usize = 100_000;
/// The largest scale of a decimal: each unit of it is a digit that a small record can ask for.
const MAX_SCALE: u64 = 1_000;

/// One schema.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed(usize),
    /// Each symbol as a JSON string.
    Enum(Box<[Box<[u8]>]>),
    Array(u32),
    Map(u32),
    Union(Box<[u32]>),
    Record(Box<[Field]>),
    /// `size` bytes, or as many as the record says.
    Decimal {
        scale: usize,
        size: Option<usize>,
    },
    BigDecimal,
    UuidBytes,
    Duration,
    /// A date, time or timestamp.
    Time {
        kind: TimeKind,
        /// Whether it is written as the number that it is.
        number: bool,
    },
}

/// A field of a record.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    pub(super) name: Box<str>,
    /// `"name":`
    pub(super) label: Box<[u8]>,
    pub(super) node: u32,
}

/// What a time counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeKind {
    /// Days since the epoch.
    Date,
    TimeMillis,
    TimeMicros,
    /// So many digits of a second, since the epoch, in UTC or in no zone.
    Timestamp {
        digits: u32,
        local: bool,
    },
}

pub(super) fn compile(text: &str, references: &[&str]) -> Result<AvroSchema, String> {
    let root = parse(text)?;
    let mut values = Vec::with_capacity(references.len());
    for reference in references {
        values.push(parse(reference).map_err(|error| format!("in a referenced schema: {error}"))?);
    }
    let mut compiler = Compiler { nodes: Vec::new(), names: BTreeMap::new(), unread: BTreeMap::new() };
    let mut inner = BTreeMap::new();
    for value in &values {
        compiler.offer(value, &mut inner);
    }
    // What a referenced schema is goes before what others have inside.
    for (name, schema) in inner {
        compiler.unread.entry(name).or_insert(schema);
    }
    let root = compiler.schema(&root, "", 0)?;
    Ok(AvroSchema { nodes: compiler.nodes, root })
}

/// A schema's text; a bare name of a primitive type is one too, with or without quotes.
fn parse(text: &str) -> Result<Value, String> {
    let text = text.trim();
    match serde_json::from_str(text) {
        Ok(value) => Ok(value),
        Err(_) if primitive(text).is_some() => Ok(Value::String(text.to_owned())),
        Err(error) => Err(format!("not JSON: {error}")),
    }
}

fn primitive(name: &str) -> Option<Node> {
    Some(match name {
        "null" => Node::Null,
        "boolean" => Node::Boolean,
        "int" => Node::Int,
        "long" => Node::Long,
        "float" => Node::Float,
        "double" => Node::Double,
        "bytes" => Node::Bytes,
        "string" => Node::String,
        _ => return None,
    })
}

struct Compiler<'a> {
    nodes: Vec<Node>,
    /// Named types that have been met, by full name.
    names: BTreeMap<String, u32>,
    /// Referenced schemas that nobody has asked for yet, by the full names of the types that are defined in them.
    unread: BTreeMap<String, &'a Value>,
}

impl<'a> Compiler<'a> {
    /// Takes note of the named types at the top of a referenced schema, and of those `inner` to it.
    fn offer(&mut self, value: &'a Value, inner: &mut BTreeMap<String, &'a Value>) {
        match value {
            Value::Array(several) => several.iter().for_each(|one| self.offer(one, inner)),
            Value::Object(keys) => {
                if let Ok((name, _)) = full_name(keys, "") {
                    self.unread.entry(name).or_insert(value);
                }
                definitions(value, "", &mut |name| _ = inner.entry(name).or_insert(value));
            }
            _ => {}
        }
    }

    fn add(&mut self, node: Node) -> Result<u32, String> {
        if self.nodes.len() >= MAX_NODES {
            return Err(format!("more than {MAX_NODES} types"));
        }
        self.nodes.push(node);
        Ok(self.nodes.len() as u32 - 1)
    }

    fn schema(&mut self, schema: &Value, space: &str, depth: usize) -> Result<u32, String> {
        if depth > MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH}"));
        }
        match schema {
            Value::String(name) => self.named(name, space, depth),
            Value::Array(branches) => {
                let mut places = Vec::with_capacity(branches.len());
                for branch in branches {
                    let place = self.schema(branch, space, depth + 1)?;
                    if matches!(self.nodes.get(place as usize), Some(Node::Union(_))) {
                        return Err("a union directly in a union".to_owned());
                    }
                    places.push(place);
                }
                self.add(Node::Union(places.into()))
            }
            Value::Object(keys) => self.complex(keys, space, depth),
            _ => Err("a schema is a string, an array or an object".to_owned()),
        }
    }

    /// What a name stands for: a primitive type, a type that was defined before, or one of a referenced schema.
    fn named(&mut self, name: &str, space: &str, depth: usize) -> Result<u32, String> {
        if let Some(node) = primitive(name) {
            return self.add(node);
        }
        let qualified =
            if name.contains('.') || space.is_empty() { name.to_owned() } else { format!("{space}.{name}") };
        for candidate in [qualified.as_str(), name] {
            if let Some(&place) = self.names.get(candidate) {
                return Ok(place);
            }
            if let Some(schema) = self.unread.remove(candidate) {
                // It may be that type, or have it inside.
                self.schema(schema, "", depth + 1)?;
                if let Some(&place) = self.names.get(candidate) {
                    return Ok(place);
                }
            }
        }
        Err(format!("'{}' is not defined", clip(&qualified)))
    }

    fn complex(&mut self, keys: &Map<String, Value>, space: &str, depth: usize) -> Result<u32, String> {
        let name = match keys.get("type") {
            Some(Value::String(name)) => name.as_str(),
            Some(inner) => return self.schema(inner, space, depth + 1),
            None => return Err("a type is missing".to_owned()),
        };
        match name {
            "record" | "error" => {
                let (name, space) = full_name(keys, space)?;
                // Its fields may speak of it.
                let place = self.define(name.clone(), Node::Null)?;
                let fields = self.fields(keys, &name, &space, depth)?;
                self.nodes[place as usize] = Node::Record(fields);
                Ok(place)
            }
            "enum" => {
                let (name, _) = full_name(keys, space)?;
                let symbols = keys.get("symbols").and_then(Value::as_array);
                let symbols = symbols.ok_or_else(|| format!("enum '{}' has no symbols", clip(&name)))?;
                let symbols: Option<Box<[_]>> = symbols.iter().map(|symbol| symbol.as_str().map(json)).collect();
                let symbols = symbols.ok_or_else(|| format!("a symbol of '{}' is no string", clip(&name)))?;
                self.define(name, Node::Enum(symbols))
            }
            "fixed" => {
                let (name, _) = full_name(keys, space)?;
                let size = keys.get("size").and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
                let size = size.ok_or_else(|| format!("fixed '{}' has no size", clip(&name)))?;
                let node = logical(keys, Node::Fixed(size))?;
                self.define(name, node)
            }
            "array" => {
                let items = keys.get("items").ok_or("an array has no 'items'")?;
                let items = self.schema(items, space, depth + 1)?;
                self.add(Node::Array(items))
            }
            "map" => {
                let values = keys.get("values").ok_or("a map has no 'values'")?;
                let values = self.schema(values, space, depth + 1)?;
                self.add(Node::Map(values))
            }
            _ => match primitive(name) {
                Some(node) => {
                    let node = logical(keys, node)?;
                    self.add(node)
                }
                None => self.named(name, space, depth),
            },
        }
    }

    fn define(&mut self, name: String, node: Node) -> Result<u32, String> {
        self.unread.remove(&name);
        if self.names.contains_key(&name) {
            return Err(format!("'{}' is defined twice", clip(&name)));
        }
        let place = self.add(node)?;
        self.names.insert(name, place);
        Ok(place)
    }

    fn fields(
        &mut self,
        keys: &Map<String, Value>,
        record: &str,
        space: &str,
        depth: usize,
    ) -> Result<Box<[Field]>, String> {
        let written = keys.get("fields").and_then(Value::as_array);
        let written = written.ok_or_else(|| format!("record '{}' has no fields", clip(record)))?;
        let mut fields = Vec::<Field>::with_capacity(written.len());
        let mut seen = std::collections::BTreeSet::new();
        for field in written {
            let name = field.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
            let name = name.ok_or_else(|| format!("a field of '{}' has no name", clip(record)))?;
            let place = || format!("field '{}' of '{}'", clip(name), clip(record));
            if !seen.insert(name) {
                return Err(format!("{} is there twice", place()));
            }
            let schema = field.get("type").ok_or_else(|| format!("{} has no type", place()))?;
            let node = self.schema(schema, space, depth + 1).map_err(|error| {
                // One place is enough, the innermost.
                if error.contains(" of '") { error } else { format!("{}: {error}", place()) }
            })?;
            let mut label = json(name).into_vec();
            label.push(b':');
            fields.push(Field { name: name.into(), label: label.into(), node });
        }
        Ok(fields.into())
    }
}

/// Tells the full names of the types that are defined in a schema, each as soon as [`Compiler::schema`] would.
fn definitions(schema: &Value, space: &str, tell: &mut impl FnMut(String)) {
    let keys = match schema {
        Value::Array(branches) => return branches.iter().for_each(|branch| definitions(branch, space, tell)),
        Value::Object(keys) => keys,
        _ => return,
    };
    let inside = |key| keys.get(key).into_iter();
    match keys.get("type") {
        Some(Value::String(of)) => match of.as_str() {
            "record" | "error" => {
                let Ok((name, space)) = full_name(keys, space) else { return };
                tell(name);
                let fields = inside("fields").filter_map(Value::as_array).flatten();
                fields.filter_map(|field| field.get("type")).for_each(|field| definitions(field, &space, tell));
            }
            "enum" | "fixed" => _ = full_name(keys, space).map(|(name, _)| tell(name)),
            "array" => inside("items").for_each(|items| definitions(items, space, tell)),
            "map" => inside("values").for_each(|values| definitions(values, space, tell)),
            _ => {}
        },
        Some(inner) => definitions(inner, space, tell),
        None => {}
    }
}

/// The full name of a named type, and its namespace.
fn full_name(keys: &Map<String, Value>, enclosing: &str) -> Result<(String, String), String> {
    let name = keys.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
    let name = name.ok_or("a named type has no name")?;
    if let Some((space, _)) = name.rsplit_once('.') {
        return Ok((name.to_owned(), space.to_owned()));
    }
    let space = keys.get("namespace").and_then(Value::as_str).unwrap_or(enclosing);
    let full = if space.is_empty() { name.to_owned() } else { format!("{space}.{name}") };
    Ok((full, space.to_owned()))
}

/// The logical type of a schema. One that is not known, or not of this type, is ignored, as the specification has it.
fn logical(keys: &Map<String, Value>, node: Node) -> Result<Node, String> {
    let Some(logical) = keys.get("logicalType").and_then(Value::as_str) else { return Ok(node) };
    let time = |kind| Node::Time { kind, number: false };
    let timestamp = |digits, local| time(TimeKind::Timestamp { digits, local });
    Ok(match (logical, &node) {
        ("date", Node::Int) => time(TimeKind::Date),
        ("time-millis", Node::Int) => time(TimeKind::TimeMillis),
        ("time-micros", Node::Long) => time(TimeKind::TimeMicros),
        ("timestamp-millis", Node::Long) => timestamp(3, false),
        ("timestamp-micros", Node::Long) => timestamp(6, false),
        ("timestamp-nanos", Node::Long) => timestamp(9, false),
        ("local-timestamp-millis", Node::Long) => timestamp(3, true),
        ("local-timestamp-micros", Node::Long) => timestamp(6, true),
        ("local-timestamp-nanos", Node::Long) => timestamp(9, true),
        ("big-decimal", Node::Bytes) => Node::BigDecimal,
        ("uuid", Node::Fixed(16)) => Node::UuidBytes,
        ("duration", Node::Fixed(12)) => Node::Duration,
        ("decimal", Node::Bytes) => decimal(keys, None)?.unwrap_or(node),
        ("decimal", Node::Fixed(size)) => decimal(keys, Some(*size))?.unwrap_or(node),
        _ => node,
    })
}

fn decimal(keys: &Map<String, Value>, size: Option<usize>) -> Result<Option<Node>, String> {
    let precision = keys.get("precision").and_then(Value::as_u64).unwrap_or(0);
    let scale = match keys.get("scale") {
        None => 0,
        Some(scale) => match scale.as_u64() {
            Some(scale) => scale,
            None => return Ok(None),
        },
    };
    if precision == 0 || scale > precision {
        return Ok(None);
    }
    if scale > MAX_SCALE {
        return Err(format!("a decimal's scale of more than {MAX_SCALE}"));
    }
    Ok(Some(Node::Decimal { scale: scale as usize, size }))
}

fn json(text: &str) -> Box<[u8]> {
    let mut out = Vec::with_capacity(text.len() + 2);
    write_json_string(text, &mut out);
    out.into()
}

fn clip(text: &str) -> String {
    text.chars().take(80).collect()
}
