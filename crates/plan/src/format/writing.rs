//! Where records go, and how the next run goes on.

use super::{Key, Level, Names, Section, Shape};

const MIRROR: &str = "key = [\"id\"]\nmode = \"mirror\"\ndeleted = \"mark\"\n";
const CURSOR: &str = "get = \"/issues\"\n\
                      query = { since = \"{{ cursor }}\" }\n\
                      key = [\"id\"]\n\
                      cursor = { field = \"updated_at\", start = \"2024-01-01\", lookback = \"1h\" }\n";

pub(super) const SECTIONS: &[Section] = &[
    Section {
        doc: "One column per top-level field, its type inferred. Nested values are JSON text (`jsonb` in PostgreSQL, values in \
              JSONL); fields beyond what a row can hold go to `_more`. Whole numbers and decimals keep every digit. `_task` on each row names the last request \
              that returned it.",
        keys: &[
            Key::new(
                "table",
                Shape::Pattern("^[A-Za-z0-9_][A-Za-z0-9._-]{0,62}$", "letters, digits, `_`, `-` and `.`"),
                "The table.",
                "table = \"github_issues\"\n",
            )
            .default("the task's name"),
            Key::new("key", Shape::List(&Shape::Text), "The columns that identify a record.", "key = [\"symbol\", \"date\"]\n"),
            Key::new(
                "mode",
                Shape::Choice(&["merge", "append", "replace", "mirror"]),
                "`merge`: a record takes the place of the row with its key · `append`: rows are only added · `replace`: the \
                 old content stays visible until the new is complete · `mirror`: merge, then what a complete run did not \
                 return is removed.",
                "key = [\"id\"]\nmode = \"replace\"\n",
            )
            .default("`\"merge\"` with a `key`, `\"append\"` with a cursor and no key, else `\"replace\"`"),
            Key::new(
                "deleted",
                Shape::Choice(&["remove", "mark"]),
                "What a mirror does with what was not returned: `mark` sets `_deleted_at` instead of removing the row.",
                MIRROR,
            )
            .default("`\"remove\"`"),
            Key::new(
                "partition",
                Shape::Text,
                "In files (`jsonl`, `parquet`), with mode `append`: the records go to a folder for each value of this `foreach` \
                 name, `TABLE/day=2024-01-01/`, which DuckDB, Spark and pandas read as a column. A window is called by its start.",
                "get = \"/trades/{{ day.start | date('%Y-%m-%d') }}\"\n\
                 foreach = { day = { every = \"1 day\", from = \"2024-01-01\", to = \"{{ today }}\" } }\n\
                 mode = \"append\"\n\
                 partition = \"day\"\n\n\
                 [store]\njsonl = \"out/\"\n",
            ),
            Key::new(
                "types",
                Shape::Map(Names::Any, &Shape::Choice(&["bool", "int", "float", "decimal", "text", "timestamp", "date", "json"])),
                "What these columns are, whatever the values look like. A value that does not fit fails its request.",
                "types = { close = \"decimal\", at = \"timestamp\" }\n",
            ),
            Key::new(
                "schema",
                Shape::Choice(&["evolve", "frozen"]),
                "`evolve`: new columns are added, types widen from int to decimal or float to text, nothing is ever \
                 narrowed. `frozen`: a record that does not fit the columns there are fails its request.",
                "schema = \"frozen\"\n",
            )
            .default("`\"evolve\"`"),
            Key::new(
                "text",
                Shape::Choice(&["replace", "fail"]),
                "What happens to characters that a store cannot hold: replaced by U+FFFD and counted in the run's report, or the request fails. No store holds half a surrogate pair (`\\ud800` alone), PostgreSQL no U+0000 either; `fail` refuses both everywhere, since many tools cut text at U+0000.",
                "text = \"fail\"\n",
            )
            .default("`\"replace\"`"),
        ],
        ..Section::of("task", "Writing", 2, Level::Task)
    },
    Section {
        doc: "With a cursor, a run asks only for what is new. `{{ cursor }}` in the request is the greatest value that has \
              landed for this combination of `foreach` names, or `start`. It moves only when every page of the combination \
              has landed, and never back. `syncctl run --full-refresh` leaves it out once.",
        keys: &[Key::new("cursor", Shape::Table("cursor"), "The field to go by.", CURSOR)],
        ..Section::of("task", "Only what is new: `cursor`", 2, Level::Task)
    },
    Section {
        doc: "",
        keys: &[
            Key::new("field", Shape::Text, "The field of the final record.", CURSOR).required(),
            Key::new(
                "start",
                Shape::CursorStart,
                "The value before the first run. Its form says what the values are: a date, `YYYYMMDD`, epoch seconds or \
                 milliseconds, a number, or text.",
                CURSOR,
            )
            .required(),
            Key::new(
                "lookback",
                Shape::Duration,
                "How far before the last value the next run begins, for sources that are late. Needs a `key`.",
                CURSOR,
            )
            .default("`\"0s\"`"),
            Key::new(
                "granularity",
                Shape::Duration,
                "The smallest step of the API's time: `.last` of a window is its end minus this, and no window is halved \
                 below it.",
                "get = \"/trades\"\n\
                 query = { from = \"{{ day.start | epoch_ms }}\", to = \"{{ day.last | epoch_ms }}\" }\n\
                 foreach = { day = { every = \"1 day\", from = \"{{ cursor }}\", to = \"{{ now }}\" } }\n\
                 key = [\"id\"]\n\
                 cursor = { field = \"time\", start = \"2024-01-01\", granularity = \"1ms\" }\n",
            )
            .default("`\"1s\"`"),
        ],
        ..Section::of("cursor", "`cursor`", 3, Level::Task)
    },
];
