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
    let scanner = Scanner { text, bytes: text.as_bytes(), max_depth, tape, open };
    scanner.document().map_err(|fault| match fault {
        Fault::TooDeep => ParseError::TooDeep { limit: max_depth },
        Fault::Syntax(at, expected) if at >= text.len() => {
            ParseError::Unparseable { message: format!("ends at byte {} where {expected}", text.len()) }
        }
        Fault::Syntax(at, expected) => {
            ParseError::Unparseable { message: format!("byte {at} stands where {expected}") }
        }
    })
}

/// What ended the reading.
enum Fault {
    /// Where, and what should have been there.
    Syntax(usize, &'static str),
    TooDeep,
}

/// A container whose end has not been read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open {
    index: u32,
    count: u32,
    is_object: bool,
}

/// Reading goes on from a place that each step takes and gives as a value, and the steps are inlined into one loop: the
/// place then stays in a register, where as a field it would pass through memory several times for each token.
struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    max_depth: usize,
    tape: &'a mut Tape,
    open: &'a mut Vec<Open>,
}

/// One bit, the lowest, in each byte of a word.
const ONES: u64 = u64::MAX / 255;
/// The highest bit of each byte.
const HIGHS: u64 = ONES << 7;

impl Scanner<'_> {
    fn document(mut self) -> Result<(), Fault> {
        let mut at = self.skip_space(0);
        loop {
            // Here a value is due. An opened container that has content leads straight to its first value.
            if let Some(container) = self.open.last_mut() {
                container.count += 1;
            }
            match self.peek(at) {
                Some(b'"') => at = self.string(at)?,
                Some(b'{') => {
                    at = self.enter(at, true)?;
                    if self.peek(at) != Some(b'}') {
                        at = self.name(at)?;
                        continue;
                    }
                    at += 1;
                    self.close();
                }
                Some(b'[') => {
                    at = self.enter(at, false)?;
                    if self.peek(at) != Some(b']') {
                        continue;
                    }
                    at += 1;
                    self.close();
                }
                Some(b'-' | b'0'..=b'9') => at = self.number(at)?,
                Some(b't') => at = self.literal(at, b"true", Node::Bool(true))?,
                Some(b'f') => at = self.literal(at, b"false", Node::Bool(false))?,
                Some(b'n') => at = self.literal(at, b"null", Node::Null)?,
                _ => return Err(Fault::Syntax(at, "a value is due")),
            }
            // Here a value has ended: close what ends with it.
            loop {
                at = self.skip_space(at);
                let Some(&container) = self.open.last() else {
                    return if at == self.bytes.len() {
                        Ok(())
                    } else {
                        Err(Fault::Syntax(at, "the document is over"))
                    };
                };
                match (self.peek(at), container.is_object) {
                    (Some(b','), false) => {
                        at = self.skip_space(at + 1);
                        break;
                    }
                    (Some(b','), true) => {
                        at = self.skip_space(at + 1);
                        at = self.name(at)?;
                        break;
                    }
                    (Some(b']'), false) | (Some(b'}'), true) => {
                        at += 1;
                        self.close();
                    }
                    (_, false) => return Err(Fault::Syntax(at, "',' or ']' is due")),
                    (_, true) => return Err(Fault::Syntax(at, "',' or '}' is due")),
                }
            }
        }
    }

    /// Opens a container and goes to the first thing in it.
    #[inline(always)]
    fn enter(&mut self, at: usize, is_object: bool) -> Result<usize, Fault> {
        if self.open.len() == self.max_depth {
            return Err(Fault::TooDeep);
        }
        self.open.push(Open { index: self.tape.nodes.len() as u32, count: 0, is_object });
        self.tape.nodes.push(Node::Null);
        Ok(self.skip_space(at + 1))
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
    #[inline(always)]
    fn name(&mut self, at: usize) -> Result<usize, Fault> {
        if self.peek(at) != Some(b'"') {
            return Err(Fault::Syntax(at, "a name in quotes is due"));
        }
        let at = self.string(at)?;
        let at = self.skip_space(at);
        if self.peek(at) != Some(b':') {
            return Err(Fault::Syntax(at, "':' is due"));
        }
        Ok(self.skip_space(at + 1))
    }

    /// A string, from its opening quote to behind its closing one.
    #[inline(always)]
    fn string(&mut self, at: usize) -> Result<usize, Fault> {
        let start = at + 1;
        let end = plain_end(self.bytes, start);
        if self.peek(end) == Some(b'"') {
            self.tape.nodes.push(Node::Verbatim { start: start as u32, end: end as u32 });
            return Ok(end + 1);
        }
        unescaped_string(self.text, start, end, self.tape)
    }

    #[inline(always)]
    fn number(&mut self, start: usize) -> Result<usize, Fault> {
        let mut plain = true;
        let mut at = start + usize::from(self.peek(start) == Some(b'-'));
        at = if self.peek(at) == Some(b'0') { at + 1 } else { self.digits(at)? };
        if self.peek(at) == Some(b'.') {
            plain = false;
            at = self.digits(at + 1)?;
        }
        if matches!(self.peek(at), Some(b'e' | b'E')) {
            plain = false;
            at += 1;
            at += usize::from(matches!(self.peek(at), Some(b'+' | b'-')));
            at = self.digits(at)?;
        }
        self.tape.nodes.push(Node::Number { plain, start: start as u32, end: at as u32 });
        Ok(at)
    }

    /// At least one digit. Numbers differ in length from record to record: eight bytes at once leave one branch to
    /// foresee.
    #[inline(always)]
    fn digits(&self, start: usize) -> Result<usize, Fault> {
        let mut at = start;
        let end = loop {
            let Some(word) = word(self.bytes, at) else {
                let digits = self.bytes.get(at..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit());
                break at + digits.count();
            };
            let values = word ^ (ONES * 0x30);
            // The high bit of each byte that is above 9; carries only spoil bytes above a true one.
            let others = (values.wrapping_add(ONES * 0x76) | values) & HIGHS;
            if others != 0 {
                break at + others.trailing_zeros() as usize / 8;
            }
            at += 8;
        };
        if end == start { Err(Fault::Syntax(start, "a digit is due")) } else { Ok(end) }
    }

    fn literal(&mut self, at: usize, word: &[u8], node: Node) -> Result<usize, Fault> {
        if !self.bytes.get(at..).is_some_and(|rest| rest.starts_with(word)) {
            return Err(Fault::Syntax(at, "a value is due"));
        }
        self.tape.nodes.push(node);
        Ok(at + word.len())
    }

    #[inline(always)]
    fn peek(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    #[inline(always)]
    fn skip_space(&self, mut at: usize) -> usize {
        // Mostly there is none.
        while let Some(byte) = self.peek(at).filter(|byte| *byte <= b' ') {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                break;
            }
            at += 1;
        }
        at
    }
}

/// Eight bytes from a place on, the first of them the lowest.
#[inline(always)]
fn word(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk::<8>().map(|chunk| u64::from_le_bytes(*chunk))
}

/// The place of the next quote, backslash or control character, or the end.
#[inline(always)]
fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(word) = word(bytes, at) {
        let (quote, backslash) = (word ^ (ONES * 0x22), word ^ (ONES * 0x5c));
        // The high bit of each byte that is zero, or below 0x20; borrows only spoil bytes above a true one.
        let found = (quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        if found & HIGHS != 0 {
            return at + (found & HIGHS).trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let plain = |byte: &&u8| **byte >= 0x20 && **byte != b'"' && **byte != b'\\';
    at + bytes.get(at..).unwrap_or_default().iter().take_while(plain).count()
}

/// The rest of a string that began at `start` and ceases to be verbatim at `at`, up to behind its closing quote.
#[cold]
fn unescaped_string(text: &str, start: usize, mut at: usize, tape: &mut Tape) -> Result<usize, Fault> {
    let bytes = text.as_bytes();
    let unescaped = tape.unescaped.len() as u32;
    let mut copied = start;
    loop {
        match bytes.get(at) {
            Some(b'"') => {
                tape.unescaped.push_str(text.get(copied..at).unwrap_or_default());
                tape.nodes.push(Node::Unescaped { start: unescaped, end: tape.unescaped.len() as u32 });
                return Ok(at + 1);
            }
            Some(b'\\') => {
                tape.unescaped.push_str(text.get(copied..at).unwrap_or_default());
                let (character, length) =
                    escape::decode(&bytes[at..]).map_err(|expected| Fault::Syntax(at, expected))?;
                tape.unescaped.push(character);
                at += length;
                copied = at;
            }
            Some(_) => return Err(Fault::Syntax(at, "control characters must be escaped")),
            None => return Err(Fault::Syntax(at, "a string goes on")),
        }
        at = plain_end(bytes, at);
    }
}
