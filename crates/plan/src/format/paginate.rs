//! `paginate`: its kinds.

use super::{Key, Level, Section, Shape};

const PAGE: &str = "get = \"/users\"\n\
                    paginate = { by = \"page\", param = \"page\", start = 1, size = { param = \"per_page\", value = 100 }, pages = \".meta.pages\" }\n";
const OFFSET: &str = "get = \"/users\"\n\
                      paginate = { by = \"offset\", param = \"offset\", start = 0, size = { param = \"limit\", value = 100 }, total = \".meta.total\" }\n";
const TOKEN: &str = "get = \"/users\"\n\
                     paginate = { by = \"token\", param = \"cursor\", next = \".meta.next\", size = { param = \"limit\", value = 100 } }\n";
const JSON: &str = "post = \"/search\"\n\
                    json = { term = \"sync\" }\n\
                    paginate = { by = \"token\", in = \"json\", param = \"page.after\", next = \".page.next\" }\n";
const URL: &str = "get = \"/users\"\npaginate = { by = \"url\", next = \".links.next\" }\n";
const LINK: &str = "get = \"/users\"\npaginate = { by = \"link\", rel = \"next\" }\n";

const PLACE: Shape = Shape::Choice(&["query", "json", "form", "header", "path"]);
const SIZE: Shape = Shape::Table("size");
const ENDING: &str = "What ends the paging: it holds for the last page.";
const MOST: &str = "Needing a page beyond this many is a failure: it never looks like success.";
const UNTIL: &str =
    "get = \"/users\"\npaginate = { by = \"page\", until = \".has_more == false\", max_pages = 1000 }\n";
const PLACE_DOC: &str =
    "Where the parameter goes. In `json` it is a dotted path; in `path` a name that the task's path uses.";
const SIZE_DOC: &str = "The parameter that says how many records a page should have.";
const TOTAL_DOC: &str = "Yields how many records there are, so that pages can be asked for in parallel.";

pub(super) const SECTIONS: &[Section] = &[
    Section {
        doc: "How the next page is asked for. It ends when there is no next value, a page is empty, the number of pages or \
              records is reached, or `until` holds. A loop (a request made before, or the same records as the page before) \
              is a failure, and so is a page that comes shorter than the others and is not the last.",
        keys: &[Key::new(
            "paginate",
            Shape::AnyOf(&[
                Shape::Table("page"),
                Shape::Table("offset"),
                Shape::Table("token"),
                Shape::Table("url"),
                Shape::Table("link"),
            ]),
            "One of the five kinds below.",
            LINK,
        )
        .default("one request")],
        ..Section::of("task", "Pages: `paginate`", 2, Level::Task)
    },
    Section {
        doc: "The first page has a number, and each next one the next. With `pages` or `total` the others are asked for in \
              parallel.",
        keys: &[
            Key::new("by", Shape::Choice(&["page"]), "The kind.", PAGE).required(),
            Key::new("param", Shape::Text, "The parameter that carries the number.", PAGE).default("`\"page\"`"),
            Key::new("start", Shape::Integer(i64::MIN, i64::MAX), "The number of the first page.", PAGE).default("1"),
            Key::new("size", SIZE, SIZE_DOC, PAGE),
            Key::new("pages", Shape::Jq, "Yields how many pages there are, so that they can be asked for in parallel.", PAGE),
            Key::new(
                "total",
                Shape::Jq,
                TOTAL_DOC,
                "get = \"/users\"\npaginate = { by = \"page\", total = \".meta.total\" }\n",
            ),
            Key::new(
                "in",
                PLACE,
                PLACE_DOC,
                "get = \"/users/{{ n }}\"\npaginate = { by = \"page\", in = \"path\", param = \"n\" }\n",
            )
            .default("`\"query\"`"),
            Key::new("until", Shape::Jq, ENDING, UNTIL),
            Key::new("max_pages", Shape::Integer(1, 4_294_967_295), MOST, UNTIL).default("no end"),
        ],
        one_at_most: &[&["pages", "total"]],
        ..Section::of("page", "`by = \"page\"`", 3, Level::Task)
    },
    Section {
        doc: "Each next page begins behind the records received so far.",
        keys: &[
            Key::new("by", Shape::Choice(&["offset"]), "The kind.", OFFSET).required(),
            Key::new("param", Shape::Text, "The parameter that carries the offset.", OFFSET).default("`\"offset\"`"),
            Key::new("start", Shape::Integer(0, i64::MAX), "The offset of the first record.", OFFSET).default("0"),
            Key::new("size", SIZE, SIZE_DOC, OFFSET),
            Key::new("total", Shape::Jq, TOTAL_DOC, OFFSET),
            Key::new(
                "in",
                PLACE,
                PLACE_DOC,
                "post = \"/search\"\nform = { term = \"sync\" }\npaginate = { by = \"offset\", in = \"form\" }\n",
            )
            .default("`\"query\"`"),
            Key::new(
                "until",
                Shape::Jq,
                ENDING,
                "get = \"/users\"\npaginate = { by = \"offset\", until = \".data.has_more == false\", max_pages = 100 }\n",
            ),
            Key::new(
                "max_pages",
                Shape::Integer(1, 4_294_967_295),
                MOST,
                "get = \"/users\"\npaginate = { by = \"offset\", until = \".data.has_more == false\", max_pages = 100 }\n",
            )
            .default("no end"),
        ],
        ..Section::of("offset", "`by = \"offset\"`", 3, Level::Task)
    },
    Section {
        doc: "The answer names the next page by a value that goes back to the API. `next = \".data[-1].id\"` is keyset paging: \
              after the last record.",
        keys: &[
            Key::new("by", Shape::Choice(&["token"]), "The kind.", TOKEN).required(),
            Key::new("param", Shape::Text, "The parameter that carries the value.", TOKEN).required(),
            Key::new("next", Shape::Jq, "Yields the value; null, empty or nothing ends the paging.", TOKEN).required(),
            Key::new("size", SIZE, SIZE_DOC, TOKEN),
            Key::new("in", PLACE, PLACE_DOC, JSON).default("`\"query\"`"),
            Key::new(
                "until",
                Shape::Jq,
                ENDING,
                "get = \"/events\"\n\
                 paginate = { by = \"token\", param = \"after\", next = \".data[-1].id\", until = \".has_more == false\", max_pages = 1000 }\n",
            ),
            Key::new(
                "max_pages",
                Shape::Integer(1, 4_294_967_295),
                MOST,
                "get = \"/events\"\n\
                 paginate = { by = \"token\", param = \"after\", next = \".data[-1].id\", until = \".has_more == false\", max_pages = 1000 }\n",
            )
            .default("no end"),
        ],
        ..Section::of("token", "`by = \"token\"`", 3, Level::Task)
    },
    Section {
        doc: "The answer holds the URL of the next page; it must be of the same origin.",
        keys: &[
            Key::new("by", Shape::Choice(&["url"]), "The kind.", URL).required(),
            Key::new("next", Shape::Jq, "Yields the URL; null, empty or nothing ends the paging.", URL).required(),
            Key::new(
                "until",
                Shape::Jq,
                ENDING,
                "get = \"/users\"\npaginate = { by = \"url\", next = \".next\", until = \".last\", max_pages = 50 }\n",
            ),
            Key::new(
                "max_pages",
                Shape::Integer(1, 4_294_967_295),
                MOST,
                "get = \"/users\"\npaginate = { by = \"url\", next = \".next\", until = \".last\", max_pages = 50 }\n",
            )
            .default("no end"),
        ],
        ..Section::of("url", "`by = \"url\"`", 3, Level::Task)
    },
    Section {
        doc: "The `Link` header of the answer holds the URL of the next page (RFC 8288), as GitHub has it.",
        keys: &[
            Key::new("by", Shape::Choice(&["link"]), "The kind.", LINK).required(),
            Key::new("rel", Shape::Text, "The relation to follow.", LINK).default("`\"next\"`"),
            Key::new(
                "until",
                Shape::Jq,
                ENDING,
                "get = \"/users\"\npaginate = { by = \"link\", until = \"length < 100\", max_pages = 50 }\n",
            ),
            Key::new(
                "max_pages",
                Shape::Integer(1, 4_294_967_295),
                MOST,
                "get = \"/users\"\npaginate = { by = \"link\", until = \"length < 100\", max_pages = 50 }\n",
            )
            .default("no end"),
        ],
        ..Section::of("link", "`by = \"link\"`", 3, Level::Task)
    },
    Section {
        doc: "It goes to the same place as the page's own parameter. The paging never relies on getting as many as it asked for.",
        keys: &[
            Key::new("param", Shape::Text, "The parameter.", PAGE).required(),
            Key::new("value", Shape::Integer(1, i64::MAX), "How many records to ask for.", PAGE).required(),
        ],
        ..Section::of("size", "`size`", 3, Level::Task)
    },
];
