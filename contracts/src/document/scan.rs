//! From text to tape: the grammar of RFC 8259 as one loop with a stack of open containers.

use super::{
    ParseError, escape,
    tape::{Node, Tape},
};

/// Reads the one value that `text` is.
///
/// # Errors
/// [`ParseError::Unparseable`] and [`ParseError::TooDeep`].
pub(super) fn scan(text: &str, max_depth: usize, tape: &mut Tape, open: &mut Vec<Open>) -> Result<(), ParseError> {
    tape.nodes.clear();
    tape.unescaped.clear();
    open.clear();
    let mut scanner = Scanner { text, bytes: text.as_bytes(), at: 0, max_depth, tape, open };
    scanner.document().map_err(|fault| match fault {
        Fault::TooDeep => ParseError::TooDeep { limit: max_depth },
        Fault::Syntax(expected) if scanner.at >= text.len() => {
            ParseError::Unparseable { message: format!("ends at byte {} where {expected}", text.len()) }
        }
        Fault::Syntax(expected) => {
            ParseError::Unparseable { message: format!("byte {} stands where {expected}", scanner.at) }
        }
    })
}

/// What ended the reading, at the scanner's place.
pub(super) enum Fault {
    /// What should have been there.
    Syntax(&'static str),
    TooDeep,
}

/// A container whose end has not been read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open {
    index: u32,
    count: u32,
    is_object: bool,
}

struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    max_depth: usize,
    tape: &'a mut Tape,
    open: &'a mut Vec<Open>,
}

impl Scanner<'_> {
    fn document(&mut self) -> Result<(), Fault> {
        self.skip_space();
        loop {
            // Here a value is due. An opened container that has content leads straight to its first value.
            if self.value()? {
                continue;
            }
            // Here a value has ended: close what ends with it.
            loop {
                let Some(&container) = self.open.last() else {
                    self.skip_space();
                    return if self.at == self.bytes.len() {
                        Ok(())
                    } else {
                        Err(Fault::Syntax("the document is over"))
                    };
                };
                self.skip_space();
                match (self.peek(), container.is_object) {
                    (Some(b','), false) => {
                        self.at += 1;
                        self.skip_space();
                        break;
                    }
                    (Some(b','), true) => {
                        self.at += 1;
                        self.skip_space();
                        self.name()?;
                        break;
                    }
                    (Some(b']'), false) | (Some(b'}'), true) => {
                        self.at += 1;
                        self.close();
                    }
                    (_, false) => return Err(Fault::Syntax("',' or ']' is due")),
                    (_, true) => return Err(Fault::Syntax("',' or '}' is due")),
                }
            }
        }
    }

    /// Reads a value, or the start of a container up to its first value: then true.
    fn value(&mut self) -> Result<bool, Fault> {
        if let Some(container) = self.open.last_mut() {
            container.count += 1;
        }
        match self.peek() {
            Some(b'"') => {
                let node = self.string()?;
                self.tape.nodes.push(node);
            }
            Some(b'{') => {
                self.enter(true)?;
                if self.peek() != Some(b'}') {
                    self.name()?;
                    return Ok(true);
                }
                self.at += 1;
                self.close();
            }
            Some(b'[') => {
                self.enter(false)?;
                if self.peek() != Some(b']') {
                    return Ok(true);
                }
                self.at += 1;
                self.close();
            }
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.literal(b"true", Node::Bool(true))?,
            Some(b'f') => self.literal(b"false", Node::Bool(false))?,
            Some(b'n') => self.literal(b"null", Node::Null)?,
            _ => return Err(Fault::Syntax("a value is due")),
        }
        Ok(false)
    }

    /// Opens a container and goes to the first thing in it.
    fn enter(&mut self, is_object: bool) -> Result<(), Fault> {
        if self.open.len() == self.max_depth {
            return Err(Fault::TooDeep);
        }
        self.open.push(Open { index: self.tape.nodes.len() as u32, count: 0, is_object });
        self.tape.nodes.push(Node::Null);
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    /// Puts the container that ends here in its place.
    fn close(&mut self) {
        let end = self.tape.nodes.len() as u32;
        if let Some(Open { index, count, is_object }) = self.open.pop()
            && let Some(node) = self.tape.nodes.get_mut(index as usize)
        {
            *node = if is_object { Node::Object { count, end } } else { Node::Array { count, end } };
        }
    }

    /// A member's name and colon, up to its value.
    fn name(&mut self) -> Result<(), Fault> {
        if self.peek() != Some(b'"') {
            return Err(Fault::Syntax("a name in quotes is due"));
        }
        let name = self.string()?;
        self.tape.nodes.push(name);
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(Fault::Syntax("':' is due"));
        }
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    /// A string, from its opening quote.
    #[inline]
    fn string(&mut self) -> Result<Node, Fault> {
        let start = self.at + 1;
        self.at = start;
        self.skip_plain();
        if self.peek() == Some(b'"') {
            let node = Node::Verbatim { start: start as u32, end: self.at as u32 };
            self.at += 1;
            return Ok(node);
        }
        self.unescaped_string(start)
    }

    /// The rest of a string that is not verbatim, from where it ceases to be.
    #[cold]
    fn unescaped_string(&mut self, start: usize) -> Result<Node, Fault> {
        let unescaped = self.tape.unescaped.len();
        let mut copied = start;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.tape.unescaped.push_str(self.text.get(copied..self.at).unwrap_or_default());
                    self.at += 1;
                    let end = self.tape.unescaped.len() as u32;
                    return Ok(Node::Unescaped { start: unescaped as u32, end });
                }
                Some(b'\\') => {
                    self.tape.unescaped.push_str(self.text.get(copied..self.at).unwrap_or_default());
                    let (character, length) = escape::decode(&self.bytes[self.at..])?;
                    self.tape.unescaped.push(character);
                    self.at += length;
                    copied = self.at;
                }
                Some(_) => return Err(Fault::Syntax("control characters must be escaped")),
                None => return Err(Fault::Syntax("a string goes on")),
            }
            self.skip_plain();
        }
    }

    /// Goes to the next quote, backslash or control character, eight bytes at a time.
    #[inline]
    fn skip_plain(&mut self) {
        const ONES: u64 = u64::MAX / 255;
        const HIGHS: u64 = ONES << 7;
        let (bytes, mut at) = (self.bytes, self.at);
        while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
            let word = u64::from_le_bytes(*chunk);
            let (quote, backslash) = (word ^ (ONES * 0x22), word ^ (ONES * 0x5c));
            // The high bit of each byte that is zero, or below 0x20; borrows only spoil bytes above a true one.
            let found = (quote.wrapping_sub(ONES) & !quote)
                | (backslash.wrapping_sub(ONES) & !backslash)
                | (word.wrapping_sub(ONES * 0x20) & !word);
            if found & HIGHS != 0 {
                self.at = at + (found & HIGHS).trailing_zeros() as usize / 8;
                return;
            }
            at += 8;
        }
        self.at = at;
        while self.peek().is_some_and(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
            self.at += 1;
        }
    }

    fn number(&mut self) -> Result<(), Fault> {
        let start = self.at;
        let mut plain = true;
        self.at += usize::from(self.peek() == Some(b'-'));
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            plain = false;
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            plain = false;
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        self.tape.nodes.push(Node::Number { plain, start: start as u32, end: self.at as u32 });
        Ok(())
    }

    /// At least one digit.
    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(Fault::Syntax("a digit is due")) } else { Ok(()) }
    }

    fn literal(&mut self, word: &[u8], node: Node) -> Result<(), Fault> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(Fault::Syntax("a value is due"));
        }
        self.at += word.len();
        self.tape.nodes.push(node);
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }
}
