//! Where results, notes and errors go: the one place that writes to the terminal.

use std::cell::{Cell, RefCell};
use std::io::{self, IsTerminal as _, Write};

use anstream::{AutoStream, ColorChoice};
use cfg_engine::document::{Dialect, Object};
use cfg_engine::{Error, Value};

use crate::cli::{Color, Global};
use crate::render::style::{BOLD, CYAN, ERROR, YELLOW, clean};

/// Standard output and standard error under the rules of the global flags.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
    color: ColorChoice,
    /// Nobody reads standard output any more.
    gone: Cell<bool>,
    failed: RefCell<Option<io::Error>>,
}

impl Output {
    pub(crate) fn new(global: &Global) -> Self {
        let color = match global.color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::AlwaysAnsi,
            Color::Never => ColorChoice::Never,
        };
        Output { json: global.json, quiet: global.quiet, color, gone: Cell::new(false), failed: RefCell::new(None) }
    }

    /// Returns whether the result is printed as JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Returns whether somebody watches standard error.
    pub(crate) fn shows_progress(&self) -> bool {
        !self.json && !self.quiet && io::stderr().is_terminal()
    }

    /// Prints a result as the one JSON document.
    pub(crate) fn json(&self, value: impl Into<Value>) {
        let indent = io::stdout().is_terminal().then_some(2);
        let mut text = value.into().to_text(Dialect::Interchange, indent);
        text.push('\n');
        self.data(&text);
    }

    /// Prints what was asked for, byte by byte.
    pub(crate) fn data(&self, text: &str) {
        self.put(io::stdout().lock(), text);
    }

    /// Prints text for people, with colours where they are wanted. Text from outside must be
    /// [`clean`]ed before.
    pub(crate) fn text(&self, text: &str) {
        self.put(AutoStream::new(io::stdout().lock(), self.color), text);
    }

    /// Prints a report for people, unless `--quiet`.
    pub(crate) fn report(&self, text: &str) {
        if !self.quiet {
            self.text(text);
        }
    }

    /// Prints a note on standard error, unless `--quiet`.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet && !self.json {
            self.stderr(&format!("{}\n", clean(text)));
        }
    }

    /// Prints a warning on standard error.
    pub(crate) fn warn(&self, text: &str) {
        if !self.json {
            self.stderr(&format!("{YELLOW}warning:{YELLOW:#} {}\n", clean(text)));
        }
    }

    /// Prints why the verb did not do what was asked: the envelope, or `error:` and `hint:`.
    pub(crate) fn error(&self, error: &Error) {
        if self.json {
            self.json(error.to_envelope());
        } else {
            self.refusal(error);
        }
    }

    /// Prints one more thing to try, for people.
    pub(crate) fn hint(&self, hint: &str) {
        if !self.json {
            self.stderr(&format!("{CYAN}hint:{CYAN:#} {}\n", clean(hint)));
        }
    }

    /// Prints why one row of several failed; in JSON the row says it itself.
    pub(crate) fn row_error(&self, error: &Error) {
        if !self.json {
            self.refusal(error);
        }
    }

    fn refusal(&self, error: &Error) {
        self.stderr(&format!("{ERROR}error:{ERROR:#} {}\n", clean(&error.to_string())));
        if let Error::Several { errors, .. } = error {
            crate::render::reports::failures(self, errors.iter().map(|(_, error)| error));
        }
        if let Some(hint) = error.hint() {
            self.hint(&hint);
        }
    }

    /// Prints a line that announces a part of longer output, in bold.
    pub(crate) fn heading(&self, text: &str) {
        self.report(&format!("{BOLD}{}{BOLD:#}\n", clean(text)));
    }

    fn stderr(&self, text: &str) {
        // Nothing is left to say it with if this fails.
        let _ = AutoStream::new(io::stderr().lock(), self.color).write_all(text.as_bytes());
    }

    fn put(&self, mut to: impl Write, text: &str) {
        if self.gone.get() {
            return;
        }
        if let Err(error) = to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
            self.gone.set(true);
            // Whoever reads has seen enough: `cfg log | head`.
            if error.kind() != io::ErrorKind::BrokenPipe {
                *self.failed.borrow_mut() = Some(error);
            }
        }
    }

    /// Returns why standard output could not be written, if it could not.
    pub(crate) fn failure(&self) -> Option<Error> {
        let failed = self.failed.borrow();
        let reason = failed.as_ref()?;
        Some(Error::refused(
            "output",
            format!("the result could not be written: {reason}"),
            "the verb itself was done; look with: cfg log",
        ))
    }
}

/// Returns `{key: text}` for verbs whose result is a text.
pub(crate) fn text_object(key: &str, text: &str) -> Object {
    Object::new().with(key, text)
}
