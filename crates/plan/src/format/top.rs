//! The plan itself: `[plan]`, `[vars]`, `[secrets]`, `[store]`, `[schedule]`.

use super::{Key, Level, Names, Section, Shape};

const ENV_VAR: &str = "[vars]\nsince = { env = \"SYNC_SINCE\", default = \"2024-01-01\" }\n";
const ENV_SECRET: &str = "[secrets]\ntoken = { env = \"API_TOKEN\" }\n";

const CRON: &str = "The minute, hour, day of the month, month and day of the week of each run, as in a crontab: numbers, `*`, lists \
     (`0,30`), ranges (`1-5`), steps (`*/15`, `8-18/2`) and names (`jan`, `mon`). Sunday is 0 or 7. Where both the day of the month and the \
     day of the week are restricted, either will do; a field that begins with `*` does not count as that.";

pub(super) const SECTIONS: &[Section] = &[
    Section {
        doc: "A plan is a TOML file. It names endpoints (where, who you are, how fast at most) and tasks (what to fetch, \
              and into which table). An unknown key is an error with a suggestion, and so is everything else that is \
              wrong: `syncctl validate` shows all of it at once.",
        keys: &[
            Key::new("plan", Shape::Table("plan"), "What the plan is called.", "[plan]\nname = \"github\"\n")
                .required(),
            Key::new(
                "vars",
                Shape::Map(Names::Word, &Shape::AnyOf(&[Shape::Literal, Shape::Table("var")])),
                "Parameters of the plan.",
                "[vars]\nsince = \"2024-01-01\"\n",
            ),
            Key::new(
                "secrets",
                Shape::Map(Names::Word, &Shape::AnyOf(&[Shape::Table("secret"), Shape::Text])),
                "Credentials, and where each comes from.",
                "[secrets]\ntoken = { env = \"GITHUB_TOKEN\" }\n",
            ),
            Key::new(
                "store",
                Shape::Table("store"),
                "Where records land.",
                "[store]\nsqlite = \"github.db\"\n",
            )
            .default("a SQLite file named after the plan"),
            Key::new(
                "endpoints",
                Shape::Map(Names::Plain, &Shape::Table("endpoint")),
                "The APIs that the plan talks to, one table each.",
                "[endpoints.github]\nbase_url = \"https://api.github.com\"\n",
            )
            .required(),
            Key::new(
                "tasks",
                Shape::Map(Names::Plain, &Shape::Table("task")),
                "What is fetched: one table of records each.",
                "[tasks.issues]\nget = \"/repos/tokio-rs/tokio/issues\"\n",
            )
            .required(),
            Key::new(
                "schedule",
                Shape::Table("schedule"),
                "When `syncctl serve` runs the plan.",
                "[schedule]\nevery = \"1h\"\n",
            ),
        ],
        ..Section::of("root", "The file", 2, Level::Plan)
    },
    Section {
        doc: "",
        keys: &[
            Key::new(
                "name",
                Shape::Pattern("^[a-z0-9_-]{1,64}$", "lower-case letters, digits, `_` and `-`"),
                "What the plan is called in outputs and in its ledger.",
                "[plan]\nname = \"github\"\ndescription = \"Issues and comments of a few repositories\"\n",
            )
            .required(),
            Key::new(
                "description",
                Shape::Text,
                "One line for people.",
                "[plan]\nname = \"github\"\ndescription = \"Issues and comments of a few repositories\"\n",
            ),
        ],
        ..Section::of("plan", "`[plan]`", 3, Level::Plan)
    },
    Section {
        doc: "Each name is a parameter: text, a number, true or false, or a list. `--set since=2025-01-01` overrides \
              it for a run. Templates read it as `{{ vars.since }}`, jq as `$vars.since`. A value may come from the \
              environment instead:",
        keys: &[
            Key::new(
                "env",
                Shape::Text,
                "The environment variable to read. Its text takes the type of `default`.",
                ENV_VAR,
            )
            .required(),
            Key::new("default", Shape::Any, "What holds when the variable is not set.", ENV_VAR)
                .default("the variable must be set"),
        ],
        ..Section::of("var", "`[vars]`", 3, Level::Plan)
    },
    Section {
        doc: "Each name is a credential, and says where it is read from when a run starts. Templates read it as \
              `{{ secrets.token }}`, in requests and `auth` only. A secret is never printed, logged, stored, or sent \
              to another origin.",
        keys: &[
            Key::new("env", Shape::Text, "The environment variable to read.", ENV_SECRET),
            Key::new(
                "file",
                Shape::Text,
                "The file to read; relative to the plan's directory. A line end at its end does not count.",
                "[secrets]\ntoken = { file = \"token.txt\" }\n",
            ),
            Key::new(
                "command",
                Shape::List(&Shape::Text),
                "A program and its arguments; what it prints is the secret. It is not run by a shell.",
                "[secrets]\ntoken = { command = [\"op\", \"read\", \"op://work/github/token\"] }\n",
            ),
        ],
        one_of: &[&["env", "file", "command"]],
        ..Section::of("secret", "`[secrets]`", 3, Level::Plan)
    },
    Section {
        doc: "Tables and ledger live in the same store, so that a record and the account of it are one transaction: kill it \
              anywhere, and nothing that was reported landed is lost or there twice. One line says the kind; without one it is \
              SQLite. One `syncctl` process writes a store at a time; anybody may read it meanwhile. To change the store of a \
              plan is to begin a new one: what lies in the old one stays there.",
        keys: &[
            Key::new(
                "sqlite",
                Shape::Text,
                "The file of the SQLite database; relative to the working directory.",
                "[store]\nsqlite = \"out/github.db\"\n",
            )
            .default("`\"<plan name>.db\"`"),
            Key::new(
                "postgres",
                Shape::Template,
                "The connection string of a PostgreSQL database: a URL, `postgres://user:password@host:5432/database`, or libpq's \
                 words, `host=… dbname=…`. Of names only `secrets` are known in it. A password belongs into a secret: one that \
                 is written here is warned of, and shown nowhere.",
                "[secrets]\nurl = { env = \"DATABASE_URL\" }\n[store]\npostgres = \"{{ secrets.url }}\"\n",
            ),
            Key::new(
                "schema",
                Shape::Pattern(
                    "^[A-Za-z_][A-Za-z0-9_$-]{0,62}$",
                    "letters, digits, `_`, `$` and `-`",
                ),
                "With `postgres`: the schema of the tables, made if it is not there; not one of PostgreSQL's own (`pg_…`).",
                "[store]\npostgres = \"postgres://localhost/data\"\nschema = \"github\"\n",
            )
            .default("`\"public\"`"),
            Key::new(
                "jsonl",
                Shape::Text,
                "A directory for JSONL files, relative to the working directory: `out/TABLE/part-00001.jsonl`, a record a line. \
                 Give it a directory of its own.",
                "[store]\njsonl = \"out/\"\n",
            ),
            Key::new(
                "parquet",
                Shape::Text,
                "A directory for Parquet files, relative to the working directory: `out/TABLE/part-00001.parquet`, compressed by \
                 zstd, columns typed. Give it a directory of its own.",
                "[store]\nparquet = \"out/\"\n",
            ),
            Key::new(
                "roll",
                Shape::Size,
                "With `jsonl` and `parquet`: a file of a table that records are added to is closed, and the next begun, when it would \
                 hold more; 1MiB to 1024GiB. A file is there for readers when it is closed, at the end of a run at the latest.",
                "[store]\njsonl = \"out/\"\nroll = \"64MiB\"\n",
            )
            .default("`\"256MiB\"`"),
        ],
        one_at_most: &[
            &["sqlite", "postgres", "jsonl", "parquet"],
            &["schema", "sqlite"],
            &["schema", "jsonl"],
            &["schema", "parquet"],
            &["roll", "sqlite"],
            &["roll", "postgres"],
        ],
        ..Section::of("store", "`[store]`", 3, Level::Plan)
    },
    Section {
        doc: "When `syncctl serve` starts the plan by itself; `syncctl run` takes no notice of it. A plan never runs twice at \
              once: what comes due while it runs, is paused or the server is down is made up for once, as soon as it can \
              be. A run that was interrupted is resumed rather than begun again.",
        keys: &[
            Key::new(
                "every",
                Shape::Duration,
                "The time from one start to the next, 10 s to 366 days. The first run is at once.",
                "[schedule]\nevery = \"1h\"\n",
            ),
            Key::new(
                "cron",
                Shape::Pattern("^\\s*\\S+(\\s+\\S+){4}\\s*$", "five fields of cron"),
                CRON,
                "[schedule]\ncron = \"0 6 * * 1-5\"\nzone = \"Asia/Shanghai\"\n",
            ),
            Key::new(
                "zone",
                Shape::Text,
                "The IANA time zone whose clock `cron` reads. A time that a change of clocks skips runs right behind the \
                 gap, one that comes twice runs once; a plan that runs in every hour just goes on hour by hour.",
                "[schedule]\ncron = \"0 6 * * 1-5\"\nzone = \"Asia/Shanghai\"\n",
            )
            .default("UTC"),
        ],
        one_of: &[&["every", "cron"]],
        one_at_most: &[&["every", "zone"]],
        ..Section::of("schedule", "`[schedule]`", 3, Level::Plan)
    },
];
