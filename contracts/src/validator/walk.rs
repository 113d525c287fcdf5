//! Running a program over a document.

use super::{
    decimal::Decimal,
    equal,
    findings::Findings,
    foreign,
    program::{ArrayTest, CodeId, NumberTest, ObjectTests, Program, Sides, SizeTest, StringTest, Test, ValueTests},
    rule::JsonTypes,
};
use crate::document::{Array, Content, Document, Element, Number, Object};

/// Of a declared field that the object being read does not have.
const ABSENT: u32 = u32::MAX;

impl Program {
    pub(super) fn run(&self, document: &Document<'_>, findings: &mut Findings) {
        findings.marks.clear();
        findings.marks.resize(self.codes.len().div_ceil(64), 0);
        findings.places.clear();
        let mut walk = Walk { document, findings };
        walk.value(&self.root, document.root(), self.sides);
        for word in 0..findings.marks.len() {
            let mut bits = findings.marks[word];
            while bits != 0 {
                if let Some((code, gate)) = self.codes.get(word * 64 + bits.trailing_zeros() as usize) {
                    findings.add(*gate, code.clone());
                }
                bits &= bits - 1;
            }
        }
    }
}

struct Walk<'w, 'd> {
    document: &'w Document<'d>,
    findings: &'w mut Findings,
}

impl<'d> Walk<'_, 'd> {
    fn mark(&mut self, code: CodeId) {
        if let Some(word) = self.findings.marks.get_mut(code as usize / 64) {
            *word |= 1 << (code % 64);
        }
    }

    /// Marks the codes of the tests for `sides` that do not hold.
    fn apply<T>(&mut self, tests: &[Test<T>], sides: Sides, holds: impl Fn(&T) -> bool) {
        for test in tests {
            if test.side.meet(sides) && !holds(&test.of) {
                self.mark(test.code);
            }
        }
    }

    fn value(&mut self, tests: &ValueTests, value: Element<'d>, sides: Sides) {
        let content = value.content();
        let types = possible_types(&content);
        if tests.idle.contains(types) {
            return;
        }
        if !tests.refused.and(types).is_empty() {
            self.apply(&tests.types, sides, |allowed| is_of(*allowed, &content));
        }
        self.apply(&tests.literals, sides, |literals| literals.admit(value));
        match content {
            Content::Null | Content::Bool(_) => {}
            Content::Number(number) => self.apply(&tests.numbers, sides, |test| number_holds(test, number)),
            Content::String(text) => self.apply(&tests.strings, sides, |test| string_holds(test, text)),
            Content::Array(array) => {
                self.apply(&tests.arrays, sides, |test| array_holds(test, array));
                if let Some(items) = &tests.items {
                    array.iter().for_each(|item| self.value(items, item, sides));
                }
            }
            Content::Object(object) => {
                self.apply(&tests.sizes, sides, |test| size_holds(test, object));
                if let Some(tests) = &tests.object {
                    self.object(tests, object, sides);
                }
            }
        }
        if !tests.subschemas.is_empty() {
            foreign::judge(&tests.subschemas, value, sides, self.findings);
        }
    }

    fn object(&mut self, tests: &ObjectTests, object: Object<'d>, sides: Sides) {
        let base = self.findings.places.len();
        self.findings.places.resize(base + tests.fields.len(), ABSENT);
        for (name, value) in object.members() {
            let found = tests.find(name);
            if let Some(place) = found {
                // A name that is there again takes the place of its predecessor.
                self.findings.places[base + place] = value.index();
            }
            let declared = found.map_or(Sides::NONE, |place| tests.fields[place].declared);
            for closed in &tests.closed {
                if closed.side.meet(sides) && !closed.side.meet(declared) {
                    self.mark(closed.code);
                    self.findings.add_detail(&String::from_utf8_lossy(name));
                }
            }
        }
        for (place, field) in tests.fields.iter().enumerate() {
            let index = self.findings.places[base + place];
            if index == ABSENT {
                self.apply(&field.missing, sides, |()| false);
                continue;
            }
            let value = self.document.element(index);
            let mut asked = sides;
            if !field.null.is_empty() && value.is_null() {
                for (side, code) in &field.null {
                    asked = asked.without(*side);
                    if let Some(code) = code.filter(|_| side.meet(sides)) {
                        self.mark(code);
                    }
                }
            }
            self.value(&field.value, value, asked);
        }
        self.findings.places.truncate(base);
    }
}

/// The types that a value may have by its look: `1.0` may be an integer.
fn possible_types(content: &Content<'_>) -> JsonTypes {
    match content {
        Content::Null => JsonTypes::NULL,
        Content::Bool(_) => JsonTypes::BOOLEAN,
        Content::Number(number) if number.is_plain() => JsonTypes::INTEGER,
        Content::Number(_) => JsonTypes::NUMBER,
        Content::String(_) => JsonTypes::STRING,
        Content::Array(_) => JsonTypes::ARRAY,
        Content::Object(_) => JsonTypes::OBJECT,
    }
}

fn is_of(allowed: JsonTypes, content: &Content<'_>) -> bool {
    let found = match content {
        Content::Number(number) if is_integer(*number) => JsonTypes::INTEGER,
        Content::Number(_) => JsonTypes::FRACTION,
        other => possible_types(other),
    };
    !allowed.and(found).is_empty()
}

fn is_integer(number: Number<'_>) -> bool {
    number.is_plain() || Decimal::parse(number.text()).is_some_and(|decimal| decimal.is_integer())
}

fn number_holds(test: &NumberTest, number: Number<'_>) -> bool {
    match test {
        NumberTest::Order { bound, allowed } => allowed.contains(&bound.order_of(number)),
        NumberTest::MultipleOf(step) => step.divides(number),
        NumberTest::Integer { low, high } => {
            is_integer(number) && low.order_of(number).is_ge() && high.order_of(number).is_le()
        }
        NumberTest::Float32 => number.as_f64().abs() <= f64::from(f32::MAX),
    }
}

fn string_holds(test: &StringTest, text: &str) -> bool {
    match test {
        StringTest::Pattern(pattern) => pattern.is_match(text),
        StringTest::Format(format) => format.admits(text),
        // A character has one to four bytes: counting them is seldom needed.
        StringTest::MinLength(least) => {
            let (bytes, least) = (text.len() as u64, *least);
            bytes >= least && (bytes / 4 >= least || text.chars().count() as u64 >= least)
        }
        StringTest::MaxLength(most) => text.len() as u64 <= *most || text.chars().count() as u64 <= *most,
        StringTest::Time { format, bound, allowed } => {
            format.instant(text).is_none_or(|time| allowed.contains(&time.cmp(bound)))
        }
    }
}

fn array_holds(test: &ArrayTest, array: Array<'_>) -> bool {
    match test {
        ArrayTest::AtLeast(least) => array.len() as u64 >= *least,
        ArrayTest::AtMost(most) => array.len() as u64 <= *most,
        ArrayTest::AllDifferent => equal::all_different(array),
    }
}

fn size_holds(test: &SizeTest, object: Object<'_>) -> bool {
    match test {
        SizeTest::AtLeast(least) => object.len() as u64 >= *least,
        SizeTest::AtMost(most) => object.written_len() as u64 <= *most || object.len() as u64 <= *most,
    }
}
