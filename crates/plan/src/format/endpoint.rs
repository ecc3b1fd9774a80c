//! `[endpoints.NAME]`, and the rules of `on`.

use super::{Key, Level, Names, Section, Shape};

const TIMEOUT: &str = "timeout = { connect = \"10s\", idle = \"30s\", total = \"5m\" }\n";
const RETRY: &str = "retry = { attempts = 5, backoff = \"1s..1m\" }\n";
/// What a request costs, in a task as in a limit.
pub(super) const COST: Shape =
    Shape::AnyOf(&[Shape::Integer(1, u32::MAX as i64), Shape::Jq, Shape::Table("cost")]);
const RESERVE: Shape = Shape::AnyOf(&[
    Shape::Integer(0, u32::MAX as i64),
    Shape::Pattern(r"^\s*[0-9][0-9_]*\s*%?\s*$", "a number or a percentage: `\"500\"`, `\"30%\"`"),
]);
const RESETS: Shape = Shape::Pattern(
    r"^\s*(([A-Za-z]+|[0-9]{1,2})\s+)?[0-9]{1,2}:[0-9]{2}\s+\S+\s*$",
    "`\"00:00 Asia/Shanghai\"`, `\"Monday 00:00 UTC\"` or `\"1 00:00 UTC\"`",
);

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
                 credential on this machine, and they are never exceeded. `[]` means none. A limit may say more: \
                 [see below](#limits-more-than-a-rate).",
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
        doc: "A limit with more to it than a rate is a table. Every limit in the list holds at once.",
        keys: &[
            Key::new(
                "rate",
                Shape::Rate,
                "How many in how long.",
                "limits = [{ rate = \"20000/day\", resets = \"00:00 Asia/Shanghai\" }, \"500/min\"]\n",
            )
            .required(),
            Key::new(
                "cost",
                COST,
                "What one request takes of this limit, whatever its task says. See [`cost`](#cost).",
                "limits = [\"20/s\", { rate = \"1000/min\", cost = { most = 100, actual = \".extensions.cost.actualQueryCost\" } }]\n",
            )
            .default("the task's `cost`, else 1"),
            Key::new(
                "scope",
                Shape::Pattern("^[A-Za-z0-9_-]+$", "`\"endpoint\"`, `\"host\"`, `\"credential\"` or a name of your own"),
                "Which requests are counted together. `endpoint`: only those of this endpoint · `host`: all to this origin, \
                 whatever the credential (a limit by address) · `credential`: all with this credential, whatever the origin \
                 · any other name: all limits that have it, in every plan.",
                "limits = [\"10/s\", { rate = \"100000/day\", scope = \"company-quota\" }]\n",
            )
            .default("all with this origin and credential"),
            Key::new(
                "reserve",
                RESERVE,
                "How much of it is left for others who use the same key: a number, or a part of the rate. Rounded up.",
                "limits = [{ rate = \"5000/h\", reserve = \"10%\" }]\n",
            )
            .default("0"),
            Key::new(
                "resets",
                RESETS,
                "When a quota begins anew, all of it at once: for limits per day `\"HH:MM ZONE\"`, per week `\"Monday HH:MM \
                 ZONE\"`, per month `\"1 HH:MM ZONE\"` (the day of the month; its last one if it is shorter). Without it, \
                 the limit holds in *any* such time.",
                "limits = [{ rate = \"1000000/month\", resets = \"1 00:00 UTC\" }]\n",
            )
            .default("a sliding window"),
        ],
        ..Section::of("limit", "`limits`: more than a rate", 3, Level::Endpoint)
    },
];
