//! The twelve, as data: what each plan needs, where it lands, and what its second run may ask for.

use std::process::Command;

use sandbox::LoggedRequest;
use serde_json::Value;

use crate::harness::{Place, repository};

/// One plan of `plans/shapes/`.
pub(crate) struct Shape {
    pub(crate) plan: &'static str,
    pub(crate) database: &'static str,
    /// The environment that it reads its secrets from.
    pub(crate) secrets: &'static [(&'static str, &'static str)],
    /// Tables and their keys.
    pub(crate) tables: &'static [(&'static str, &'static [&'static str])],
    /// What the requests of the second run carry.
    pub(crate) fresh: &'static [Fresh],
    /// Which parents they are for.
    pub(crate) children: &'static [Children],
    /// So many requests into a run it is about in the middle, and no token is just being renewed.
    pub(crate) kill_at: usize,
}

/// A parameter of every request to a path, in the query or in the JSON body.
pub(crate) enum Fresh {
    /// Exactly what a query says when the first run is done.
    Is { path: &'static str, param: &'static str, sql: &'static str },
    /// Not less than what a query says before the first run.
    From { path: &'static str, param: &'static str, sql: &'static str },
}

/// `PREFIX ID SUFFIX`, once for each row of a table that is new or has changed.
pub(crate) struct Children {
    pub(crate) of: &'static str,
    pub(crate) prefix: &'static str,
    pub(crate) suffix: &'static str,
}

const ID: &[&str] = &["id"];

pub(crate) const SHAPES: [Shape; 12] = [
    Shape {
        plan: "01-bearer-pages-windows.toml",
        database: "helpdesk.db",
        secrets: &[("HELPDESK_TOKEN", "practice-key")],
        tables: &[("tickets", ID)],
        fresh: &[Fresh::From {
            path: "/tickets",
            param: "updated_from",
            sql: "select strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '-1 hour', '-1 second')",
        }],
        children: &[],
        kill_at: 20,
    },
    Shape {
        plan: "02-next-url-forbidden-skipped.toml",
        database: "forms.db",
        secrets: &[("FORMS_KEY", "practice-key")],
        tables: &[("forms", ID), ("responses", ID)],
        fresh: &[],
        children: &[Children { of: "forms", prefix: "/forms/", suffix: "/responses" }],
        kill_at: 30,
    },
    Shape {
        plan: "03-basic-link-epoch.toml",
        database: "billing.db",
        secrets: &[("BILLING_PASSWORD", "practice-secret")],
        tables: &[("invoices", &["number"])],
        fresh: &[Fresh::Is {
            path: "/invoices",
            param: "updated_since",
            sql: "select max(updated) from invoices",
        }],
        children: &[],
        kill_at: 6,
    },
    Shape {
        plan: "04-query-key-offset-children.toml",
        database: "boards.db",
        secrets: &[("BOARDS_KEY", "practice-key")],
        tables: &[("boards", ID), ("lists", ID), ("cards", ID)],
        fresh: &[],
        children: &[
            Children { of: "boards", prefix: "/boards/", suffix: "/lists" },
            Children { of: "lists", prefix: "/lists/", suffix: "/cards" },
        ],
        kill_at: 40,
    },
    Shape {
        plan: "05-client-credentials-changed-children.toml",
        database: "crm.db",
        secrets: &[("CRM_SECRET", "practice-secret")],
        tables: &[("accounts", ID), ("contacts", ID)],
        fresh: &[Fresh::Is {
            path: "/accounts",
            param: "modified_since",
            sql: "select max(modified_at) from accounts",
        }],
        children: &[Children { of: "accounts", prefix: "/accounts/", suffix: "/contacts" }],
        kill_at: 40,
    },
    Shape {
        plan: "06-refresh-token-after.toml",
        database: "fitness.db",
        secrets: &[("FITNESS_SECRET", "practice-secret"), ("FITNESS_REFRESH_TOKEN", "practice-refresh-0")],
        tables: &[("activities", ID)],
        fresh: &[Fresh::Is {
            path: "/athlete/activities",
            param: "after",
            sql: "select max(started) - 1 from activities",
        }],
        children: &[],
        kill_at: 5,
    },
    Shape {
        plan: "07-login-zero-pages-nested.toml",
        database: "warehouse.db",
        secrets: &[("WAREHOUSE_PASSWORD", "practice-secret")],
        tables: &[("products", &["sku"])],
        fresh: &[Fresh::Is {
            path: "/products",
            param: "modified_after",
            sql: "select max(modified) from products",
        }],
        children: &[],
        kill_at: 5,
    },
    Shape {
        plan: "08-json-body-cursor-epoch-ms.toml",
        database: "telemetry.db",
        secrets: &[("TELEMETRY_TOKEN", "practice-key")],
        tables: &[("readings", ID)],
        fresh: &[Fresh::Is {
            path: "/readings/search",
            param: "from_ms",
            sql: "select max(updated_ms) - 60000 from readings",
        }],
        children: &[],
        kill_at: 6,
    },
    Shape {
        plan: "09-keyset-has-more.toml",
        database: "payments.db",
        secrets: &[("PAYMENTS_KEY", "sk_practice")],
        tables: &[("events", ID)],
        fresh: &[Fresh::Is {
            path: "/v1/events",
            param: "created[gte]",
            sql: "select max(created) from events",
        }],
        children: &[],
        kill_at: 6,
    },
    Shape {
        plan: "10-thirty-day-windows.toml",
        database: "rates.db",
        secrets: &[("RATES_KEY", "practice-key")],
        tables: &[("rates", &["day", "pair"])],
        fresh: &[Fresh::From { path: "/rates", param: "from", sql: "select strftime('%Y%m%d', 'now')" }],
        children: &[],
        kill_at: 15,
    },
    Shape {
        plan: "11-graphql.toml",
        database: "graph.db",
        secrets: &[("GRAPH_TOKEN", "practice-key")],
        tables: &[("issues", ID)],
        fresh: &[Fresh::Is { path: "/graphql", param: "since", sql: "select max(updated_at) from issues" }],
        children: &[],
        kill_at: 6,
    },
    Shape {
        plan: "12-columnar-cap-split.toml",
        database: "trades.db",
        secrets: &[("TRADES_TOKEN", "practice-key")],
        tables: &[("trades", &["trade_id"])],
        fresh: &[Fresh::From { path: "/", param: "start_date", sql: "select strftime('%Y%m%d', 'now')" }],
        children: &[],
        kill_at: 20,
    },
];

impl Shape {
    /// The plan as published.
    pub(crate) fn text(&self) -> String {
        std::fs::read_to_string(repository().join("plans/shapes").join(self.plan)).unwrap()
    }

    pub(crate) fn command(&self, place: &Place, plan: &str) -> Command {
        let mut command = place.command(&["run", plan, "--progress", "none"]);
        command.envs(self.secrets.iter().copied());
        command
    }
}

impl Fresh {
    pub(crate) fn before_the_first_run(&self) -> String {
        match self {
            Fresh::Is { .. } => String::new(),
            Fresh::From { sql, .. } => select(sql),
        }
    }

    /// Every request to the path carries what is wanted, and there is one.
    #[track_caller]
    pub(crate) fn check(&self, asked: &[LoggedRequest], wanted: &str) {
        let (Fresh::Is { path, param, .. } | Fresh::From { path, param, .. }) = self;
        let values: Vec<String> = asked
            .iter()
            .filter(|request| rest(request).split('?').next() == Some(path))
            .map(|request| parameter(request, param).unwrap_or_else(|| panic!("no `{param}`: {request:?}")))
            .collect();
        assert!(!values.is_empty(), "nothing asks for {path}: {asked:?}");
        let good = |value: &&String| match self {
            Fresh::Is { .. } => *value == wanted,
            Fresh::From { .. } => value.as_str() >= wanted,
        };
        let stale: Vec<&String> = values.iter().filter(|value| !good(value)).collect();
        assert!(stale.is_empty(), "`{param}` should be (or begin at) {wanted}: {stale:?}");
    }
}

impl Children {
    /// The parent that a request is for.
    pub(crate) fn parent<'r>(&self, request: &'r LoggedRequest) -> Option<&'r str> {
        rest(request).split('?').next()?.strip_prefix(self.prefix)?.strip_suffix(self.suffix)
    }
}

/// The second that has just begun.
pub(crate) fn now() -> String {
    select("select strftime('%Y-%m-%dT%H:%M:%SZ', 'now')")
}

fn select(sql: &str) -> String {
    rusqlite::Connection::open_in_memory().unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

/// The path and query behind the first segment.
fn rest(request: &LoggedRequest) -> &str {
    let path = &request.path_and_query[1..];
    path.find('/').map_or("", |at| &path[at..])
}

fn parameter(request: &LoggedRequest, name: &str) -> Option<String> {
    let query = rest(request).split_once('?').map_or("", |(_, query)| query);
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let decoded = |text: &str| text.replace("%3A", ":").replace("%5B", "[").replace("%5D", "]");
    let in_query = pairs.map(|(key, value)| (decoded(key), decoded(value))).find(|(key, _)| key == name);
    in_query.map(|(_, value)| value).or_else(|| leaf(&serde_json::from_str(&request.body).ok()?, name))
}

fn leaf(json: &Value, name: &str) -> Option<String> {
    let object = json.as_object()?;
    match object.get(name) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => object.values().find_map(|value| leaf(value, name)),
    }
}
