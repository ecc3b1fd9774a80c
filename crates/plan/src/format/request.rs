//! `[tasks.NAME]`: the request, and what its answer means.

use super::endpoint::{AUTH, COST};
use super::{Key, Level, Names, Section, Shape};

const FOR: &str = "on = [{ when = \".code == 40203\", do = \"wait\", for = \"1m\", message = \"too many calls a minute\" }]\n";
const COST_EXAMPLE: &str = "post = \"/graphql\"\n\
                            json = { query = \"{ orders(first: 100) { nodes { id } } }\" }\n\
                            cost = { most = 8, actual = \".extensions.cost.actualQueryCost\" }\n";

pub(super) const SECTIONS: &[Section] = &[
    Section {
        doc: "A task is one table of records and the request that fills it. Without `foreach` and `paginate` it is exactly \
              one request. Every string of a request is a template: `{{ vars.since }}`, `{{ secrets.token }}`, \
              `{{ cursor }}`, `{{ now }}`, `{{ today }}`, the names of `foreach`, and with paging `{{ page }}`.",
        keys: &[
            Key::new(
                "endpoint",
                Shape::Text,
                "The endpoint it asks.",
                "endpoint = \"api\"\nget = \"/users\"\n",
            )
            .default("the plan's only one"),
            Key::new(
                "get",
                Shape::Template,
                "A GET request: its path below `base_url`, or a URL of the same origin.",
                "get = \"/repos/tokio-rs/tokio/issues\"\n",
            ),
            Key::new(
                "post",
                Shape::Template,
                "A POST request: its path. A task has `get` or `post`.",
                "post = \"/search\"\njson = { term = \"sync\" }\n",
            ),
            Key::new(
                "query",
                Shape::Map(Names::Any, &Shape::Param),
                "Query parameters. A list repeats its parameter; a template that yields null leaves it out.",
                "query = { state = \"all\", per_page = 100, label = [\"bug\", \"docs\"] }\n",
            ),
            Key::new(
                "headers",
                Shape::Map(Names::Any, &Shape::Template),
                "Headers; they win over those of the endpoint.",
                "headers = { Accept = \"application/json\" }\n",
            ),
            Key::new(
                "json",
                Shape::Value,
                "The body as JSON; strings in it are templates, at any depth.",
                "post = \"/search\"\njson = { filter = { since = \"{{ vars.since }}\" }, limit = 100 }\n",
            ),
            Key::new(
                "form",
                Shape::Map(Names::Any, &Shape::Param),
                "The body as a form.",
                "post = \"/search\"\nform = { term = \"sync\", limit = 100 }\n",
            ),
            Key::new(
                "body",
                Shape::Template,
                "The body as text. Its content type is yours to say.",
                "post = \"/search\"\nbody = \"<query limit='100'/>\"\nheaders = { Content-Type = \"application/xml\" }\n",
            ),
            Key::new("auth", AUTH, "Another [auth](#auth) than the endpoint's, or none.", "auth = \"none\"\n"),
            Key::new(
                "redirects",
                Shape::AnyOf(&[Shape::Choice(&["same-origin", "none"]), Shape::List(&Shape::Text)]),
                "Which redirects are followed: those within the origin, none, or also those to the origins listed, which \
                 get no credentials. Any other is a failure.",
                "get = \"/exports/latest\"\nredirects = [\"https://files.example.com\"]\n",
            )
            .default("`\"same-origin\"`"),
            Key::new(
                "idempotency",
                Shape::Text,
                "A header that carries a key of the request's own, the same however often it is sent.",
                "post = \"/reports\"\njson = { kind = \"daily\" }\nidempotency = \"Idempotency-Key\"\n",
            ),
            Key::new(
                "cost",
                COST,
                "What each of its requests takes of the limits that do not say so themselves: see [`cost`](#cost).",
                "get = \"/search\"\ncost = 5\n",
            )
            .default("1"),
            Key::new(
                "weight",
                Shape::Integer(1, 1_000),
                "Its share beside other tasks that have to wait for the same limit: one of weight 3 gets three times as much \
                 of it as one of weight 1.",
                "weight = 3\n",
            )
            .default("1"),
            Key::new(
                "order",
                Shape::Choice(&["newest"]),
                "`newest`: the latest windows of `foreach` are asked for first, for all its other names, so that a run that \
                 its quota ends has what is fresh. Below the records of another task: the latest of each record.",
                "get = \"/bars\"\n\
                 query = { from = \"{{ day.start }}\", to = \"{{ day.end }}\" }\n\
                 foreach = { day = { every = \"1 day\", from = \"2024-01-01\", to = \"{{ now }}\" } }\n\
                 order = \"newest\"\n",
            )
            .default("as `foreach` says it"),
        ],
        one_of: &[&["get", "post"]],
        one_at_most: &[&["json", "form", "body"]],
        ..Section::of("task", "Tasks: `[tasks.NAME]`", 2, Level::Task)
    },
    Section {
        doc: "Under a limit, a request takes one token of it, unless `cost` says otherwise. It is a number; or jq that reads \
              from the answer what the request did cost (`.` is the body; `$status`, `$headers`, `$vars` are bound, and in a \
              task the `foreach` names); or both, as a table. What it can cost at `most` is taken when it goes, and what it \
              did not cost is given back when the answer is there. Without `most`, the first request goes alone, and from \
              then on the greatest cost seen is taken. An answer that does not say its cost has cost what was taken; \
              one token, if none has said it yet. The report tells if no answer did.",
        keys: &[
            Key::new("most", Shape::Integer(1, u32::MAX as i64), "The most a request can cost.", COST_EXAMPLE),
            Key::new("actual", Shape::Jq, "Yields what it did cost. Fractions are rounded up.", COST_EXAMPLE).required(),
        ],
        ..Section::of("cost", "`cost`", 3, Level::Task)
    },
    Section {
        doc: "Without rules: 408, 5xx, network errors and truncated bodies are tried again; 429, 503 with `Retry-After`, and \
              403 with `Retry-After` or nothing remaining are waited for; 401 renews the credential once; everything else \
              that is not a success fails the task. Rules come before that; the first that fits holds.",
        keys: &[
            Key::new(
                "on",
                Shape::List(&Shape::Table("rule")),
                "The rules. They may stand on the endpoint, too.",
                "on = [\n    { status = [404, 410], do = \"skip\" },\n    { when = \".error != null\", do = \"fail\" },\n]\n",
            ),
            Key::new(
                "cap",
                Shape::Integer(1, i64::MAX),
                "An answer with this many records was cut off: the `foreach` window (or batch) is halved and asked for \
                 again. If there is nothing to halve, it fails.",
                "get = \"/trades\"\n\
                 query = { from = \"{{ day.start }}\", to = \"{{ day.end }}\" }\n\
                 foreach = { day = { every = \"1 day\", from = \"2024-01-01\", to = \"{{ now }}\" } }\n\
                 cap = 6000\n",
            ),
        ],
        ..Section::of("task", "What an answer means", 3, Level::Task)
    },
    Section {
        doc: "A rule has `status`, `when`, or both.",
        keys: &[
            Key::new(
                "status",
                Shape::Status,
                "The statuses it is for: `404`, `[404, 410]`, or `\"5xx\"`.",
                "on = [{ status = [404, \"5xx\"], do = \"skip\" }]\n",
            )
            .default("any"),
            Key::new(
                "when",
                Shape::Jq,
                "Must hold over the body; `$status`, `$headers`, `$vars` and the `foreach` names are bound.",
                "on = [{ status = 200, when = \".code != 0\", do = \"fail\" }]\n",
            ),
            Key::new(
                "do",
                Shape::Choice(&["retry", "wait", "skip", "fail", "stop", "reauth", "split"]),
                "`retry`: try again · `wait`: a limit; nobody on this endpoint sends until then, and no attempt is used up · \
                 `skip`: an empty answer, recorded and counted, not failed · `fail` · `stop`: ends the paging here · \
                 `reauth`: renew the credential, once · `split`: the answer was cut off; halve the window.",
                "on = [{ status = [404, 410], do = \"skip\" }, { status = 423, do = \"wait\" }]\n",
            )
            .required(),
            Key::new("for", Shape::Duration, "How long to wait, unless the answer says longer. Goes with `wait`.", FOR),
            Key::new("message", Shape::Text, "What people are told.", FOR),
        ],
        ..Section::of("rule", "The rules of `on`", 3, Level::Task)
    },
];
