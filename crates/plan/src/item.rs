//! One TOML value and where it stands: typed access that explains itself when the type is wrong.

use std::ops::Range;

use entities::{JqText, TemplateText, ValueTemplate};
use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::findings::Findings;
use crate::reader::{Section, entries};

/// A value of the plan, with the key it stands under and what to call it.
#[derive(Clone, Debug)]
pub(crate) struct Item<'a> {
    pub(crate) findings: &'a Findings,
    /// For messages: `` `limits` of [endpoints.x] ``.
    pub(crate) what: String,
    pub(crate) key_span: Range<usize>,
    pub(crate) value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Item<'a> {
    pub(crate) fn span(&self) -> Range<usize> {
        self.value.span()
    }

    pub(crate) fn get(&self) -> &'a DeValue<'a> {
        self.value.get_ref()
    }

    /// The place in the plan of a range of the string it is.
    pub(crate) fn within(&self, text: &str, range: &Range<usize>) -> Range<usize> {
        self.findings.within(self.findings.place(self.span()), text, Some(range.clone()))
    }

    /// Records that the value is not what it should be.
    pub(crate) fn expected(&self, expected: &str, help: Option<String>) {
        let found = describe(self.get());
        let mut error = self
            .findings
            .error("wrong-type", self.span(), format!("{} must be {expected}, not {found}", self.what))
            .label(format!("expected {expected}"));
        error.help = help;
        self.findings.push(error);
    }

    /// Records that the value is of the right type and still wrong.
    pub(crate) fn wrong(
        &self,
        code: &'static str,
        message: impl Into<String>,
        label: &str,
        help: impl Into<String>,
    ) {
        let mut error = self.findings.error(code, self.span(), message).help(help);
        if !label.is_empty() {
            error = error.label(label);
        }
        self.findings.push(error);
    }

    pub(crate) fn string(&self) -> Option<&'a str> {
        match self.get() {
            DeValue::String(text) => Some(text),
            DeValue::Array(_) | DeValue::Table(_) => {
                self.expected("a string", None);
                None
            }
            DeValue::Datetime(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) => {
                let help = format!("write it in quotes: \"{}\"", self.findings.text(self.span()));
                self.expected("a string", Some(help));
                None
            }
        }
    }

    /// A string, or a TOML date or time as the text it is.
    pub(crate) fn date_text(&self) -> Option<String> {
        match self.get() {
            DeValue::Datetime(at) => Some(at.to_string()),
            _ => self.string().map(str::to_owned),
        }
    }

    pub(crate) fn integer(&self) -> Option<i64> {
        if let DeValue::Integer(number) = self.get() {
            if let Ok(value) = i64::from_str_radix(number.as_str(), number.radix()) {
                return Some(value);
            }
            self.wrong(
                "out-of-range",
                format!("{} does not fit a 64-bit integer", self.what),
                "too large",
                "use a smaller number",
            );
            return None;
        }
        let help = match self.get() {
            DeValue::String(text) if text.trim().parse::<i64>().is_ok() => {
                Some(format!("remove the quotes: {}", text.trim()))
            }
            _ => None,
        };
        self.expected("an integer", help);
        None
    }

    /// An integer of at least `least` and at most `most`.
    pub(crate) fn integer_in(&self, least: i64, most: i64) -> Option<i64> {
        let value = self.integer()?;
        if value < least {
            self.wrong(
                "out-of-range",
                format!("{} must be at least {least}, not {value}", self.what),
                "too small",
                format!("use {least} or more"),
            );
            return None;
        }
        if value > most {
            self.wrong(
                "out-of-range",
                format!("{} must be at most {most}, not {value}", self.what),
                "too large",
                format!("use {most} or less"),
            );
            return None;
        }
        Some(value)
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        match self.get() {
            DeValue::Boolean(value) => Some(*value),
            DeValue::String(text) if matches!(&**text, "true" | "false") => {
                self.expected("true or false", Some(format!("remove the quotes: {text}")));
                None
            }
            _ => {
                self.expected("true or false", Some("write true or false".to_owned()));
                None
            }
        }
    }

    /// The elements of a list.
    pub(crate) fn list(&self) -> Option<Vec<Item<'a>>> {
        match self.get() {
            DeValue::Array(items) => Some(
                items
                    .iter()
                    .map(|value| Item {
                        findings: self.findings,
                        what: format!("an element of {}", self.what),
                        key_span: self.key_span.clone(),
                        value,
                    })
                    .collect(),
            ),
            DeValue::Table(_) => {
                self.expected("a list", Some("put it in square brackets: [{ … }]".to_owned()));
                None
            }
            _ => {
                let help = format!("put it in square brackets: [{}]", self.findings.text(self.span()));
                self.expected("a list", Some(help));
                None
            }
        }
    }

    /// A list of strings.
    pub(crate) fn strings(&self) -> Option<Vec<(&'a str, Item<'a>)>> {
        let items = self.list()?;
        Some(items.into_iter().filter_map(|item| item.string().map(|text| (text, item))).collect())
    }

    /// The table it is; `example` shows how it would look.
    pub(crate) fn table(&self, example: &str) -> Option<&'a DeTable<'a>> {
        match self.get() {
            DeValue::Table(table) => Some(table),
            _ => {
                self.expected("a table", Some(format!("write it as {example}")));
                None
            }
        }
    }

    /// The table it is, to be read key by key.
    pub(crate) fn section(&self, example: &str) -> Option<Section<'a>> {
        self.table(example).map(|table| Section::new(self.findings, self.what.clone(), self.span(), table))
    }

    /// The entries of a table, in the order of the text.
    pub(crate) fn entries(&self, example: &str) -> Option<Vec<(&'a str, Item<'a>)>> {
        self.table(example).map(|table| entries(self.findings, &self.what, table))
    }

    pub(crate) fn template(&self) -> Option<TemplateText> {
        let source = self.string()?;
        Some(TemplateText { source: source.into(), at: self.findings.place(self.span()) })
    }

    pub(crate) fn jq(&self) -> Option<JqText> {
        let source = self.string()?;
        if source.trim().is_empty() {
            self.wrong(
                "empty",
                format!("{} is empty", self.what),
                "expected a jq path or program",
                "write a path such as \".data.items[]\"",
            );
            return None;
        }
        Some(JqText { source: source.into(), at: self.findings.place(self.span()) })
    }

    /// The value with every string in it a template.
    pub(crate) fn value_template(&self) -> Option<ValueTemplate> {
        Some(match self.get() {
            DeValue::String(_) => ValueTemplate::Text(self.template()?),
            DeValue::Array(_) => {
                ValueTemplate::List(self.list()?.iter().filter_map(Item::value_template).collect())
            }
            DeValue::Table(table) => ValueTemplate::Map(
                entries(self.findings, &self.what, table)
                    .iter()
                    .filter_map(|(name, item)| Some(((*name).to_owned(), item.value_template()?)))
                    .collect(),
            ),
            _ => ValueTemplate::Plain(self.json()?),
        })
    }

    /// The value as JSON, digits kept; dates and times become text.
    pub(crate) fn json(&self) -> Option<Value> {
        Some(match self.get() {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Boolean(value) => Value::Bool(*value),
            DeValue::Datetime(at) => Value::String(at.to_string()),
            DeValue::Integer(_) => Value::from(self.integer()?),
            DeValue::Float(number) => match float(number.as_str()) {
                Some(number) => Value::Number(number),
                None => {
                    self.wrong(
                        "not-json",
                        format!("{} is {}, which JSON and URLs cannot say", self.what, number.as_str()),
                        "not a finite number",
                        "use a finite number, or a string",
                    );
                    return None;
                }
            },
            DeValue::Array(_) => Value::Array(self.list()?.iter().filter_map(Item::json).collect()),
            DeValue::Table(table) => {
                let mut map = Map::new();
                for (name, item) in entries(self.findings, &self.what, table) {
                    if let Some(value) = item.json() {
                        map.insert(name.to_owned(), value);
                    }
                }
                Value::Object(map)
            }
        })
    }
}

/// A float with the digits of its source.
pub(crate) fn float(text: &str) -> Option<Number> {
    let finite = text.parse::<f64>().is_ok_and(f64::is_finite);
    if !finite {
        return None;
    }
    text.trim_start_matches('+').parse().ok()
}

fn describe(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
