//! One element, one statement: how it is written so that writing it again changes nothing and nothing older wins.
//!
//! Every statement takes the element or makes it, goes on only where no newer `epoch` is stored, and then sets all
//! properties and removes all others:
//!
//! ```text
//! g.mergeV([(T.id):ID]).option(Merge.onCreate,[(T.label):LABEL])          (merge)
//! g.V(ID).fold().coalesce(__.unfold(),__.addV(LABEL).property(T.id,ID))   (coalesce)
//!   .not(__.has('epoch',P.gt(EPOCH)))
//!   .property(single,NAME,VALUE)….property(single,'epoch',EPOCH)
//!   .sideEffect(__.properties().hasKey(P.without(NAME,…,'epoch')).drop()).iterate()
//! ```
//!
//! An edge's statement yields nothing where one of its ends is missing. The statements are the same for both flavors; only
//! values differ: literals, or places of a row `r` of bindings. All are within what Neptune knows: text ids, `single`
//! cardinality said, no lambdas, meta-properties, lists or maps as values.

use faultline_contracts::{
    graph::{Edge, Vertex},
    ids::EntityId,
};
use gremlin_client::GValue;

use super::{literal, settings::Flavor};

/// How an element is found or made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Merge,
    Coalesce,
}

/// The property that says since when an element is as it is. A vertex's property of that name gives way to it.
const EPOCH: &str = "epoch";

/// What a statement does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Write<'c> {
    Vertex(&'c Vertex, i64),
    Edge(&'c Edge, i64),
    /// Makes a vertex without properties where there is none: the end of an edge.
    End(&'c EntityId, &'static str),
    /// Where no newer epoch is stored, nor any edge of a newer one, which would go with it.
    DropVertex(&'c EntityId, i64),
    /// Where no newer epoch is stored.
    DropEdge(&'c EntityId, i64),
    /// Whatever is stored.
    Forget(&'c EntityId),
    /// Makes an edge as it was read before.
    Restore(&'c KeptEdge),
}

/// An edge as it was read, anybody's.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct KeptEdge {
    /// Of any type: servers that make ids themselves like numbers.
    pub id: Scalar,
    pub label: String,
    pub from: String,
    pub to: String,
    pub properties: Vec<(String, Scalar)>,
}

/// A value that can be written as it was read.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar {
    Text(String),
    Int(i32),
    Long(i64),
    Double(f64),
    Bool(bool),
}

/// A statement.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Statement {
    /// Its text.
    pub code: String,
    /// The values that the text names as `r[0]`, `r[1]`, …; none with literals.
    pub row: Vec<GValue>,
    /// How many steps it has, predicates counted like steps.
    pub steps: usize,
    /// How many bytes of a request its values take.
    pub row_bytes: usize,
}

impl Statement {
    pub(super) fn of(write: Write<'_>, form: Form, flavor: Flavor) -> Self {
        let mut statement = Self { code: String::new(), row: Vec::new(), steps: 0, row_bytes: 0 };
        let mut writer = Writer { statement: &mut statement, flavor };
        match write {
            Write::Vertex(vertex, epoch) => writer.vertex(vertex, epoch, form),
            Write::Edge(edge, epoch) => writer.edge(edge, epoch, form),
            Write::End(id, label) => writer.find_or_make_vertex(id.as_str(), label, form),
            Write::DropVertex(id, epoch) => {
                writer.code("g.V(").text(id.as_str()).code(")").unless_newer(epoch);
                writer.code(".not(__.bothE().has('epoch',P.gt(").long(epoch).code("))).drop()");
            }
            Write::DropEdge(id, epoch) => {
                writer.code("g.E(").text(id.as_str()).code(")").unless_newer(epoch).code(".drop()");
            }
            Write::Forget(id) => {
                writer.code("g.V(").text(id.as_str()).code(").drop()");
            }
            Write::Restore(edge) => writer.restore(edge),
        }
        writer.code(".iterate()");
        statement
    }
}

/// Writes code as it is, and values by flavor.
struct Writer<'s> {
    statement: &'s mut Statement,
    flavor: Flavor,
}

impl Writer<'_> {
    fn vertex(&mut self, vertex: &Vertex, epoch: i64, form: Form) {
        let Vertex { id, label, properties } = vertex;
        self.find_or_make_vertex(id.as_str(), label, form);
        self.unless_newer(epoch);
        let properties = || properties.iter().filter(|(name, _)| &**name != EPOCH);
        for (name, value) in properties() {
            self.code(".property(single,").text(name).code(",").text(value).code(")");
        }
        self.code(".property(single,'epoch',").long(epoch).code(")");
        self.drop_others(properties().map(|(name, _)| &**name));
    }

    fn find_or_make_vertex(&mut self, id: &str, label: &str, form: Form) {
        match form {
            Form::Merge => {
                self.code("g.mergeV([(T.id):").text(id);
                self.code("]).option(Merge.onCreate,[(T.label):").text(label).code("])");
            }
            Form::Coalesce => {
                self.code("g.V(").text(id).code(").fold().coalesce(__.unfold(),__.addV(").text(label);
                self.code(").property(T.id,").text(id).code("))");
            }
        }
    }

    fn edge(&mut self, edge: &Edge, epoch: i64, form: Form) {
        let Edge { from, label, to, since, confidence } = edge;
        let (id, from, label, to) = (edge.id(), from.as_str(), label.as_str(), to.as_str());
        match form {
            Form::Merge => {
                self.code("g.V(").text(from).code(").V(").text(to).code(").mergeE([(T.id):").text(id.as_str());
                self.code("]).option(Merge.onCreate,[(T.label):").text(label);
                self.code(",(Direction.OUT):").text(from).code(",(Direction.IN):").text(to).code("])");
            }
            Form::Coalesce => {
                self.code("g.E(").text(id.as_str()).code(").fold().coalesce(__.unfold(),__.V(").text(from);
                self.code(").as('f').V(").text(to).code(").addE(").text(label);
                self.code(").from('f').property(T.id,").text(id.as_str()).code("))");
            }
        }
        self.unless_newer(epoch);
        self.code(".property('since',").text(&since.to_string()).code(")");
        if let Some(thousandths) = confidence {
            self.code(".property('confidence',").double(f64::from(*thousandths) / 1000.0).code(")");
        }
        self.code(".property('epoch',").long(epoch).code(")");
        self.drop_others(["since"].into_iter().chain(confidence.map(|_| "confidence")));
    }

    fn restore(&mut self, edge: &KeptEdge) {
        let KeptEdge { id, label, from, to, properties } = edge;
        self.code("g.V(").text(from).code(").as('f').V(").text(to).code(").addE(").text(label);
        self.code(").from('f').property(T.id,").scalar(id).code(")");
        for (name, value) in properties {
            self.code(".property(").text(name).code(",").scalar(value).code(")");
        }
    }

    /// Goes on only where the element's epoch is not beyond this one: it has none yet, or that or an earlier one.
    fn unless_newer(&mut self, epoch: i64) -> &mut Self {
        self.code(".not(__.has('epoch',P.gt(").long(epoch).code(")))")
    }

    fn drop_others<'n>(&mut self, names: impl Iterator<Item = &'n str>) {
        self.code(".sideEffect(__.properties().hasKey(P.without(");
        for name in names {
            self.text(name).code(",");
        }
        self.code("'epoch')).drop())");
    }

    fn code(&mut self, code: &str) -> &mut Self {
        let calls = code.as_bytes().windows(2).filter(|pair| pair[0].is_ascii_alphanumeric() && pair[1] == b'(');
        self.statement.steps += calls.count();
        self.statement.code.push_str(code);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        match self.flavor {
            Flavor::Neptune => {
                self.statement.code.push_str(&literal(text));
                self
            }
            Flavor::Tinkerpop => self.bind(GValue::String(text.to_owned()), json_bytes(text)),
        }
    }

    fn long(&mut self, number: i64) -> &mut Self {
        self.value(format!("{number}L"), GValue::Int64(number), 50)
    }

    fn double(&mut self, number: f64) -> &mut Self {
        self.value(format!("{number:?}d"), GValue::Double(number), 55)
    }

    fn scalar(&mut self, value: &Scalar) -> &mut Self {
        match value {
            Scalar::Text(text) => self.text(text),
            Scalar::Int(number) => self.value(format!("{number}"), GValue::Int32(*number), 40),
            Scalar::Long(number) => self.long(*number),
            Scalar::Double(number) => self.double(*number),
            Scalar::Bool(yes) => self.value(yes.to_string(), GValue::Bool(*yes), 6),
        }
    }

    fn value(&mut self, literal: String, value: GValue, bytes: usize) -> &mut Self {
        match self.flavor {
            Flavor::Neptune => {
                self.statement.code.push_str(&literal);
                self
            }
            Flavor::Tinkerpop => self.bind(value, bytes),
        }
    }

    fn bind(&mut self, value: GValue, bytes: usize) -> &mut Self {
        let Statement { code, row, row_bytes, .. } = &mut *self.statement;
        code.push_str(&format!("r[{}]", row.len()));
        row.push(value);
        *row_bytes += bytes + 1;
        self
    }
}

/// How many bytes a text takes in JSON, quotes included.
pub(super) fn json_bytes(text: &str) -> usize {
    let bytes = text.bytes().map(|byte| match byte {
        b'"' | b'\\' => 2,
        // `\n` and the like are shorter.
        ..b' ' => 6,
        _ => 1,
    });
    2 + bytes.sum::<usize>()
}

#[cfg(test)]
mod tests;
