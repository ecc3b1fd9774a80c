//! Diagnostics for people (rustc's look), for GitHub's annotations and as JSON.

use std::fmt;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use entities::SourceText;
use serde_json::{Value, json};

use crate::diagnostic::{Diagnostic, Diagnostics, Severity};

impl Diagnostics {
    /// For a terminal: message, `file:line:col`, source line, caret, fix; one after the other,
    /// and a last line that counts them.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let mut out = String::new();
        for diagnostic in &self.list {
            out.push_str(renderer.render(&[group(diagnostic, &self.source)]).trim_end());
            out.push_str("\n\n");
        }
        let errors = self.errors();
        if errors > 0 {
            let count = if errors == 1 { "1 error".to_owned() } else { format!("{errors} errors") };
            let summary = Level::ERROR.primary_title(format!("`{}` has {count}", self.source.name));
            out.push_str(renderer.render(&[Group::with_title(summary)]).trim_end());
            out.push('\n');
        }
        out
    }

    /// One `::error file=…,line=…,col=…::…` command for each, as GitHub Actions reads them.
    pub fn github(&self) -> String {
        let mut out = String::new();
        for diagnostic in &self.list {
            let mut place = format!("file={}", property(&self.source.name));
            if diagnostic.place.line > 0 {
                place.push_str(&format!(",line={},col={}", diagnostic.place.line, diagnostic.place.column));
            }
            let mut text = diagnostic.message.clone();
            if let Some(help) = &diagnostic.help {
                text.push_str("\nhelp: ");
                text.push_str(help);
            }
            out.push_str(&format!(
                "::{} {place},title={}::{}\n",
                diagnostic.severity.as_str(),
                property(diagnostic.code),
                data(&text)
            ));
        }
        out
    }

    /// `[{severity, code, message, file, line, column, start, end, label, also, help}]`; `start` and
    /// `end` are bytes of the text; `also` is null or another place: `{line, column, start, end, label}`.
    pub fn json(&self) -> Value {
        self.list
            .iter()
            .map(|diagnostic| {
                json!({
                    "severity": diagnostic.severity.as_str(),
                    "code": diagnostic.code,
                    "message": diagnostic.message,
                    "file": self.source.name,
                    "line": diagnostic.place.line,
                    "column": diagnostic.place.column,
                    "start": diagnostic.place.start,
                    "end": diagnostic.place.end,
                    "label": diagnostic.label,
                    "also": diagnostic.also.as_ref().map(|(place, label)| json!({
                        "line": place.line,
                        "column": place.column,
                        "start": place.start,
                        "end": place.end,
                        "label": label,
                    })),
                    "help": diagnostic.help,
                })
            })
            .collect()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

fn group<'a>(diagnostic: &'a Diagnostic, source: &'a SourceText) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(&diagnostic.message).id(diagnostic.code);
    let group = if diagnostic.place.line == 0 {
        title.element(Origin::path(&source.name))
    } else {
        let span = diagnostic.place.start as usize..diagnostic.place.end as usize;
        let mut annotation = AnnotationKind::Primary.span(span);
        if let Some(label) = &diagnostic.label {
            annotation = annotation.label(label);
        }
        let mut snippet = Snippet::source(&source.text).path(&source.name).annotation(annotation);
        if let Some((also, label)) = &diagnostic.also {
            let span = also.start as usize..also.end as usize;
            snippet = snippet.annotation(AnnotationKind::Context.span(span).label(label));
        }
        title.element(snippet)
    };
    match &diagnostic.help {
        Some(help) => group.element(Level::HELP.message(help)),
        None => group,
    }
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
