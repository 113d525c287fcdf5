//! From two rule trees to one program.

use std::cmp::Ordering::{self, Equal, Greater, Less};

use rustc_hash::FxHashMap;

use super::{
    Unsupported,
    decimal::Bound,
    equal::Literals,
    format::StringFormat,
    program::{
        ArrayTest, CodeId, FieldTests, NumberTest, ObjectTests, Program, Sides, SizeTest, StringTest, SubschemaTest,
        Test, ValueTests,
    },
    rule::{Check, Decimal, FieldRule, Format, ObjectRule, Presence, ValueRule},
};
use crate::{evidence::Gate, reason::ReasonCode};

/// The rules of each side for one place, in the order of [`Sides::GATES`].
type Pair<'r> = [Option<&'r ValueRule>; 2];

pub(super) fn compile(rules: Pair<'_>) -> (Program, Vec<Unsupported>) {
    let mut compiler = Compiler::default();
    let root = compiler.value(rules, "");
    let sides = present(&rules);
    let Compiler { codes, unsupported, .. } = compiler;
    (Program { root, sides, codes }, unsupported)
}

fn present<T>(rules: &[Option<T>; 2]) -> Sides {
    let sides = rules.iter().enumerate().filter(|(_, rule)| rule.is_some());
    sides.fold(Sides::NONE, |sides, (index, _)| sides.with(Sides::of(index)))
}

/// The path of a field of the object at `path`.
pub(super) fn field_path(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// A path as reason codes show it: the document itself is `$`.
pub(super) fn shown(path: &str) -> &str {
    if path.is_empty() { "$" } else { path }
}

#[derive(Default)]
struct Compiler {
    codes: Vec<(ReasonCode, Gate)>,
    known: FxHashMap<(ReasonCode, Gate), CodeId>,
    unsupported: Vec<Unsupported>,
}

impl Compiler {
    fn test<T>(&mut self, index: usize, code: ReasonCode, of: T) -> Test<T> {
        Test { side: Sides::of(index), code: self.code(index, code), of }
    }

    fn code(&mut self, index: usize, code: ReasonCode) -> CodeId {
        let key = (code, Sides::GATES[index]);
        let codes = &mut self.codes;
        *self.known.entry(key).or_insert_with_key(|key| {
            codes.push(key.clone());
            codes.len() as CodeId - 1
        })
    }

    fn value(&mut self, rules: Pair<'_>, path: &str) -> ValueTests {
        let mut tests = ValueTests::default();
        for (index, rule) in rules.iter().enumerate() {
            let Some(rule) = rule else { continue };
            if !rule.types.is_empty() {
                tests.types.push(self.test(index, ReasonCode::type_mismatch(shown(path)), rule.types));
                tests.refused = tests.refused.or(rule.types.complement());
            }
            for check in &rule.checks {
                if let Err((keyword, reason)) = self.check(index, check, path, &mut tests) {
                    self.unsupported.push(Unsupported {
                        path: shown(path).to_owned(),
                        keyword: keyword.into(),
                        reason,
                    });
                }
            }
        }
        let objects = rules.map(|rule| rule.and_then(|rule| rule.object.as_ref()));
        if objects.iter().any(Option::is_some) {
            tests.object = Some(Box::new(self.object(objects, path)));
        }
        let items = rules.map(|rule| rule.and_then(|rule| rule.items.as_deref()));
        if items.iter().any(Option::is_some) {
            tests.items = Some(Box::new(self.value(items, &format!("{path}[]"))));
        }
        tests.settle();
        tests
    }

    /// Adds the test that a check is, or says which check it is and why it cannot be one.
    fn check(
        &mut self,
        index: usize,
        check: &Check,
        path: &str,
        tests: &mut ValueTests,
    ) -> Result<(), (&'static str, String)> {
        let at = shown(path);
        let range = || ReasonCode::out_of_range(at);
        let mut number = |keyword, Decimal(text): &Decimal, test: &dyn Fn(Bound) -> NumberTest| {
            let bound = Bound::new(text).ok_or_else(|| (keyword, format!("'{text}' is not a number")))?;
            let test = self.test(index, range(), test(bound));
            tests.numbers.push(test);
            Ok(())
        };
        let order = |allowed: [Ordering; 2]| move |bound| NumberTest::Order { bound, allowed };
        match check {
            Check::Minimum(bound) => return number("minimum", bound, &order([Greater, Equal])),
            Check::Maximum(bound) => return number("maximum", bound, &order([Less, Equal])),
            Check::ExclusiveMinimum(bound) => return number("exclusiveMinimum", bound, &order([Greater; 2])),
            Check::ExclusiveMaximum(bound) => return number("exclusiveMaximum", bound, &order([Less; 2])),
            Check::MultipleOf(step) => return number("multipleOf", step, &NumberTest::MultipleOf),
            _ => {}
        }
        let mut time = |keyword, format: &Format, text: &str, allowed| {
            let format = StringFormat::new(format).map_err(|reason| (keyword, reason))?;
            let bound = format
                .instant(text)
                .ok_or_else(|| (keyword, format!("'{text}' is not a time of the declared format")))?;
            let test = self.test(index, range(), StringTest::Time { format, bound, allowed });
            tests.strings.push(test);
            Ok(())
        };
        match check {
            Check::NotBefore(format, text) => return time("minimum", format, text, [Greater, Equal]),
            Check::NotAfter(format, text) => return time("maximum", format, text, [Less, Equal]),
            Check::After(format, text) => return time("exclusiveMinimum", format, text, [Greater; 2]),
            Check::Before(format, text) => return time("exclusiveMaximum", format, text, [Less; 2]),
            _ => {}
        }
        match check {
            Check::OneOf(values) => {
                tests.literals.push(self.test(index, ReasonCode::enum_violation(at), Literals::new(values, true)));
            }
            Check::NoneOf(values) => {
                tests.literals.push(self.test(index, ReasonCode::enum_violation(at), Literals::new(values, false)));
            }
            Check::Pattern(pattern) => {
                let test = StringTest::Pattern(pattern.clone());
                tests.strings.push(self.test(index, ReasonCode::pattern_mismatch(at), test));
            }
            Check::Format(format) => self.format(index, format, at, tests)?,
            Check::MinLength(least) => {
                tests.strings.push(self.test(index, ReasonCode::length_violation(at), StringTest::MinLength(*least)));
            }
            Check::MaxLength(most) => {
                tests.strings.push(self.test(index, ReasonCode::length_violation(at), StringTest::MaxLength(*most)));
            }
            Check::MinItems(least) => {
                tests.arrays.push(self.test(index, ReasonCode::items_violation(at), ArrayTest::AtLeast(*least)));
            }
            Check::MaxItems(most) => {
                tests.arrays.push(self.test(index, ReasonCode::items_violation(at), ArrayTest::AtMost(*most)));
            }
            Check::UniqueItems => {
                tests.arrays.push(self.test(index, ReasonCode::items_violation(at), ArrayTest::AllDifferent));
            }
            Check::MinProperties(least) => {
                let code = ReasonCode::schema_violation("minProperties", at);
                tests.sizes.push(self.test(index, code, SizeTest::AtLeast(*least)));
            }
            Check::MaxProperties(most) => {
                let code = ReasonCode::schema_violation("maxProperties", at);
                tests.sizes.push(self.test(index, code, SizeTest::AtMost(*most)));
            }
            Check::JsonSchema(schema) => tests.subschemas.push(SubschemaTest {
                side: Sides::of(index),
                gate: Sides::GATES[index],
                path: path.into(),
                schema: schema.clone(),
            }),
            Check::Minimum(_)
            | Check::Maximum(_)
            | Check::ExclusiveMinimum(_)
            | Check::ExclusiveMaximum(_)
            | Check::MultipleOf(_)
            | Check::NotBefore(..)
            | Check::NotAfter(..)
            | Check::After(..)
            | Check::Before(..) => {}
        }
        Ok(())
    }

    fn format(
        &mut self,
        index: usize,
        format: &Format,
        at: &str,
        tests: &mut ValueTests,
    ) -> Result<(), (&'static str, String)> {
        let code = ReasonCode::format_mismatch(at);
        let number = match format {
            Format::Integer { bits, signed } => {
                let (low, high) = integer_range(*bits, *signed)
                    .ok_or_else(|| ("format", format!("there are no integers of {bits} bits")))?;
                let bounds = Bound::new(&low).zip(Bound::new(&high));
                bounds.map(|(low, high)| NumberTest::Integer { low, high })
            }
            Format::Float32 => Some(NumberTest::Float32),
            _ => None,
        };
        if let Some(test) = number {
            tests.numbers.push(self.test(index, code, test));
        } else {
            let format = StringFormat::new(format).map_err(|reason| ("format", reason))?;
            tests.strings.push(self.test(index, code, StringTest::Format(format)));
        }
        Ok(())
    }

    fn object(&mut self, rules: [Option<&ObjectRule>; 2], path: &str) -> ObjectTests {
        let mut names: Vec<&str> =
            rules.iter().flatten().flat_map(|rule| rule.fields.iter().map(|field| field.name.as_str())).collect();
        names.sort_unstable();
        names.dedup();
        let fields = names.into_iter().map(|name| self.field(rules, name, &field_path(path, name))).collect();
        let mut closed = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            if rule.is_some_and(|rule| rule.closed) {
                closed.push(self.test(index, ReasonCode::undeclared_field(), ()));
            }
        }
        ObjectTests::new(fields, closed)
    }

    fn field(&mut self, rules: [Option<&ObjectRule>; 2], name: &str, path: &str) -> FieldTests {
        // Of two rules of one side for the same name, the last one counts, as of two members of an object.
        let declared: [Option<&FieldRule>; 2] =
            rules.map(|rule| rule.and_then(|rule| rule.fields.iter().rev().find(|field| field.name == name)));
        let (mut missing, mut null) = (Vec::new(), Vec::new());
        for (index, field) in declared.iter().enumerate() {
            let Some(field) = field else { continue };
            if matches!(field.presence, Presence::Required | Presence::RequiredNotNull) {
                missing.push(self.test(index, ReasonCode::missing_field(path), ()));
            }
            match field.presence {
                Presence::Optional | Presence::Required => {}
                Presence::OptionalOrNull => null.push((Sides::of(index), None)),
                Presence::OptionalNotNull | Presence::RequiredNotNull => {
                    let code = self.code(index, ReasonCode::null_field(path));
                    null.push((Sides::of(index), Some(code)));
                }
            }
        }
        let value = self.value(declared.map(|field| field.map(|field| &field.value)), path);
        FieldTests { name: name.into(), declared: present(&declared), missing, null, value }
    }
}

/// The least and the greatest integer of so many bits.
fn integer_range(bits: u8, signed: bool) -> Option<(String, String)> {
    let shift = 128_u32.checked_sub(u32::from(bits)).filter(|_| bits > 0)?;
    Some(if signed {
        ((i128::MIN >> shift).to_string(), (i128::MAX >> shift).to_string())
    } else {
        ("0".to_owned(), (u128::MAX >> shift).to_string())
    })
}
