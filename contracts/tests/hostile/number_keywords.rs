//! The keywords about numbers, judged by us and by the arithmetic of a schoolbook.

use faultline_contracts::document::{Limits, Parser};
use serde_json::{Value, json};

use crate::{exact::Exact, judges::Judged, numbers};

const BOUNDS: &str = "0 1 -1 0.1 0.01 1.5 255 9007199254740992 9007199254740993 9223372036854775807 -9223372036854775808 \
                      18446744073709551615 1e15 1e22 1e300 1e-300";
const STEPS: &str = "1 2 3 7 10 0.1 0.01 0.25 1.5 2.5 1000000 1e-7 9007199254740993 1e22";
/// Literals that are no integers of 64 bits are compared as floats: see `faultline_contracts::schema`.
const INTEGERS: &str = "0 1 -1 9007199254740992 9007199254740993 9223372036854775807 -9223372036854775808";

type Holds = fn(&Exact, &Exact) -> bool;

#[test]
fn numbers_are_judged_without_loss() {
    let keywords: [(&str, &str, Holds); 6] = [
        ("minimum", BOUNDS, |number, bound| number >= bound),
        ("maximum", BOUNDS, |number, bound| number <= bound),
        ("exclusiveMinimum", BOUNDS, |number, bound| number > bound),
        ("exclusiveMaximum", BOUNDS, |number, bound| number < bound),
        ("multipleOf", STEPS, Exact::is_multiple_of),
        ("const", INTEGERS, |number, literal| number == literal),
    ];
    let numbers: Vec<(String, Exact)> =
        numbers::numbers().into_iter().map(|text| (text.clone(), Exact::new(&text))).collect();
    let mut parser = Parser::new(Limits::default());
    let mut seen = [0; 2];
    for (keyword, operands, holds) in keywords {
        for operand in operands.split_whitespace() {
            let value: Value = serde_json::from_str(operand).unwrap();
            let (schema, operand) = (Judged::new(&json!({keyword: value})), Exact::new(operand));
            for (text, number) in &numbers {
                if keyword == "multipleOf" && !number.has_true_exponent() {
                    continue;
                }
                let valid = schema.our_verdict(&mut parser, text);
                assert_eq!(valid, holds(number, &operand), "{keyword} {value}: {text}");
                seen[usize::from(valid)] += 1;
            }
        }
    }
    let integers = Judged::new(&json!({"type": "integer"}));
    for (text, number) in &numbers {
        assert_eq!(integers.our_verdict(&mut parser, text), number.is_integer(), "{text}");
    }
    println!("{seen:?} verdicts");
    assert!(seen.iter().all(|count| *count > 10_000), "{seen:?}");
}
