//! How a task's page gets into its request.

use entities::{Failure, Page, Paginate, PaginateBy, ParamPlace, Place, Position, SizeParam};
use http::{HeaderMap, HeaderName};
use serde_json::Value;

use super::{each_text, header_value, insert};
use crate::auth::{dotted, header_name};

/// The paging parameters of a spec.
#[derive(Debug, Default)]
pub(crate) struct Paging {
    position: Option<Param>,
    size: Option<(Param, Value)>,
    /// What page 1 asks for; none where page 1 is asked for by saying nothing.
    start: Option<i64>,
    place: Option<ParamPlace>,
    at: Place,
}

/// A parameter by the form in which its place wants its name.
#[derive(Debug)]
struct Param {
    name: String,
    path: Vec<String>,
    header: Option<HeaderName>,
}

impl Param {
    fn new(name: &str, place: ParamPlace, at: Place) -> Result<Param, Failure> {
        Ok(Param {
            name: name.to_owned(),
            path: dotted(name),
            header: match place {
                ParamPlace::Header => Some(header_name(name, at)?),
                _ => None,
            },
        })
    }
}

impl Paging {
    pub(crate) fn compile(paginate: Option<&Paginate>) -> Result<Paging, Failure> {
        let Some(Paginate { by, at, .. }) = paginate else { return Ok(Paging::default()) };
        let (param, place, size, start): (&str, ParamPlace, &Option<SizeParam>, Option<i64>) = match by {
            PaginateBy::Page { param, place, size, start, .. }
            | PaginateBy::Offset { param, place, size, start, .. } => (param, *place, size, Some(*start)),
            PaginateBy::Token { param, place, size, .. } => (param, *place, size, None),
            PaginateBy::Url { .. } | PaginateBy::Link { .. } => return Ok(Paging::default()),
        };
        let size = match size {
            Some(size) => Some((Param::new(&size.param, place, *at)?, Value::from(size.value))),
            None => None,
        };
        Ok(Paging {
            position: Some(Param::new(param, place, *at)?),
            size,
            start,
            place: Some(place),
            at: *at,
        })
    }

    /// What the position's parameter carries for a page.
    pub(crate) fn value(&self, position: &Position) -> Option<Value> {
        match position {
            Position::First => self.start.map(Value::from),
            Position::Number(number) | Position::Offset(number) => Some(Value::from(*number)),
            Position::Token(token) => Some(token.clone()),
            Position::Url(_) => None,
        }
    }

    /// What `{{ page }}` stands for: the number or offset asked for, else how many pages in.
    pub(crate) fn number(&self, page: &Page) -> i64 {
        match page.position {
            Position::Number(number) | Position::Offset(number) => number,
            Position::First => self.start.unwrap_or_else(|| i64::from(page.number)),
            Position::Token(_) | Position::Url(_) => i64::from(page.number),
        }
    }

    /// Whether a parameter of the query is paging's to set.
    pub(crate) fn replaces(&self, name: &str) -> bool {
        self.place == Some(ParamPlace::Query) && self.names().any(|param| param.name == name)
    }

    /// Whether a field of the form is paging's to set.
    pub(crate) fn replaces_field(&self, name: &str) -> bool {
        self.place == Some(ParamPlace::Form) && self.names().any(|param| param.name == name)
    }

    /// Whether the body differs from page to page.
    pub(crate) fn in_body(&self) -> bool {
        matches!(self.place, Some(ParamPlace::Json | ParamPlace::Form))
    }

    pub(crate) fn in_json(&self) -> bool {
        self.place == Some(ParamPlace::Json)
    }

    pub(crate) fn in_form(&self) -> bool {
        self.place == Some(ParamPlace::Form)
    }

    pub(crate) fn to_query(&self, value: Option<&Value>, mut push: impl FnMut(&str, &Value)) {
        if self.place == Some(ParamPlace::Query) {
            self.each(value, |param, value| push(&param.name, value));
        }
    }

    pub(crate) fn to_form(&self, value: Option<&Value>, mut push: impl FnMut(&str, &Value)) {
        if self.in_form() {
            self.each(value, |param, value| push(&param.name, value));
        }
    }

    pub(crate) fn to_json(&self, value: Option<&Value>, mut set: impl FnMut(&[String], &Value)) {
        if self.in_json() {
            self.each(value, |param, value| set(&param.path, value));
        }
    }

    pub(crate) fn to_headers(&self, value: Option<&Value>, headers: &mut HeaderMap) -> Result<(), Failure> {
        if self.place != Some(ParamPlace::Header) {
            return Ok(());
        }
        let mut texts = Vec::new();
        self.each(value, |param, value| {
            if let Some(name) = &param.header {
                each_text(value, |text| texts.push((name.clone(), text.to_owned())));
            }
        });
        for (name, text) in texts {
            let value = header_value(&name, &text, false, self.at)?;
            insert(headers, &name, value);
        }
        Ok(())
    }

    /// Whether the name is one that the path gets from the paging.
    pub(crate) fn binds(&self, name: &str) -> bool {
        self.in_path() && self.names().any(|param| param.name == name)
    }

    pub(crate) fn in_path(&self) -> bool {
        self.place == Some(ParamPlace::Path)
    }

    /// The names that the path may use, for a page.
    pub(crate) fn to_names(&self, position: &Position, mut bind: impl FnMut(&str, Value)) {
        if self.in_path() {
            self.each(self.value(position).as_ref(), |param, value| bind(&param.name, value.clone()));
        }
    }

    fn names(&self) -> impl Iterator<Item = &Param> {
        self.position.iter().chain(self.size.iter().map(|(param, _)| param))
    }

    fn each(&self, value: Option<&Value>, mut each: impl FnMut(&Param, &Value)) {
        if let (Some(param), Some(value)) = (&self.position, value) {
            each(param, value);
        }
        if let Some((param, value)) = &self.size {
            each(param, value);
        }
    }
}
