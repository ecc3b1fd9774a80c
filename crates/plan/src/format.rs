//! The whole plan format as one static table: every section and key, what it takes, what it means,
//! and an example that loads. The JSON Schema and the reference are made from it; a test compares it
//! with what the reader takes. Not the reader: that stays code, one file per section.

mod auth;
mod endpoint;
mod foreach;
mod paginate;
mod reading;
mod request;
mod top;
mod writing;

mod reference;
mod schema;

pub use reference::reference;
pub use schema::schema;

/// Every section, in the order of the reference.
pub const SECTIONS: &[&[Section]] = &[
    top::SECTIONS,
    endpoint::SECTIONS,
    auth::SECTIONS,
    request::SECTIONS,
    foreach::SECTIONS,
    paginate::SECTIONS,
    reading::SECTIONS,
    writing::SECTIONS,
];

/// Every section, in the order of the reference.
pub fn sections() -> impl Iterator<Item = &'static Section> {
    SECTIONS.iter().copied().flatten()
}

/// The keys of a table, over all sections that describe a part of it.
pub fn keys_of(table: &str) -> impl Iterator<Item = &'static Key> {
    sections().filter(move |section| section.table == table).flat_map(|section| section.keys)
}

/// A chapter of the reference: a table of the plan, or a part of one.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// The table it describes; several sections may describe one. The name of its definition in the schema.
    pub table: &'static str,
    /// The heading.
    pub title: &'static str,
    /// How deep the heading is: 2 for a chapter, 3 for a section of it.
    pub depth: usize,
    /// Where in a plan its examples stand.
    pub level: Level,
    /// What it is about, in Markdown.
    pub doc: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
    /// Of each list of keys, exactly one must be there.
    pub one_of: &'static [&'static [&'static str]],
    /// Of each list of keys, one at most may be there.
    pub one_at_most: &'static [&'static [&'static str]],
}

impl Section {
    /// A section with keys and nothing unusual.
    const fn of(table: &'static str, title: &'static str, depth: usize, level: Level) -> Section {
        Section { table, title, depth, level, doc: "", keys: &[], one_of: &[], one_at_most: &[] }
    }
}

/// Where in a plan an example stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// By itself: it brings its own headers.
    Plan,
    /// Below `[endpoints.NAME]`.
    Endpoint,
    /// Below `[tasks.NAME]`.
    Task,
}

/// One key of a table.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As the plan writes it.
    pub name: &'static str,
    /// What it takes.
    pub shape: Shape,
    /// Whether it must be there.
    pub required: bool,
    /// What holds without it, in words; empty: nothing to say.
    pub default: &'static str,
    /// One to three sentences.
    pub doc: &'static str,
    /// Lines of TOML that show it; keys beside each other may share one.
    pub example: &'static str,
}

impl Key {
    const fn new(name: &'static str, shape: Shape, doc: &'static str, example: &'static str) -> Key {
        Key { name, shape, required: false, default: "", doc, example }
    }

    const fn required(self) -> Key {
        Key { required: true, ..self }
    }

    const fn default(self, default: &'static str) -> Key {
        Key { default, ..self }
    }
}

/// What a key takes.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Text as it is: no template.
    Text,
    /// Text that fits this regular expression; the second part says so in words.
    Pattern(&'static str, &'static str),
    /// Text in which `{{ … }}` is evaluated.
    Template,
    /// One `{{ … }}` that yields a list.
    ListTemplate,
    /// Any value; every string in it is a template.
    Value,
    /// Text, a number, true or false, a list: as it is, no templates.
    Literal,
    /// As a literal, or a table.
    Any,
    /// A value or a list of values; strings are templates.
    Param,
    /// A jq program.
    Jq,
    /// `"30s"`
    Duration,
    /// `"64MiB"`
    Size,
    /// `"5000/h"`
    Rate,
    /// `"1s..1m"`
    BackOff,
    /// `"1 day"`, `"6h"`
    Step,
    /// A date, a timestamp, or a template that yields one.
    Instant,
    /// A date, a timestamp, a number, or a template that yields one.
    CursorStart,
    /// A whole number of at least the first and at most the second.
    Integer(i64, i64),
    /// true or false
    Bool,
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// An HTTP status, or a class of them.
    Status,
    /// A list.
    List(&'static Shape),
    /// A table whose names are not the format's: which they may be, and what each takes.
    Map(Names, &'static Shape),
    /// The table of that name in this table.
    Table(&'static str),
    /// One of several forms.
    AnyOf(&'static [Shape]),
}

/// The names in a table that are not the format's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Whatever the API calls it.
    Any,
    /// Letters, digits, `_` and `-`.
    Plain,
    /// Letters, digits and `_`, not beginning with a digit: templates can read it with a dot.
    Word,
}
