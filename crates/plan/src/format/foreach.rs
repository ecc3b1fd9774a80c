//! `foreach`: its forms.

use super::{Key, Level, Names, Section, Shape};

const RANGE: &str = "get = \"/seasons/{{ n }}\"\nforeach = { n = { from = 2020, to = 2024, step = 1 } }\n";
const WINDOWS: &str = "get = \"/trades\"\n\
                       query = { from = \"{{ day.start }}\", to = \"{{ day.end }}\" }\n\
                       foreach = { day = { every = \"1 day\", from = \"2024-01-01\", to = \"{{ now }}\" } }\n";
const RECORDS: &str = "get = \"/issues/{{ issue.number }}/comments\"\n\
                       foreach = { issue = { task = \"issues\", where = \".comments > 0\" } }\n\
                       key = [\"id\"]\n";

pub(super) const SECTIONS: &[Section] = &[
    Section {
        doc: "`foreach` repeats a task: each name is bound to one element after the other, and the request uses it. Several \
              names multiply, the first one outermost. Ten million combinations cost no memory.",
        keys: &[
            Key::new(
                "foreach",
                Shape::Map(Names::Word, &Shape::AnyOf(&[
                    Shape::List(&Shape::Value),
                    Shape::ListTemplate,
                    Shape::Table("foreach_numbers"),
                    Shape::Table("foreach_windows"),
                    Shape::Table("foreach_records"),
                    Shape::Table("foreach_file"),
                ])),
                "What each name runs over: a list, a template that yields one, or a table as below.",
                "get = \"/candles\"\n\
                 query = { symbol = \"{{ symbol }}\", interval = \"{{ interval }}\" }\n\
                 foreach = { symbol = \"{{ vars.symbols }}\", interval = [\"1h\", \"1d\"] }\n",
            ),
            Key::new(
                "zone",
                Shape::Text,
                "The time zone in which windows are cut, and in which a date is a day.",
                "get = \"/bars\"\n\
                 query = { date = \"{{ day.start | date('%Y%m%d') }}\" }\n\
                 foreach = { day = { every = \"1 day\", from = \"2024-01-01\", to = \"{{ now }}\" } }\n\
                 zone = \"Asia/Shanghai\"\n",
            )
            .default("UTC"),
        ],
        ..Section::of("task", "Repeating: `foreach`", 2, Level::Task)
    },
    Section {
        doc: "Whole numbers, both ends included.",
        keys: &[
            Key::new("from", Shape::Integer(i64::MIN, i64::MAX), "The first.", RANGE).required(),
            Key::new("to", Shape::Integer(i64::MIN, i64::MAX), "The last, if a step lands on it.", RANGE).required(),
            Key::new("step", Shape::Integer(i64::MIN, i64::MAX), "From one to the next; negative counts down.", RANGE)
                .default("1"),
        ],
        ..Section::of("foreach_numbers", "… over numbers", 3, Level::Task)
    },
    Section {
        doc: "Windows of time that meet exactly. The name has `.start`, `.end` (which is the next one's start), and `.last`, \
              the end minus the cursor's `granularity`, for APIs whose end is inclusive. They are timestamps such as \
              `2024-01-01T00:00:00Z`; `| date('%Y-%m-%d')`, `| epoch` and `| epoch_ms` write them otherwise.\n\n\
              With a `cursor`, `from = \"{{ cursor }}\"` goes on where the last run ended.",
        keys: &[
            Key::new("every", Shape::Step, "How long a window is.", WINDOWS).required(),
            Key::new("from", Shape::Instant, "Where the first begins.", WINDOWS).required(),
            Key::new("to", Shape::Instant, "Where the last one ends; it may be shorter.", WINDOWS).required(),
            Key::new(
                "overlap",
                Shape::Duration,
                "How far each window reaches back into the one before, for sources that are late.",
                "get = \"/orders\"\n\
                 query = { from = \"{{ day.start }}\", to = \"{{ day.end }}\" }\n\
                 foreach = { day = { every = \"1 day\", from = \"{{ cursor }}\", to = \"{{ now }}\", overlap = \"2h\" } }\n\
                 cursor = { field = \"updated_at\", start = \"2024-01-01\" }\n\
                 key = [\"id\"]\n",
            )
            .default("`\"0s\"`"),
        ],
        ..Section::of("foreach_windows", "… over windows of time", 3, Level::Task)
    },
    Section {
        doc: "Each record that another task lands and that is new, or differs from the row held. The name has the record's \
              fields, and the `foreach` names of the other task. Children start while their parent still pages.\n\n\
              Records of several tasks multiply, too: `foreach = { issue = { task = \"issues\" }, user = { task = \"users\", \
              all = true } }`. One of the names may be driven by changed records; the others say `all = true`. Their rows \
              are read into memory once their tasks are done (a million rows or 256 MiB of each name at most), so that \
              nothing is asked for before. What changes drives is the one name: a new issue is paired with all users, a new \
              user not with the old issues. Where all of them say `all`, every pair is asked for in every run.",
        keys: &[
            Key::new("task", Shape::Text, "The other task.", RECORDS).required(),
            Key::new("where", Shape::Jq, "Only the records for which it holds.", RECORDS),
            Key::new(
                "batch",
                Shape::Integer(1, 10_000),
                "Binds lists of up to so many records instead of one.",
                "get = \"/prices\"\n\
                 query = { ids = \"{{ issue | map(attribute='id') | join(',') }}\" }\n\
                 foreach = { issue = { task = \"issues\", batch = 100 } }\n\
                 key = [\"id\"]\n",
            )
            .default("one at a time"),
            Key::new(
                "all",
                Shape::Bool,
                "Every row that the other task's table holds, once that task is done; not only what changed.",
                "get = \"/issues/{{ issue.number }}/votes\"\n\
                 foreach = { issue = { task = \"issues\", all = true } }\n\
                 key = [\"id\"]\n",
            )
            .default("false"),
        ],
        ..Section::of("foreach_records", "… over the records of another task", 3, Level::Task)
    },
    Section {
        doc: "Rows of a file: CSV, whose first line names the fields, or JSON lines (`.jsonl`, `.ndjson`). When the file \
              changes, the task starts over.",
        keys: &[Key::new(
            "file",
            Shape::Text,
            "The file; relative to the plan's directory.",
            "get = \"/quotes/{{ row.symbol }}\"\nforeach = { row = { file = \"symbols.csv\" } }\n",
        )
        .required()],
        ..Section::of("foreach_file", "… over the rows of a file", 3, Level::Task)
    },
];
