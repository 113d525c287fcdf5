use faultline_contracts::{
    graph::{Edge, EdgeLabel, Vertex},
    time::UnixMillis,
};
use proptest::prelude::*;

use super::*;

fn vertex(properties: &[(&str, &str)]) -> Vertex {
    let properties = properties.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Vertex { id: "urn:dp:orders:created".into(), label: "Dataset".into(), properties }
}

fn edge(confidence: Option<u16>) -> Edge {
    Edge {
        from: "a".into(),
        label: EdgeLabel::Caused,
        to: "b".into(),
        since: UnixMillis(1_698_400_800_000),
        confidence,
    }
}

fn code(write: Write<'_>, form: Form, flavor: Flavor) -> String {
    Statement::of(write, form, flavor).code
}

#[test]
fn a_vertex_is_found_or_made_then_set_as_a_whole() {
    let vertex = vertex(&[("name", "it's"), ("epoch", "not ours")]);
    let rest = ".not(__.has('epoch',P.gt(7L))).property(single,'name','it\\'s').property(single,'epoch',7L)\
                .sideEffect(__.properties().hasKey(P.without('name','epoch')).drop()).iterate()";
    let write = Write::Vertex(&vertex, 7);
    assert_eq!(
        code(write, Form::Merge, Flavor::Neptune),
        format!("g.mergeV([(T.id):'urn:dp:orders:created']).option(Merge.onCreate,[(T.label):'Dataset']){rest}")
    );
    assert_eq!(
        code(write, Form::Coalesce, Flavor::Neptune),
        format!(
            "g.V('urn:dp:orders:created').fold().coalesce(__.unfold(),\
             __.addV('Dataset').property(T.id,'urn:dp:orders:created')){rest}"
        )
    );
}

#[test]
fn an_edge_is_made_only_between_vertices_that_are_there() {
    let rest = ".not(__.has('epoch',P.gt(7L))).property('since','2023-10-27T10:00:00.000Z')\
                .property('confidence',0.92d).property('epoch',7L)\
                .sideEffect(__.properties().hasKey(P.without('since','confidence','epoch')).drop()).iterate()";
    let edge = edge(Some(920));
    assert_eq!(
        code(Write::Edge(&edge, 7), Form::Merge, Flavor::Neptune),
        format!(
            "g.V('a').V('b').mergeE([(T.id):'a-[CAUSED]->b']).option(Merge.onCreate,\
             [(T.label):'CAUSED',(Direction.OUT):'a',(Direction.IN):'b']){rest}"
        )
    );
    assert_eq!(
        code(Write::Edge(&edge, 7), Form::Coalesce, Flavor::Neptune),
        format!(
            "g.E('a-[CAUSED]->b').fold().coalesce(__.unfold(),__.V('a').as('f').V('b').addE('CAUSED')\
             .from('f').property(T.id,'a-[CAUSED]->b')){rest}"
        )
    );
}

#[test]
fn bindings_take_every_value_and_leave_the_code_alone() {
    let (one, other) = (vertex(&[("name", "'); g.V().drop()"), ("tier", "1")]), vertex(&[("x", "y"), ("z", "")]));
    let of = |vertex, epoch| Statement::of(Write::Vertex(vertex, epoch), Form::Merge, Flavor::Tinkerpop);
    let (one, other) = (of(&one, 1), of(&other, 2));
    assert_eq!(one.code, other.code, "two vertices of as many properties are rows of one script");
    assert!(!one.code.contains("name") && one.code.contains("(T.id):r[0]"), "{}", one.code);
    assert_eq!(one.row[3], GValue::String("name".to_owned()));
    assert_eq!(one.row[4], GValue::String("'); g.V().drop()".to_owned()));
}

#[test]
fn an_edge_without_confidence_loses_one_that_it_had() {
    let text = code(Write::Edge(&edge(None), 1), Form::Merge, Flavor::Neptune);
    assert!(!text.contains("confidence") && text.contains("P.without('since','epoch')"), "{text}");
}

#[test]
fn a_vertex_goes_only_with_edges_that_are_no_newer() {
    assert_eq!(
        code(Write::DropVertex(&"a".into(), 7), Form::Merge, Flavor::Neptune),
        "g.V('a').not(__.has('epoch',P.gt(7L))).not(__.bothE().has('epoch',P.gt(7L))).drop().iterate()"
    );
}

/// How a reader would count: names before an opening parenthesis, outside of literals.
fn steps(code: &str) -> usize {
    let mut outside = String::new();
    let (mut inside, mut escaped) = (false, false);
    for character in code.chars() {
        match character {
            _ if escaped => escaped = false,
            '\\' if inside => escaped = true,
            '\'' => inside = !inside,
            _ if !inside => outside.push(character),
            _ => {}
        }
    }
    outside.as_bytes().windows(2).filter(|pair| pair[0].is_ascii_alphanumeric() && pair[1] == b'(').count()
}

proptest! {
    #[test]
    fn steps_are_counted_whatever_the_values_hold(
        (id, name, value, merge) in (any::<String>(), "[a-z(]{1,9}", any::<String>(), any::<bool>())
    ) {
        let form = if merge { Form::Merge } else { Form::Coalesce };
        let vertex = Vertex {
            id: id.as_str().into(), label: "Job".into(), properties: vec![(name.as_str().into(), value.as_str().into())],
        };
        let statement = Statement::of(Write::Vertex(&vertex, 1), form, Flavor::Neptune);
        prop_assert_eq!(statement.steps, steps(&statement.code));
        prop_assert_eq!(statement.row_bytes, 0);
    }

    #[test]
    fn bytes_of_a_text_are_never_less_than_in_json(text in any::<String>()) {
        prop_assert!(json_bytes(&text) >= serde_json::to_string(&text).unwrap().len());
    }
}
