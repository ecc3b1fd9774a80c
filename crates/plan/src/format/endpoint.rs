//! `[endpoints.NAME]`, and the rules of `on`.

use super::{Key, Level, Names, Section, Shape};

const TIMEOUT: &str = "timeout = { connect = \"10s\", idle = \"30s\", total = \"5m\" }\n";
const RETRY: &str = "retry = { attempts = 5, backoff = \"1s..1m\" }\n";
const LIMIT: &str =
    "limits = [{ rate = \"5000/h\", scope = \"token\", reserve = 100, resets = \"00:00 Asia/Shanghai\" }]\n";

pub(super) const AUTH: Shape = Shape::AnyOf(&[Shape::Choice(&["none"]), Shape::Table("auth")]);

pub(super) const SECTIONS: &[Section] = &[
    Section {
        doc: "An API: where it is, who you are to it, and how fast you may ask. Every template here may use `vars`, \
              `secrets`, `now` and `today`.",
        keys: &[
            Key::new(
                "base_url",
                Shape::Template,
                "What the paths of tasks are joined to. `sandbox://market` and `sandbox://tracker` are the built-in \
                 practice API.",
                "base_url = \"https://api.example.com/v2\"\n",
            )
            .required(),
            Key::new(
                "headers",
                Shape::Map(Names::Any, &Shape::Template),
                "Headers of every request.",
                "headers = { Accept = \"application/vnd.github+json\" }\n",
            ),
            Key::new(
                "query",
                Shape::Map(Names::Any, &Shape::Param),
                "Query parameters of every request.",
                "query = { version = 3 }\n",
            ),
            Key::new(
                "auth",
                AUTH,
                "Who you are: see [Auth](#auth). A task may say another one.",
                "auth = { bearer = \"{{ secrets.token }}\" }\n",
            )
            .default("`\"none\"`"),
            Key::new(
                "limits",
                Shape::List(&Shape::AnyOf(&[Shape::Rate, Shape::Table("limit")])),
                "How many requests may be sent in how much time. All hold at once, over every plan that uses the same \
                 credential on this machine, and they are never exceeded. `[]` means none.",
                "limits = [\"5000/h\", \"900/min\"]\n",
            )
            .default("`[\"10/s\"]`, a polite guess"),
            Key::new(
                "concurrency",
                Shape::Integer(1, 10_000),
                "Requests in flight at most.",
                "concurrency = 20\n",
            )
            .default("8"),
            Key::new("timeout", Shape::Table("timeout"), "When to give an answer up: see below.", TIMEOUT),
            Key::new("retry", Shape::Table("retry"), "How often to try again: see below.", RETRY),
            Key::new(
                "max_body",
                Shape::Size,
                "The largest body that is read, counted after decompression. A larger one fails its request.",
                "max_body = \"16MiB\"\n",
            )
            .default("`\"64MiB\"`"),
            Key::new(
                "on",
                Shape::List(&Shape::Table("rule")),
                "What answers mean, for all tasks of the endpoint: see [What an answer means](#what-an-answer-means). \
                 The rules of a task come first.",
                "on = [{ status = 404, do = \"skip\" }]\n",
            ),
        ],
        ..Section::of("endpoint", "Endpoints: `[endpoints.NAME]`", 2, Level::Endpoint)
    },
    Section {
        doc: "",
        keys: &[
            Key::new("connect", Shape::Duration, "To reach the server, TLS included.", TIMEOUT).default("`\"10s\"`"),
            Key::new("idle", Shape::Duration, "Without a single byte of the answer.", TIMEOUT).default("`\"30s\"`"),
            Key::new("total", Shape::Duration, "From the request's start to the answer's end.", TIMEOUT)
                .default("`\"5m\"`"),
        ],
        ..Section::of("timeout", "`timeout`", 3, Level::Endpoint)
    },
    Section {
        doc: "Only what may well be gone the next time is tried again: network errors, truncated bodies, 408 and 5xx. \
              Waiting for a limit uses up no attempt.",
        keys: &[
            Key::new("attempts", Shape::Integer(1, i64::MAX), "Tries in all, the first included.", RETRY)
                .default("5"),
            Key::new(
                "backoff",
                Shape::BackOff,
                "The first and the longest pause. It doubles from try to try, with some chance in it.",
                RETRY,
            )
            .default("`\"1s..1m\"`"),
        ],
        ..Section::of("retry", "`retry`", 3, Level::Endpoint)
    },
    Section {
        doc: "A limit with more to it than a rate.",
        keys: &[
            Key::new("rate", Shape::Rate, "The rate.", LIMIT).required().later(4),
            Key::new("cost", Shape::Value, "What one request counts.", "limits = [{ rate = \"100/s\", cost = 5 }]\n").later(4),
            Key::new("scope", Shape::Text, "Who shares the limit.", LIMIT).later(4),
            Key::new("reserve", Shape::Integer(0, i64::MAX), "What is left for others.", LIMIT).later(4),
            Key::new("resets", Shape::Text, "When a quota is full again.", LIMIT).later(4),
        ],
        later: Some(4),
        ..Section::of("limit", "A limit as a table", 3, Level::Endpoint)
    },
];
