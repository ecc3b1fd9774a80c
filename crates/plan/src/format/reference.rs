//! The table as a text to read: `plans/reference.md`. What is not about keys (the kinds of values,
//! templates, jq) is prose beside this file.

use expr::{FUNCTIONS, Function, FunctionKind};

use super::{Key, Level, Names, Section, Shape, keys_of, sections};

const INTRODUCTION: &str = include_str!("introduction.md");
const TEMPLATES: &str = include_str!("templates.md");
const JQ: &str = include_str!("jq.md");
const VALUES: &str = include_str!("values.md");

/// The reference of the plan format, in Markdown.
pub fn reference() -> String {
    let mut out = INTRODUCTION.replace("<!-- contents -->", &contents());
    for section in sections() {
        out.push_str(&chapter(section));
    }
    for prose in [&TEMPLATES.replace("<!-- functions -->\n", &functions()), JQ, VALUES] {
        out.push('\n');
        out.push_str(prose);
    }
    out
}

fn contents() -> String {
    let own = sections().filter(|section| section.depth == 2).map(|section| section.title);
    let prose = ["Templates", "jq", "Kinds of values"];
    let links = own.chain(prose).map(|title| format!("[{title}](#{})", anchor(title)));
    links.collect::<Vec<_>>().join(" · ")
}

/// The anchor that GitHub gives a heading.
fn anchor(title: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    title.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")
}

fn chapter(section: &Section) -> String {
    let mut out = format!("\n{} {}\n", "#".repeat(section.depth), section.title);
    if !section.doc.is_empty() {
        out.push_str(&format!("\n{}\n", section.doc));
    }
    let mut keys = section.keys.iter().peekable();
    while let Some(key) = keys.next() {
        out.push_str(&format!("\n{}\n", paragraph(key)));
        // Keys that share an example share it in the text, too.
        let shared = keys.peek().is_some_and(|next| next.example == key.example);
        if !shared && !is_shown_below(key) {
            out.push_str(&example(key, section.level));
        }
    }
    out
}

/// Whether the section of the table that the key takes shows the same example.
fn is_shown_below(key: &Key) -> bool {
    match key.shape {
        Shape::Table(name) => keys_of(name).any(|inner| inner.example == key.example),
        _ => false,
    }
}

fn paragraph(key: &Key) -> String {
    let mut facts = vec![words(&key.shape)];
    if key.required {
        facts.push("required".to_owned());
    }
    if !key.default.is_empty() {
        facts.push(format!("default: {}", key.default));
    }
    format!("**`{}`** ({}): {}", key.name, facts.join("; "), key.doc)
}

fn example(key: &Key, level: Level) -> String {
    let header = match level {
        Level::Plan => "",
        Level::Endpoint => "[endpoints.api]\n",
        Level::Task => "[tasks.things]\n",
    };
    // A header of its own says where it stands.
    let header = if key.example.starts_with('[') { "" } else { header };
    format!("\n```toml\n{header}{}\n```\n", key.example.trim_end())
}

/// A shape in words.
fn words(shape: &Shape) -> String {
    let link = |text: &str, anchor: &str| format!("[{text}](#{anchor})");
    match shape {
        Shape::Text => "text".to_owned(),
        Shape::Pattern(_, what) => format!("text: {what}"),
        Shape::Template => link("template", "templates"),
        Shape::ListTemplate => format!("a {} that yields a list", link("template", "templates")),
        Shape::Value => format!("any value; texts in it are {}", link("templates", "templates")),
        Shape::Any => "any value".to_owned(),
        Shape::Literal => "a value as it is".to_owned(),
        Shape::Param => format!("a value or a list of values; texts are {}", link("templates", "templates")),
        Shape::Jq => link("jq", "jq"),
        Shape::Duration => link("duration", "kinds-of-values"),
        Shape::Size => link("size", "kinds-of-values"),
        Shape::Rate => link("rate", "kinds-of-values"),
        Shape::BackOff => "two durations".to_owned(),
        Shape::Step => link("step", "kinds-of-values"),
        Shape::Instant => format!("{} or {}", link("date", "kinds-of-values"), link("template", "templates")),
        Shape::CursorStart => {
            format!("date, number, text or {}", link("template", "templates"))
        }
        Shape::Integer(least, most) => match (*least, *most) {
            (0 | 1, i64::MAX | 4_294_967_295) => format!("whole number from {least}"),
            (i64::MIN, _) | (_, i64::MAX) => "whole number".to_owned(),
            (least, most) => format!("whole number, {least} to {most}"),
        },
        Shape::Bool => "true or false".to_owned(),
        Shape::Choice(choices) => {
            choices.iter().map(|choice| format!("`\"{choice}\"`")).collect::<Vec<_>>().join(", ")
        }
        Shape::Status => "a status, a class, or a list of them".to_owned(),
        Shape::List(Shape::Value) => "a list".to_owned(),
        Shape::List(of) => format!("list of: {}", words(of)),
        Shape::Map(Names::Any, of) => format!("table of: {}", words(of)),
        Shape::Map(_, of) => format!("names of yours, each: {}", words(of)),
        Shape::Table(name) => table(name),
        Shape::AnyOf([Shape::Table(_), Shape::Table(_), ..]) => "table, of one of several kinds".to_owned(),
        Shape::AnyOf([list, template, Shape::Table(_), Shape::Table(_), ..]) => {
            format!("{}; {}; or a table, of one of several kinds", words(list), words(template))
        }
        Shape::AnyOf(forms) => {
            let mut seen: Vec<String> = Vec::new();
            for form in forms.iter().map(words) {
                if !seen.contains(&form) {
                    seen.push(form);
                }
            }
            seen.join(", or ")
        }
    }
}

fn table(name: &str) -> String {
    match sections().find(|section| section.table == name) {
        Some(section) if section.title.starts_with(['…', '`']) || section.depth == 2 => {
            format!("[table](#{})", anchor(section.title))
        }
        _ => "table".to_owned(),
    }
}

/// What templates offer, but for the names, which the prose tells.
fn functions() -> String {
    let kinds = [
        (FunctionKind::Syntax, "Operators and conditions"),
        (FunctionKind::Filter, "Filters"),
        (FunctionKind::Function, "Functions"),
        (FunctionKind::Test, "Tests"),
    ];
    let tables = kinds.map(|(kind, title)| {
        let rows = FUNCTIONS.iter().filter(|function| function.kind == kind).map(row);
        let rows: String = rows.collect();
        format!("### {title}\n\n| write | it gives | for example |\n|---|---|---|\n{rows}")
    });
    tables.join("\n")
}

fn row(function: &Function) -> String {
    let name = match (function.kind, function.args) {
        (FunctionKind::Filter, "") => format!("\\| {}", function.name),
        (FunctionKind::Filter, args) => format!("\\| {}({args})", function.name),
        (FunctionKind::Test, "") => format!("is {}", function.name),
        (FunctionKind::Test, args) => format!("is {}({args})", function.name),
        (FunctionKind::Function, args) => format!("{}({args})", function.name),
        (FunctionKind::Name | FunctionKind::Syntax, _) => function.name.to_owned(),
    };
    // A `|` ends a cell, even within code.
    let example = function.example.replace('|', "\\|");
    format!("| `{name}` | {} | `{example}` → `{}` |\n", function.doc, function.result.trim_end())
}
