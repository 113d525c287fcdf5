//! The values of a document in the order in which they start.

/// One value, or the name of a member right before its value. Places are bytes of the text, or of
/// [`Tape::unescaped`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    /// `plain` has neither a fraction nor an exponent.
    Number {
        plain: bool,
        start: u32,
        end: u32,
    },
    /// Without escapes: a span of the text.
    Verbatim {
        start: u32,
        end: u32,
    },
    /// With escapes: a span of the unescaped buffer.
    Unescaped {
        start: u32,
        end: u32,
    },
    /// `count` items, and the index of the node behind them.
    Array {
        count: u32,
        end: u32,
    },
    /// `count` members as written, and the index of the node behind them.
    Object {
        count: u32,
        end: u32,
    },
}

/// A document's nodes and the text of its strings that have escapes.
#[derive(Debug, Default)]
pub(super) struct Tape {
    pub(super) nodes: Vec<Node>,
    pub(super) unescaped: String,
}

impl Tape {
    /// The node at `index`; null behind the end, which no caller reaches.
    #[inline(always)]
    pub(super) fn node(&self, index: u32) -> Node {
        self.nodes.get(index as usize).copied().unwrap_or(Node::Null)
    }

    /// The index of the node behind the value at `index`.
    #[inline(always)]
    pub(super) fn behind(&self, index: u32) -> u32 {
        match self.node(index) {
            Node::Array { end, .. } | Node::Object { end, .. } => end,
            _ => index + 1,
        }
    }
}
