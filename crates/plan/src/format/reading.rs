//! How an answer becomes records.

use super::{Key, Level, Names, Section, Shape};

const COLUMNS: &str = "records = \".data.items[]\"\ncolumns = \".data.fields\"\n";

pub(super) const SECTIONS: &[Section] = &[Section {
    doc: "An answer is decoded, `records` picks the records, and then in this order: `columns`, `map`, `where`, `fields`. \
          These are [jq](#jq); a plain path such as `.data.items[]` costs next to nothing.",
    keys: &[
        Key::new(
            "decode",
            Shape::Choice(&["auto", "json", "jsonl", "csv", "xml", "text"]),
            "What the body is. `auto` goes by the content type; gzip and zip are unpacked. A row of `csv` is an object of \
             texts, a `text` is `{text: \"…\"}`; in `xml` an element is an object of what it holds, its attributes are \
             called `@name`.",
            "get = \"/export\"\ndecode = \"csv\"\n",
        )
        .default("`\"auto\"`"),
        Key::new(
            "records",
            Shape::Jq,
            "Yields the records. A path that the answer lacks is a failure, an empty list is not; `?` makes it optional: \
             `.data.items[]?`.",
            "records = \".data.items[]\"\n",
        )
        .default("an array's elements, else the object"),
        Key::new("columns", Shape::Jq, "Yields the names of the values, where records are arrays.", COLUMNS),
        Key::new(
            "map",
            Shape::Jq,
            "Rebuilds each record.",
            "map = \"{id, user: .user.login, labels: [.labels[].name]}\"\n",
        ),
        Key::new("where", Shape::Jq, "Keeps only the records for which it holds.", "where = \".state == \\\"open\\\"\"\n"),
        Key::new(
            "fields",
            Shape::Map(Names::Any, &Shape::Value),
            "Fields to add to each record; `record` is bound, and so are the `foreach` names.",
            "get = \"/candles\"\n\
             query = { symbol = \"{{ symbol }}\" }\n\
             foreach = { symbol = [\"BTC\", \"ETH\"] }\n\
             fields = { symbol = \"{{ symbol }}\", url = \"https://example.com/{{ record.id }}\" }\n",
        ),
        Key::new(
            "total",
            Shape::Jq,
            "Yields how many records the source says there are, over all pages. Fewer fail the task.",
            "get = \"/users\"\nrecords = \".data[]\"\ntotal = \".count\"\n",
        ),
    ],
    ..Section::of("task", "Reading an answer", 2, Level::Task)
}];
