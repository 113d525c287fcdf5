//! The compiled form: for each place in a document, the tests of both gates, sorted by the type they are about.

use std::{cmp::Ordering, sync::Arc};

use regex::Regex;

use super::{
    decimal::Bound,
    equal::Literals,
    format::StringFormat,
    rule::{JsonTypes, Subschema},
    text_key::TextKey,
};
use crate::{evidence::Gate, reason::ReasonCode};

/// Which of the two gates are asked: schema, contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sides(u8);

impl Sides {
    pub(super) const GATES: [Gate; 2] = [Gate::Schema, Gate::Contract];
    pub(super) const NONE: Self = Self(0);

    /// The side of the gate at `index` of [`Sides::GATES`].
    pub(super) const fn of(index: usize) -> Self {
        Self(1 << index)
    }

    pub(super) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(super) const fn meet(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// The place of a reason code among all of the program's.
pub(super) type CodeId = u32;

/// Something that a value must keep, for whom, and what it gives when it does not.
#[derive(Debug)]
pub(super) struct Test<T> {
    pub(super) side: Sides,
    pub(super) code: CodeId,
    pub(super) of: T,
}

/// The tests of one value.
#[derive(Debug, Default)]
pub(super) struct ValueTests {
    /// Types of which nothing is tested: of many values only the type is declared, and they are done with here.
    pub(super) idle: JsonTypes,
    /// Types that at least one test of `types` refuses: mostly a value has none of them, and `types` is not looked at.
    pub(super) refused: JsonTypes,
    pub(super) types: Vec<Test<JsonTypes>>,
    pub(super) literals: Vec<Test<Literals>>,
    pub(super) strings: Vec<Test<StringTest>>,
    pub(super) numbers: Vec<Test<NumberTest>>,
    pub(super) arrays: Vec<Test<ArrayTest>>,
    pub(super) sizes: Vec<Test<SizeTest>>,
    pub(super) subschemas: Vec<SubschemaTest>,
    pub(super) object: Option<Box<ObjectTests>>,
    pub(super) items: Option<Box<ValueTests>>,
}

impl ValueTests {
    /// Finds out which types are [`ValueTests::idle`]. The last step of compiling a value.
    pub(super) fn settle(&mut self) {
        if !self.literals.is_empty() || !self.subschemas.is_empty() {
            return;
        }
        let tested = [
            (JsonTypes::NUMBER, !self.numbers.is_empty()),
            (JsonTypes::STRING, !self.strings.is_empty()),
            (JsonTypes::ARRAY, !self.arrays.is_empty() || self.items.is_some()),
            (JsonTypes::OBJECT, !self.sizes.is_empty() || self.object.is_some()),
        ];
        let busy = tested.into_iter().filter(|(_, tested)| *tested);
        self.idle = busy.fold(self.refused, |busy, (types, _)| busy.or(types)).complement();
    }
}

#[derive(Debug)]
pub(super) enum StringTest {
    Pattern(Regex),
    Format(StringFormat),
    MinLength(u64),
    MaxLength(u64),
    /// The time must compare to the bound in one of these ways.
    Time {
        format: StringFormat,
        bound: i128,
        allowed: [Ordering; 2],
    },
}

#[derive(Debug)]
pub(super) enum NumberTest {
    /// The number must compare to the bound in one of these ways.
    Order {
        bound: Bound,
        allowed: [Ordering; 2],
    },
    MultipleOf(Bound),
    /// An integer from `low` to `high`.
    Integer {
        low: Bound,
        high: Bound,
    },
    Float32,
}

#[derive(Debug)]
pub(super) enum ArrayTest {
    AtLeast(u64),
    AtMost(u64),
    AllDifferent,
}

#[derive(Debug)]
pub(super) enum SizeTest {
    AtLeast(u64),
    AtMost(u64),
}

/// A part that the `jsonschema` crate judges; its codes are put together when it fails.
#[derive(Debug)]
pub(super) struct SubschemaTest {
    pub(super) side: Sides,
    pub(super) gate: Gate,
    pub(super) path: Box<str>,
    pub(super) schema: Arc<Subschema>,
}

/// The tests of an object's members.
#[derive(Debug)]
pub(super) struct ObjectTests {
    /// Sorted by the key of the name, then by the name.
    pub(super) fields: Vec<FieldTests>,
    /// The keys of the fields' names, close together.
    keys: Vec<TextKey>,
    /// For each length of a name, the index of the first field that is as long or longer.
    by_length: Vec<u32>,
    /// Of sides that are closed: `UNDECLARED_FIELD`.
    pub(super) closed: Vec<Test<()>>,
}

#[derive(Debug)]
pub(super) struct FieldTests {
    pub(super) name: Box<str>,
    /// Who declares it.
    pub(super) declared: Sides,
    /// The code for its absence.
    pub(super) missing: Vec<Test<()>>,
    /// The code for null, for those who do not treat null as a value like others; without one it is fine.
    pub(super) null: Vec<(Sides, Option<CodeId>)>,
    pub(super) value: ValueTests,
}

impl ObjectTests {
    pub(super) fn new(mut fields: Vec<FieldTests>, closed: Vec<Test<()>>) -> Self {
        let key = |field: &FieldTests| TextKey::of(field.name.as_bytes());
        fields.sort_by(|a, b| (key(a), &a.name).cmp(&(key(b), &b.name)));
        let longest = fields.last().map_or(0, |field| field.name.len());
        let by_length =
            (0..=longest + 1).map(|length| fields.partition_point(|field| field.name.len() < length) as u32).collect();
        let keys = fields.iter().map(key).collect();
        Self { fields, keys, by_length, closed }
    }

    /// The index of the field of this name. No hashing: names of the same length are few.
    #[inline]
    pub(super) fn find(&self, name: &[u8]) -> Option<usize> {
        let (&first, &end) = self.by_length.get(name.len()).zip(self.by_length.get(name.len() + 1))?;
        let key = TextKey::of(name);
        let candidates = self.keys.get(first as usize..end as usize)?;
        // Of more than a few, most are skipped.
        let skipped = if candidates.len() > 8 { candidates.partition_point(|other| *other < key) } else { 0 };
        (first as usize + skipped..end as usize)
            .find(|&place| self.keys[place] == key && (key.is_exact() || self.fields[place].name.as_bytes() == name))
    }
}

/// Both gates' tests of a whole document.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) root: ValueTests,
    /// Which gates have any.
    pub(super) sides: Sides,
    /// Each once.
    pub(super) codes: Vec<(ReasonCode, Gate)>,
}
