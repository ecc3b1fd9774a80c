//! `paginate = …`: how the next page is asked for, and when there is none.

use crate::{JqText, Place};

/// `paginate = { by = "…", … }`
#[derive(Clone, Debug, PartialEq)]
pub struct Paginate {
    /// The kind, with what only it has.
    pub by: PaginateBy,
    /// Ends the paging after the page for which it holds.
    pub until: Option<JqText>,
    /// Needing one more page than this is a failure.
    pub max_pages: Option<u32>,
    /// Where it stands.
    pub at: Place,
}

/// The five kinds.
#[derive(Clone, Debug, PartialEq)]
pub enum PaginateBy {
    /// `page + 1`
    Page {
        /// Parameter that carries the page number.
        param: String,
        /// Where it goes.
        place: ParamPlace,
        /// Number of the first page.
        start: i64,
        /// How many records to ask for.
        size: Option<SizeParam>,
        /// How many pages there are, if the answer says so.
        pages: Option<JqText>,
        /// How many records there are, if the answer says so.
        total: Option<JqText>,
    },
    /// `offset + records received`
    Offset {
        /// Parameter that carries the offset.
        param: String,
        /// Where it goes.
        place: ParamPlace,
        /// Offset of the first record, usually 0.
        start: i64,
        /// How many records to ask for.
        size: Option<SizeParam>,
        /// How many records there are, if the answer says so.
        total: Option<JqText>,
    },
    /// The value that `next` yields.
    Token {
        /// Parameter that carries it.
        param: String,
        /// Where it goes.
        place: ParamPlace,
        /// How many records to ask for.
        size: Option<SizeParam>,
        /// Yields the token of the next page from this one.
        next: JqText,
    },
    /// The URL that `next` yields; same origin only.
    Url {
        /// Yields the URL of the next page from this one.
        next: JqText,
    },
    /// The `Link` header (RFC 8288).
    Link {
        /// The relation to follow, usually `next`.
        rel: String,
    },
}

/// The parameter that asks for a page size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SizeParam {
    /// Parameter that carries it; it goes to the same place as the page's own.
    pub param: String,
    /// How many records a page should have.
    pub value: u64,
}

/// Where a paging parameter goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamPlace {
    /// The query string.
    Query,
    /// The JSON body; the parameter is a dotted path.
    Json,
    /// The form body.
    Form,
    /// A header.
    Header,
    /// The path: the parameter is a name that the task's path uses, `get = "/list/{{ page }}"`.
    Path,
}
