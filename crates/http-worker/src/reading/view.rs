//! An answer as programs see it; what is costly is made when it is first asked for.

use std::cell::OnceCell;

use entities::{Decode, Failure, FailureClass, FailureKind};
use expr::JqScope;
use http::HeaderMap;
use serde_json::{Map, Value};

use super::decode::tree;
use super::document::{Cut, Document, documents};
use super::format::Format;
use crate::answer::Answer;

/// An answer to a task.
pub(super) struct View<'a> {
    answer: &'a Answer,
    decode: Decode,
    /// Bytes that an archive may be unpacked to.
    max_body: u64,
    /// What the answer lacks of the whole, if it is what is around the records.
    cut: Option<Cut>,
    vars: &'a Map<String, Value>,
    bindings: &'a Map<String, Value>,
    headers: OnceCell<Map<String, Value>>,
    documents: OnceCell<Result<Vec<Document<'a>>, Failure>>,
    tree: OnceCell<Result<Tree, Failure>>,
    /// The body as JSON, where that is not how it is read.
    aside: OnceCell<Option<Value>>,
}

/// The documents of an answer, parsed.
struct Tree {
    /// The value; a list of them if there are several, or lines.
    value: Value,
    /// The format of each element of that list; of the value, if it is no such list.
    formats: Vec<Format>,
    is_list: bool,
}

impl<'a> View<'a> {
    pub(super) fn new(
        answer: &'a Answer,
        decode: Decode,
        max_body: u64,
        vars: &'a Map<String, Value>,
        bindings: &'a Map<String, Value>,
    ) -> Self {
        View {
            answer,
            decode,
            max_body,
            cut: None,
            vars,
            bindings,
            headers: OnceCell::new(),
            documents: OnceCell::new(),
            tree: OnceCell::new(),
            aside: OnceCell::new(),
        }
    }

    /// A view of what is around the records of an answer.
    pub(super) fn of_rest(self, cut: Cut) -> Self {
        View { cut: Some(cut), ..self }
    }

    /// Asked before each program: an error if nobody wants to know any more.
    pub(super) fn wanted(&self) -> Result<(), Failure> {
        match &self.answer.leash {
            Some(leash) if !(leash.0)() => {
                let message = "nobody waits for this answer any more";
                Err(Failure::new(FailureClass::Transient, FailureKind::TimedOut, message))
            }
            _ => Ok(()),
        }
    }

    /// What the body holds, as texts.
    pub(super) fn documents(&self) -> Result<&[Document<'a>], Failure> {
        self.documents
            .get_or_init(|| {
                let kind = self.answer.headers.get(http::header::CONTENT_TYPE);
                let kind = kind.and_then(|value| value.to_str().ok());
                let name = self.answer.name.as_deref();
                let mut documents = documents(&self.answer.body, name, kind, self.decode, self.max_body)?;
                if let (Some(cut), [document]) = (self.cut, documents.as_mut_slice()) {
                    document.cut = cut;
                }
                Ok(documents)
            })
            .as_deref()
            .map_err(Clone::clone)
    }

    /// The text of an answer that is one JSON value, or one line of it.
    pub(super) fn json(&self) -> Option<&str> {
        match self.documents() {
            Ok([Document { format: Format::Json, text, .. }]) => Some(text),
            Ok([Document { format: Format::Lines, text, .. }]) => {
                let line = text.trim_matches([' ', '\t', '\r', '\n', '\u{1e}']);
                (!line.is_empty() && !line.contains('\n')).then_some(line)
            }
            _ => None,
        }
    }

    /// Whether the answer is many rows or lines, which have no members to look at.
    pub(super) fn is_table(&self) -> bool {
        let is_table = |document: &Document<'_>| match document.format {
            Format::Csv { .. } => true,
            Format::Lines => self.json().is_none(),
            Format::Json | Format::Xml | Format::Text => false,
        };
        self.documents().is_ok_and(|documents| documents.iter().all(is_table))
    }

    /// The texts of an answer that are JSON, or lines of it.
    pub(super) fn json_texts(&self) -> impl Iterator<Item = &str> {
        let documents = self.documents().unwrap_or_default().iter();
        documents
            .filter(|document| matches!(document.format, Format::Json | Format::Lines))
            .map(|document| &*document.text)
    }

    /// The body, parsed: the value of its document, or the list of those of several documents or lines.
    pub(super) fn tree(&self) -> Result<&Value, Failure> {
        self.parsed().map(|tree| &tree.value)
    }

    /// The value of each document, or line, and its format.
    pub(super) fn parts(&self) -> Result<impl Iterator<Item = (&Value, Format)>, Failure> {
        let tree = self.parsed()?;
        let values = match &tree.value {
            Value::Array(values) if tree.is_list => values.as_slice(),
            value => std::slice::from_ref(value),
        };
        Ok(values.iter().zip(tree.formats.iter().copied()))
    }

    /// What rules look at: the body, parsed. An API that sends tables and texts may still say what is
    /// wrong in JSON.
    pub(super) fn said(&self) -> Result<&Value, Failure> {
        let is_json = |document: &Document<'_>| matches!(document.format, Format::Json | Format::Lines);
        if !self.documents().is_ok_and(|documents| documents.iter().all(is_json))
            && let Some(aside) = self.aside()
        {
            return Ok(aside);
        }
        self.tree()
    }

    fn aside(&self) -> Option<&Value> {
        self.aside
            .get_or_init(|| {
                let text = std::str::from_utf8(&self.answer.body).ok()?;
                text.trim_start().starts_with(['{', '[']).then(|| tree::parse(text).ok()).flatten()
            })
            .as_ref()
    }

    fn parsed(&self) -> Result<&Tree, Failure> {
        self.tree.get_or_init(|| self.parse()).as_ref().map_err(Clone::clone)
    }

    fn parse(&self) -> Result<Tree, Failure> {
        let documents = self.documents()?;
        let mut values = Vec::new();
        let mut formats = Vec::new();
        for document in documents {
            document.values(&mut |value| {
                values.push(value);
                formats.push(document.format);
            })?;
        }
        let is_list = documents.len() != 1 || documents[0].format == Format::Lines;
        let value = if is_list { Value::Array(values) } else { values.pop().unwrap_or(Value::Null) };
        Ok(Tree { value, formats, is_list })
    }

    /// `$status`, `$headers`, `$vars` and the `foreach` names.
    pub(super) fn scope(&self) -> JqScope<'_> {
        JqScope {
            status: Some(self.answer.status),
            headers: self.headers.get_or_init(|| by_name(&self.answer.headers)),
            vars: self.vars,
            bindings: self.bindings,
        }
    }
}

/// Headers by their lower-case names; several of one name are joined as RFC 9110 has it.
pub(crate) fn by_name(headers: &HeaderMap) -> Map<String, Value> {
    headers
        .keys()
        .map(|name| {
            let values: Vec<_> =
                headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
            (name.as_str().to_owned(), Value::String(values.join(", ")))
        })
        .collect()
}
