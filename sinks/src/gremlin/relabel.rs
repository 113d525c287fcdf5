//! A vertex that turns out to be something else. A label stays for good, so the vertex is made anew with all its edges.
//!
//! That is done in one request, which is one transaction where the server has such. A vertex whose edges do not fit into one,
//! or hold what cannot be written as it was read, keeps its label, and that is logged.

use std::collections::HashMap;

use faultline_contracts::graph::Vertex;
use gremlin_client::{GValue, Map};

use super::{
    apply::Call,
    attempt::Stop,
    failure::Failure,
    request::{Element, Kind, Request, rows, stored},
    statement::{Form, KeptEdge, Scalar, Statement, Write},
};

/// Gives a vertex that has just been written at `epoch` the label it is to have. An error means that it is worth another
/// try.
pub(super) fn relabel(call: &mut Call<'_>, vertex: &Vertex, epoch: i64, form: Form) -> Result<(), Stop> {
    let flavor = call.flavor();
    let id = vertex.id.as_str();
    let Some(edges) = edges(call, vertex, form)? else {
        tracing::warn!(?id, "a vertex keeps its former label: it has edges that cannot be made anew");
        return Ok(());
    };
    let mut statements = vec![
        Statement::of(Write::Forget(&vertex.id), form, flavor),
        Statement::of(Write::Vertex(vertex, epoch), form, flavor),
    ];
    statements.extend(edges.iter().map(|edge| Statement::of(Write::Restore(edge), form, flavor)));
    let whole = statements.into_iter().map(|statement| Element { what: (), id: id.to_owned(), statement }).collect();
    let (mut batches, too_large) = call.limits().pack(whole);
    let (Some(batch), true, true) = (batches.pop(), batches.is_empty(), too_large.is_empty()) else {
        tracing::warn!(
            ?id,
            edges = edges.len(),
            "a vertex keeps its former label: it has more edges than one request makes anew"
        );
        return Ok(());
    };
    let request = Request::new(Kind::Vertices, batch.iter().map(|element| &element.statement), &[id], flavor);
    match call.run(&request, form).and_then(|results| Ok(stored(results)?)) {
        Ok(stored) if stored.get(id).is_some_and(|stored| stored.label == *vertex.label) => Ok(()),
        Ok(_) => Err(Failure::Undone(1).into()),
        Err(Stop::Failed(failure)) if !failure.is_transient() => {
            tracing::warn!(?id, %failure, "a vertex keeps its former label");
            Ok(())
        }
        Err(stop) => Err(stop),
    }
}

/// All edges of a vertex, or nothing where one cannot be made anew.
fn edges(call: &mut Call<'_>, vertex: &Vertex, form: Form) -> Result<Option<Vec<KeptEdge>>, Stop> {
    const EDGES: &str = ".bothE().dedup().project('i','l','o','d','p').by(T.id).by(T.label).by(__.outV().id())\
                         .by(__.inV().id()).by(__.valueMap()).fold()";
    let request = Request::of_vertex(vertex.id.as_str(), EDGES, call.flavor());
    let rows = rows(call.run(&request, form)?)?;
    Ok(rows.iter().map(kept).collect())
}

fn kept(row: &GValue) -> Option<KeptEdge> {
    let GValue::Map(map) = row else { return None };
    let text = |name: &str| match map.get(name) {
        Some(GValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let Some(GValue::Map(properties)) = map.get("p") else { return None };
    Some(KeptEdge {
        id: scalar(map.get("i")?)?,
        label: text("l")?,
        from: text("o")?,
        to: text("d")?,
        properties: scalars(properties)?,
    })
}

/// In the order of their names, so that the same edges make the same script.
fn scalars(properties: &Map) -> Option<Vec<(String, Scalar)>> {
    let properties: HashMap<String, GValue> = properties.clone().try_into().ok()?;
    let mut scalars =
        properties.into_iter().map(|(name, value)| Some((name, scalar(&value)?))).collect::<Option<Vec<_>>>()?;
    scalars.sort_by(|(one, _), (other, _)| one.cmp(other));
    Some(scalars)
}

fn scalar(value: &GValue) -> Option<Scalar> {
    Some(match value {
        GValue::String(text) => Scalar::Text(text.clone()),
        GValue::Int32(number) => Scalar::Int(*number),
        GValue::Int64(number) => Scalar::Long(*number),
        GValue::Double(number) if number.is_finite() => Scalar::Double(*number),
        GValue::Bool(yes) => Scalar::Bool(*yes),
        _ => return None,
    })
}
