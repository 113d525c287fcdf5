//! Reading and judging records that pass allocates nothing once the buffers have grown.
#![allow(clippy::unwrap_used)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use faultline_contracts::{
    document::{Limits, Parser},
    schema::JsonSchema,
    validator::{Findings, Validator},
};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: hands everything to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ORDER: &str = r#"{"order_id": "o-1", "customer_id": "caf\u00e9", "total": 12.50, "currency": "EUR", "created_at":
    "2026-11-23T10:00:00Z", "items": [{"sku": "A-1", "qty": 2}, {"sku": "B-2", "qty": 1}], "note": null, "extra": [{}]}"#;

#[test]
fn passing_records_allocate_nothing() {
    let schema = JsonSchema::compile(
        r#"{"type": "object", "required": ["order_id", "items"], "properties": {
            "order_id": {"type": "string", "pattern": "^o-", "maxLength": 40},
            "customer_id": {"type": "string", "minLength": 1},
            "total": {"type": "number", "exclusiveMinimum": 0, "multipleOf": 0.01},
            "currency": {"enum": ["EUR", "USD"]},
            "created_at": {"type": "string", "format": "date-time"},
            "items": {"minItems": 1, "items": {"properties": {"qty": {"type": "integer", "minimum": 1}}}}}}"#,
    )
    .unwrap();
    let validator = Validator::compile(Some(&schema.rule), Some(&schema.rule));
    let (mut parser, mut findings) = (Parser::new(Limits::default()), Findings::default());
    let mut judge = || {
        findings.clear();
        validator.check(&parser.parse(ORDER.as_bytes()).unwrap(), &mut findings);
        findings.is_empty()
    };
    assert!(judge(), "the order passes");
    let before = ALLOCATIONS.get();
    let all_passed = (0..100).all(|_| judge());
    let after = ALLOCATIONS.get();
    assert!(all_passed);
    assert_eq!(after - before, 0);
}
