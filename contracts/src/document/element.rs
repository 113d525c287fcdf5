//! Reading a parsed document.

use super::{Document, Number, tape::Node};

/// One value of a document. Copied freely.
#[derive(Debug, Clone, Copy)]
pub struct Element<'a> {
    document: Document<'a>,
    index: u32,
}

/// What a value is.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number.
    Number(Number<'a>),
    /// A string, escapes resolved.
    String(&'a str),
    /// An array.
    Array(Array<'a>),
    /// An object.
    Object(Object<'a>),
}

impl<'a> Element<'a> {
    pub(super) fn at(document: Document<'a>, index: u32) -> Self {
        Self { document, index }
    }

    /// The value's place in the document, by which [`Document::element`] finds it again.
    #[must_use]
    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    /// What it is.
    #[must_use]
    // Inlined, so that what a caller makes of it takes the place of the value: through memory it is slow.
    #[inline(always)]
    pub fn content(&self) -> Content<'a> {
        let Self { document, index } = *self;
        match document.tape.node(index) {
            Node::Null => Content::Null,
            Node::Bool(value) => Content::Bool(value),
            Node::Number { plain, start, end } => {
                Content::Number(Number { text: span(document.text, start, end), plain })
            }
            Node::Verbatim { start, end } => Content::String(span(document.text, start, end)),
            Node::Unescaped { start, end } => Content::String(span(&document.tape.unescaped, start, end)),
            Node::Array { count, end } => Content::Array(Array { document, first: index + 1, count, end }),
            Node::Object { count, end } => Content::Object(Object { document, first: index + 1, count, end }),
        }
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.document.tape.node(self.index) == Node::Null
    }

    /// The value for readers of [`serde_json::Value`]. Numbers as [`Number::to_json`] gives them; of members with the
    /// same name, the last one.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match self.content() {
            Content::Null => Value::Null,
            Content::Bool(value) => Value::Bool(value),
            Content::Number(number) => Value::Number(number.to_json()),
            Content::String(text) => Value::String(text.to_owned()),
            Content::Array(array) => Value::Array(array.iter().map(|item| item.to_json()).collect()),
            Content::Object(object) => {
                Value::Object(object.iter().map(|(name, value)| (name.to_owned(), value.to_json())).collect())
            }
        }
    }
}

impl<'a> Document<'a> {
    /// The value at a place that [`Element::index`] gave for this document.
    pub(crate) fn element(&self, index: u32) -> Element<'a> {
        Element::at(*self, index)
    }
}

#[inline(always)]
fn span(text: &str, start: u32, end: u32) -> &str {
    text.get(start as usize..end as usize).unwrap_or_default()
}

/// An array of a document.
#[derive(Debug, Clone, Copy)]
pub struct Array<'a> {
    document: Document<'a>,
    first: u32,
    count: u32,
    end: u32,
}

impl<'a> Array<'a> {
    /// How many items.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The items.
    #[must_use]
    pub fn iter(&self) -> Items<'a> {
        Items { document: self.document, next: self.first, end: self.end }
    }
}

/// The items of an [`Array`].
#[derive(Debug, Clone)]
pub struct Items<'a> {
    document: Document<'a>,
    next: u32,
    end: u32,
}

impl<'a> Iterator for Items<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        if self.next >= self.end {
            return None;
        }
        let item = Element::at(self.document, self.next);
        self.next = self.document.tape.behind(self.next);
        Some(item)
    }
}

/// An object of a document.
#[derive(Debug, Clone, Copy)]
pub struct Object<'a> {
    document: Document<'a>,
    first: u32,
    count: u32,
    end: u32,
}

impl<'a> Object<'a> {
    /// How many members are written, those with the same name each counted.
    #[must_use]
    pub fn written_len(&self) -> usize {
        self.count as usize
    }

    /// How many names it has. Sorts the names where there are many.
    #[must_use]
    pub fn len(&self) -> usize {
        let mut names: Vec<&str> = self.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        names.len()
    }

    /// Whether it has no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The members as written. Where a name is there several times, the last one counts.
    #[must_use]
    pub fn iter(&self) -> Members<'a> {
        Members { document: self.document, next: self.first, end: self.end }
    }

    /// The members as written, their names as bytes of UTF-8.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&'a [u8], Element<'a>)> + use<'a> {
        let mut members = self.iter();
        std::iter::from_fn(move || {
            let ((text, start, end), value) = members.step()?;
            Some((text.as_bytes().get(start as usize..end as usize).unwrap_or_default(), value))
        })
    }

    /// The value of the member `name`: of several, the last one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Element<'a>> {
        self.iter().filter(|(other, _)| *other == name).last().map(|(_, value)| value)
    }
}

/// The members of an [`Object`].
#[derive(Debug, Clone)]
pub struct Members<'a> {
    document: Document<'a>,
    next: u32,
    end: u32,
}

impl<'a> Members<'a> {
    /// The next member: the text that its name lies in, from where to where, and its value.
    #[inline]
    fn step(&mut self) -> Option<((&'a str, u32, u32), Element<'a>)> {
        let Self { document, next, end } = *self;
        if next >= end {
            return None;
        }
        let name = match document.tape.node(next) {
            Node::Verbatim { start, end } => (document.text, start, end),
            Node::Unescaped { start, end } => (document.tape.unescaped.as_str(), start, end),
            _ => ("", 0, 0),
        };
        self.next = document.tape.behind(next + 1);
        Some((name, Element::at(document, next + 1)))
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, Element<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let ((text, start, end), value) = self.step()?;
        Some((span(text, start, end), value))
    }
}
