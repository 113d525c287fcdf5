use faultline_contracts::graph::Vertex;
use gremlin_client::GraphSON;
use proptest::prelude::*;

use super::{
    super::statement::{Form, Write},
    *,
};

fn element(flavor: Flavor, n: usize, value: &str) -> Element<usize> {
    let vertex = Vertex {
        id: format!("v{n}").as_str().into(),
        label: "Job".into(),
        properties: vec![("name".into(), value.into())],
    };
    Element { what: n, id: format!("v{n}"), statement: Statement::of(Write::Vertex(&vertex, 1), Form::Merge, flavor) }
}

/// As the client writes it.
fn bytes(request: &Request) -> usize {
    let bindings = request.bindings.clone().unwrap_or_default();
    let bindings = GraphSON::V3.write(&GValue::List(List::new(bindings))).unwrap();
    serde_json::to_string(&request.script).unwrap().len() + bindings.to_string().len()
}

#[test]
fn rows_of_one_shape_are_one_loop() {
    let elements = [element(Flavor::Tinkerpop, 1, "a"), element(Flavor::Tinkerpop, 2, "b")];
    let statements = elements.iter().map(|element| &element.statement);
    let request = Request::new(Kind::Vertices, statements, &["v1", "v2"], Flavor::Tinkerpop);
    assert!(request.script.starts_with("for(r in b[0]){g.mergeV([(T.id):r[0]])"), "{}", request.script);
    assert!(request.script.contains("};g.V(b[1]).project("), "{}", request.script);
    assert_eq!(request.bindings.map(|bindings| bindings.len()), Some(2));
}

#[test]
fn literal_statements_share_a_transaction_and_start_with_g() {
    let elements = [element(Flavor::Neptune, 1, "a;b"), element(Flavor::Neptune, 2, "b")];
    let statements = elements.iter().map(|element| &element.statement);
    let request = Request::new(Kind::Edges, statements, &["v1", "v'2"], Flavor::Neptune);
    assert!(request.script.starts_with("g.mergeV(") && request.script.contains(".iterate();g.mergeV("));
    assert!(request.script.contains(".iterate();g.E('v1','v\\'2').project("), "{}", request.script);
    assert_eq!(request.bindings, None);
}

#[test]
fn nobody_asks_for_all_there_is() {
    for flavor in [Flavor::Neptune, Flavor::Tinkerpop] {
        assert_eq!(Request::new(Kind::Vertices, [], &[], flavor).script, "g.inject(0)");
    }
}

#[test]
fn epochs_settle() {
    let stored = |epoch| Some(Stored { epoch, label: "Job".to_owned() });
    assert_eq!(settle(5, stored(5).as_ref()), Settled::Written);
    assert_eq!(settle(5, stored(6).as_ref()), Settled::Stale);
    assert_eq!(settle(5, stored(-1).as_ref()), Settled::Undone);
    assert_eq!(settle(5, None), Settled::Undone);
}

#[test]
fn answers_that_are_none_are_errors() {
    assert!(stored(Vec::new()).is_err());
    assert!(stored(vec![GValue::Int32(0)]).is_err());
    assert!(stored(vec![GValue::List(List::new(vec![GValue::Null]))]).is_err());
    assert_eq!(stored(vec![GValue::List(List::new(Vec::new()))]).unwrap().len(), 0);
}

proptest! {
    #[test]
    fn batches_keep_order_and_limits_and_lose_nothing(
        (values, elements, steps, bytes_limit, neptune) in (
            proptest::collection::vec("\\PC{0,60}|[\"\\\\\u{1}é]{0,300}", 0..60), 1_usize..40, 1_usize..400, 1_200_usize..9_000, any::<bool>(),
        )
    ) {
        let flavor = if neptune { Flavor::Neptune } else { Flavor::Tinkerpop };
        let limits = Limits { flavor, elements, steps, bytes: bytes_limit };
        let all: Vec<_> = values.iter().enumerate().map(|(n, value)| element(flavor, n, value)).collect();
        let (batches, too_large) = limits.pack(all);
        for batch in &batches {
            prop_assert!(!batch.is_empty() && batch.len() <= elements);
            let ids: Vec<_> = batch.iter().map(|element| element.id.as_str()).collect();
            let request = Request::new(Kind::Vertices, batch.iter().map(|element| &element.statement), &ids, flavor);
            prop_assert!(bytes(&request) <= bytes_limit, "{} bytes", bytes(&request));
            let taken: usize = batch.iter().map(|element| element.statement.steps).sum();
            prop_assert!(!neptune || taken <= steps || batch.len() == 1);
        }
        let kept: Vec<_> = batches.iter().flatten().map(|element| element.what).collect();
        prop_assert!(kept.is_sorted());
        let mut every: Vec<_> = kept.iter().copied().chain(too_large.iter().map(|element| element.what)).collect();
        every.sort_unstable();
        prop_assert_eq!(every, (0..values.len()).collect::<Vec<_>>());
    }
}
