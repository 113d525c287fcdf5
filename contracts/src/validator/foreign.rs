//! The parts of a schema that the `jsonschema` crate judges.

use jsonschema::{ValidationError, error::ValidationErrorKind, paths::LocationSegment};

use super::{
    compile::{field_path, shown},
    findings::Findings,
    program::{Sides, SubschemaTest},
    rule::Subschema,
};
use crate::{document::Element, reason::ReasonCode};

/// Most errors that are read of one subschema: each may come from another item of a long array.
const MAX_ERRORS: usize = 256;

/// Most steps of a path below the place of a subschema. A recursive schema would else let records make up paths, one
/// for each way down a tree.
const MAX_STEPS: usize = 16;

/// Adds what `value` breaks. This is the only place where judging formats text: once a record has failed.
pub(super) fn judge(tests: &[SubschemaTest], value: Element<'_>, sides: Sides, findings: &mut Findings) {
    if !tests.iter().any(|test| test.side.meet(sides)) {
        return;
    }
    let value = value.to_json();
    for test in tests.iter().filter(|test| test.side.meet(sides)) {
        if test.schema.validator.is_valid(&value) {
            continue;
        }
        for error in test.schema.validator.iter_errors(&value).take(MAX_ERRORS) {
            report(&error, test, findings);
        }
    }
}

fn report(error: &ValidationError<'_>, test: &SubschemaTest, findings: &mut Findings) {
    let path = path(error, test);
    let at = shown(&path);
    let code = match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            unexpected.iter().for_each(|name| findings.add_detail(name));
            ReasonCode::undeclared_field()
        }
        // How an object without any declared property is told of one.
        ValidationErrorKind::FalseSchema if error.schema_path().as_str().ends_with("/additionalProperties") => {
            ReasonCode::undeclared_field()
        }
        // Listed also for names that are there, where `additionalProperties: false` forbids what `required` asks for.
        ValidationErrorKind::Required { property }
            if property.as_str().is_some_and(|name| error.instance().get(name).is_some()) =>
        {
            ReasonCode::undeclared_field()
        }
        ValidationErrorKind::Required { property } => {
            ReasonCode::missing_field(&field_path(&path, property.as_str().unwrap_or("*")))
        }
        ValidationErrorKind::Type { .. } => ReasonCode::type_mismatch(at),
        ValidationErrorKind::Enum { .. } | ValidationErrorKind::Constant { .. } => ReasonCode::enum_violation(at),
        ValidationErrorKind::Pattern { .. } => ReasonCode::pattern_mismatch(at),
        ValidationErrorKind::Format { .. } => ReasonCode::format_mismatch(at),
        ValidationErrorKind::MinLength { .. } | ValidationErrorKind::MaxLength { .. } => {
            ReasonCode::length_violation(at)
        }
        ValidationErrorKind::Minimum { .. }
        | ValidationErrorKind::Maximum { .. }
        | ValidationErrorKind::ExclusiveMinimum { .. }
        | ValidationErrorKind::ExclusiveMaximum { .. }
        | ValidationErrorKind::MultipleOf { .. } => ReasonCode::out_of_range(at),
        ValidationErrorKind::MinItems { .. }
        | ValidationErrorKind::MaxItems { .. }
        | ValidationErrorKind::UniqueItems => ReasonCode::items_violation(at),
        other => ReasonCode::schema_violation(other.keyword(), at),
    };
    findings.add(test.gate, code);
}

/// The failing value's place as the schema knows it: names that the schema does not declare become `*`, so that
/// records cannot add to the number of codes.
fn path(error: &ValidationError<'_>, test: &SubschemaTest) -> String {
    let Subschema { names, .. } = &*test.schema;
    let mut segments = error.instance_path().segments();
    let path = segments.by_ref().take(MAX_STEPS).fold(test.path.to_string(), |path, segment| match segment {
        LocationSegment::Index(_) => path + "[]",
        LocationSegment::Property(name) if names.contains(&*name) => field_path(&path, &name),
        LocationSegment::Property(_) => field_path(&path, "*"),
    });
    if segments.next().is_some() { field_path(&path, "*") } else { path }
}
