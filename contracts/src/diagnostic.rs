//! What is wrong, or worth knowing, in a file that a person wrote, and where.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// How much a diagnostic matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Something that the author wrote cannot take effect.
    Error,
    /// It takes effect, and probably not as meant.
    Warning,
    /// Worth knowing, such as a rule that is not judged record by record.
    Note,
}

impl Severity {
    /// `error`, `warning` or `note`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// Where in a text something is: line and column from 1, both 0 when it is about the whole file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in Unicode characters, from 1.
    pub column: u32,
}

/// One finding of a linter, in the form that compilers use: `orders.odcs.yaml:12:5: error[odcs-unknown-key]: …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How much it matters.
    pub severity: Severity,
    /// A stable name for this kind of finding, such as `odcs-unknown-key`.
    pub code: &'static str,
    /// The file that it is about.
    pub file: PathBuf,
    /// Line, from 1; 0 when it is about the whole file.
    pub line: u32,
    /// Column in Unicode characters, from 1; 0 when it is about the whole file.
    pub column: u32,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// Whether any of these is an error.
    #[must_use]
    pub fn any_error(diagnostics: &[Self]) -> bool {
        diagnostics.iter().any(|d| d.severity == Severity::Error)
    }

    /// Sorts by file, line, column, severity and code, and drops repetitions: the order in which people read them,
    /// and the same on any machine.
    pub fn sort(diagnostics: &mut Vec<Self>) {
        diagnostics.sort_by(|a, b| a.order().cmp(&b.order()));
        diagnostics.dedup();
    }

    fn order(&self) -> (&Path, u32, u32, Severity, &str, &str) {
        (&self.file, self.line, self.column, self.severity, self.code, &self.message)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if self.line > 0 {
            write!(f, "{}:{}:", self.line, self.column)?;
        }
        write!(f, " {}[{}]: {}", self.severity.as_str(), self.code, self.message)?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

/// Collects the findings about one file.
#[derive(Debug)]
pub(crate) struct Findings<'a> {
    file: &'a Path,
    found: Vec<Diagnostic>,
}

impl<'a> Findings<'a> {
    pub(crate) fn about(file: &'a Path) -> Self {
        Self { file, found: Vec::new() }
    }

    pub(crate) fn error(&mut self, code: &'static str, at: Position, message: impl Into<String>) -> &mut Diagnostic {
        self.push(Severity::Error, code, at, message.into())
    }

    pub(crate) fn warning(&mut self, code: &'static str, at: Position, message: impl Into<String>) -> &mut Diagnostic {
        self.push(Severity::Warning, code, at, message.into())
    }

    pub(crate) fn note(&mut self, code: &'static str, at: Position, message: impl Into<String>) -> &mut Diagnostic {
        self.push(Severity::Note, code, at, message.into())
    }

    fn push(&mut self, severity: Severity, code: &'static str, at: Position, message: String) -> &mut Diagnostic {
        let Position { line, column } = at;
        let file = self.file.to_path_buf();
        let index = self.found.len();
        self.found.push(Diagnostic { severity, code, file, line, column, message, help: None });
        &mut self.found[index]
    }

    pub(crate) fn has_error(&self) -> bool {
        Diagnostic::any_error(&self.found)
    }

    pub(crate) fn into_diagnostics(self) -> Vec<Diagnostic> {
        self.found
    }
}

impl Diagnostic {
    pub(crate) fn help(&mut self, help: impl Into<String>) {
        self.help = Some(help.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_like_a_compiler() {
        let mut findings = Findings::about(Path::new("orders.odcs.yaml"));
        let at = Position { line: 12, column: 5 };
        findings.error("odcs-unknown-key", at, "unknown key 'shema'").help("did you mean 'schema'?");
        findings.note("odcs-window-rule", Position::default(), "unique");
        let texts: Vec<String> = findings.into_diagnostics().iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "orders.odcs.yaml:12:5: error[odcs-unknown-key]: unknown key 'shema'\n  help: did you mean 'schema'?",
                "orders.odcs.yaml: note[odcs-window-rule]: unique"
            ]
        );
    }

    #[test]
    fn sorts_by_place_and_drops_repetitions() {
        let mut findings = Findings::about(Path::new("a.yaml"));
        for line in [7, 2, 7] {
            findings.error("x", Position { line, column: 1 }, "m");
        }
        let mut found = findings.into_diagnostics();
        Diagnostic::sort(&mut found);
        assert_eq!(found.iter().map(|d| d.line).collect::<Vec<_>>(), [2, 7]);
    }
}
