//! Right plans, and what they mean.

use std::path::PathBuf;
use std::time::Duration;

use entities::{
    Auth, Body, KeyPlace, Limits, Method, Mode, OnAction, Over, PaginateBy, ParamPlace, Redirects, Step,
    StoreTarget, SyncPlan, ValueTemplate,
};
use plan::load;
use serde_json::json;

use crate::World;

fn good(text: &str) -> SyncPlan {
    match load("plan.toml", text, &World, &[]) {
        Ok(loaded) => loaded.plan,
        Err(diagnostics) => panic!("{}", diagnostics.render(false)),
    }
}

#[test]
fn six_lines_are_a_plan() {
    let text = "[plan]\nname = \"hn\"\n[endpoints.hn]\nbase_url = \"https://hn.example\"\n[tasks.top]\nget = \"/top.json\"\n";
    let plan = good(text);
    assert_eq!(plan.name.as_str(), "hn");
    assert_eq!(plan.store, StoreTarget::Sqlite(PathBuf::from("hn.db")));
    let endpoint = &plan.endpoints[0];
    assert_eq!((endpoint.concurrency, endpoint.max_body, endpoint.retry.attempts), (8, 64 << 20, 5));
    assert_eq!(endpoint.limits, Limits::PoliteDefault);
    assert_eq!(endpoint.auth, Auth::None);
    let task = &plan.tasks[0];
    assert_eq!((task.table.as_str(), task.mode, task.method), ("top", Mode::Replace, Method::Get));
    assert_eq!((task.at.line, task.at.column), (5, 8));
    assert!(task.foreach.is_empty() && task.paginate.is_none() && task.key.is_empty());
}

#[test]
fn the_plan_that_documents_the_format_is_one() {
    let text = include_str!("../valid/github.toml");
    let loaded =
        load("github.toml", text, &World, &[]).unwrap_or_else(|found| panic!("{}", found.render(false)));
    assert_eq!(loaded.warnings, []);
    let [issues, comments] = loaded.plan.tasks.as_slice() else { panic!() };
    assert_eq!((issues.mode, comments.mode), (Mode::Merge, Mode::Merge));
}

#[test]
fn the_mode_follows_from_key_and_cursor() {
    let check = |task: &str, expected: Mode| {
        let plan = good(&format!(
            "[plan]\nname = \"p\"\n[endpoints.a]\nbase_url = \"https://x.example\"\n[tasks.t]\n{task}"
        ));
        assert_eq!(plan.tasks[0].mode, expected, "{task}");
    };
    let cursor = "query = { since = \"{{ cursor }}\" }\ncursor = { field = \"at\", start = 0 }\n";
    check("get = \"/x\"\n", Mode::Replace);
    check("get = \"/x\"\nkey = [\"id\"]\n", Mode::Merge);
    check(&format!("get = \"/x\"\n{cursor}"), Mode::Append);
    check(&format!("get = \"/x\"\nkey = [\"id\"]\n{cursor}"), Mode::Merge);
    check("get = \"/x\"\nkey = [\"id\"]\nmode = \"append\"\n", Mode::Append);
    check("get = \"/x\"\nkey = [\"id\"]\nmode = \"replace\"\n", Mode::Replace);
}

/// In a JSON body, `"{{ cursor }}"` keeps its type: the first run must not send text, the next a number.
#[test]
fn a_cursor_that_starts_at_a_number_stays_one() {
    for (start, expected) in [("0", "{{ 0 }}"), ("-5", "{{ -5 }}"), ("0x10", "{{ 16 }}"), ("\"0\"", "0")] {
        let plan = good(&format!(
            "[plan]\nname = \"p\"\n[endpoints.a]\nbase_url = \"https://x.example\"\n[tasks.t]\npost = \"/x\"\n\
             json = {{ since = \"{{{{ cursor }}}}\" }}\ncursor = {{ field = \"at\", start = {start} }}\n"
        ));
        let cursor = plan.tasks[0].cursor.as_ref().unwrap();
        assert_eq!(&*cursor.start.source, expected);
    }
}

#[test]
fn every_key_means_what_the_format_says() {
    let text = include_str!("../valid/everything.toml");
    let loaded = load("everything.toml", text, &World, &[("since".into(), "2025".into())])
        .unwrap_or_else(|d| panic!("{}", d.render(false)));
    assert_eq!(
        loaded.warnings.iter().map(|warning| warning.message.as_str()).collect::<Vec<_>>(),
        ["variable `ratio` is never used"]
    );
    let plan = loaded.plan;
    assert_eq!(plan.description.as_deref(), Some("Every key of the language once"));
    assert_eq!(
        serde_json::Value::Object(plan.vars.clone()).to_string(),
        r#"{"repos":["tokio-rs/tokio","hyperium/hyper"],"since":"2025","size":7,"ratio":1.50}"#
    );
    assert_eq!(plan.store, StoreTarget::Sqlite(PathBuf::from("out/github.db")));
    assert_eq!(
        plan.endpoints.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(),
        ["github", "market", "plain"]
    );
    assert_eq!(
        plan.tasks.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(),
        ["issues", "comments", "bars", "candles", "pages"]
    );

    let [github, market, plain] = plan.endpoints.as_slice() else { panic!() };
    assert_eq!(&*github.base_url.source, "https://api.github.com");
    assert_eq!(&*market.base_url.source, "sandbox://market?records=2000");
    let limits: Vec<_> = github.limits.in_force().iter().map(|l| (l.count, l.window.as_secs())).collect();
    assert_eq!(limits, [(5000, 3600), (900, 60)]);
    assert_eq!(market.limits, Limits::Declared(vec![]));
    assert_eq!(github.timeout.connect, Duration::from_secs(5));
    assert_eq!(github.timeout.idle, Duration::from_secs(30));
    assert_eq!(github.timeout.total, Duration::from_secs(120));
    assert_eq!((github.retry.attempts, github.retry.backoff.first), (3, Duration::from_millis(500)));
    assert_eq!((github.concurrency, github.max_body), (20, 16 << 20));
    assert_eq!(github.on[0].status, [(500, 599)]);
    assert!(matches!(&market.auth, Auth::ApiKey { place: KeyPlace::Body(path), .. } if path == "token"));
    assert!(matches!(&plain.auth, Auth::Basic { user, .. } if user.source.is_empty()));

    let [issues, comments, bars, candles, pages] = plan.tasks.as_slice() else { panic!() };
    assert_eq!((issues.mode, issues.key.as_slice()), (Mode::Merge, ["id".to_owned()].as_slice()));
    assert_eq!(
        issues.query.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["state", "per_page", "since", "labels"]
    );
    assert!(
        matches!(issues.paginate.as_ref().map(|p| &p.by), Some(PaginateBy::Link { rel }) if rel == "next")
    );
    assert_eq!(issues.cursor.as_ref().map(|c| c.field.as_str()), Some("updated_at"));
    assert!(matches!(&issues.foreach[0].over, Over::List(ValueTemplate::Text(_))));
    assert_eq!(comments.parent(), plan.spec_named("issues"));
    assert_eq!(comments.on[0].status, [(404, 404), (410, 410)]);
    assert_eq!(comments.on[0].message.as_deref(), Some("gone"));

    assert_eq!((bars.mode, bars.method, &bars.redirects), (Mode::Append, Method::Post, &Redirects::None));
    assert_eq!(bars.auth, Some(Auth::None));
    assert_eq!(bars.foreach.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["code", "n"]);
    assert_eq!(bars.foreach[1].over, Over::Range { from: 2020, to: 2024, step: 1 });
    assert_eq!(bars.on[0].action, OnAction::Wait { how_long: Some(Duration::from_secs(30)) });
    assert_eq!(bars.on[1].action, OnAction::Stop);
    let Body::Json(ValueTemplate::Map(body)) = &bars.body else { panic!() };
    let ValueTemplate::Map(params) = &body[1].1 else { panic!() };
    assert_eq!(params[2].1, ValueTemplate::Plain(json!(10)));
    assert!(
        matches!(&params[3].1, ValueTemplate::Plain(ratio) if ratio.as_number().is_some_and(|ratio| ratio.as_str() == "0.10"))
    );
    let Some(PaginateBy::Offset { param, place, start, .. }) = bars.paginate.as_ref().map(|p| &p.by) else {
        panic!()
    };
    assert_eq!((param.as_str(), *place, *start), ("params.offset", ParamPlace::Json, 0));

    assert_eq!((candles.table.as_str(), candles.mode), ("candle_bars", Mode::Replace));
    let Over::Windows { every, from, .. } = &candles.foreach[0].over else { panic!() };
    assert_eq!((*every, &*from.source), (Step::Days(1), "2024-01-01"));
    let Some(PaginateBy::Page { start, place, size, .. }) = pages.paginate.as_ref().map(|p| &p.by) else {
        panic!()
    };
    assert_eq!((*start, *place, size.as_ref().map(|s| s.value)), (0, ParamPlace::Header, Some(10)));
}

#[test]
fn a_fingerprint_changes_with_what_starts_a_task_over_and_only_then() {
    let base = include_str!("../valid/everything.toml");
    let prints =
        |text: &str| good(text).tasks.iter().map(|task| task.fingerprint.clone()).collect::<Vec<_>>();
    let before = prints(base);
    assert!(before.iter().all(|print| print.len() == 32));
    let check = |from: &str, to: &str, changed: &[usize]| {
        assert!(base.contains(from), "{from}");
        let after = prints(&base.replace(from, to));
        let found: Vec<usize> = (0..before.len()).filter(|i| before[*i] != after[*i]).collect();
        assert_eq!(found, changed, "{from} -> {to}");
    };
    check("limits = [\"5000/h\", \"900/min\"]", "limits = []", &[]);
    check("attempts = 3", "attempts = 4", &[]);
    check("total = \"2m\"", "total = \"3m\"", &[]);
    check("headers = { X-Day = \"{{ today }}\" }", "", &[]);
    check("auth = \"none\"", "", &[]);
    check("message = \"gone\"", "message = \"away\"", &[]);
    check("description = ", "\n\n# moved\ndescription = ", &[]);
    check("api.github.com", "github.example.com", &[]);
    check("get = \"/pages\"", "get = \"/leaves\"", &[4]);
    check("start = 0", "start = 1", &[4]);
    check("to = 2024 }", "to = 2025 }", &[2]);
    check("limit = 10", "limit = 11", &[2]);
    check("table = \"candle_bars\"", "", &[3]);
    check("records = \".[]\"", "", &[0]);
    check(".comments > 0", ".comments > 1", &[1]);
    check("mode = \"append\"", "", &[2]);
}

#[test]
fn overrides_take_the_type_of_what_they_replace() {
    let text = "[plan]\nname = \"p\"\n[vars]\nn = 1\nl = [\"a\"]\nt = \"x\"\nb = false\ne = { env = \"SET\" }\n[endpoints.a]\nbase_url = \"https://x.example/{{ vars.t }}\"\n[tasks.t]\nget = \"/{{ vars.n }}/{{ x }}/{{ vars.b }}/{{ vars.e }}\"\nforeach = { x = \"{{ vars.l }}\" }\n";
    let set = |pairs: &[(&str, &str)]| {
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        serde_json::Value::Object(load("p.toml", text, &World, &pairs).unwrap().plan.vars)
    };
    assert_eq!(set(&[]), json!({ "n": 1, "l": ["a"], "t": "x", "b": false, "e": "from the environment" }));
    assert_eq!(
        set(&[("n", "2"), ("n", "3"), ("l", "b,c"), ("t", "5"), ("b", "true"), ("e", "given")]),
        json!({ "n": 3, "l": ["b", "c"], "t": "5", "b": true, "e": "given" })
    );
}

#[test]
fn what_nothing_uses_is_warned_of() {
    let text = "[plan]\nname = \"p\"\n[vars]\na = 1\nb = 2\nc = 3\n[secrets]\ns = { env = \"S\" }\n[endpoints.a]\nbase_url = \"https://x.example\"\n[endpoints.b]\nbase_url = \"https://x.example\"\n[tasks.t]\nendpoint = \"a\"\nget = \"/x/{{ vars.a }}\"\nrecords = \".[] | select(.b == $vars.b)\"\n";
    let loaded = load("p.toml", text, &World, &[]).unwrap();
    let warnings: Vec<_> =
        loaded.warnings.iter().map(|warning| (warning.place.line, warning.message.as_str())).collect();
    assert_eq!(
        warnings,
        [
            (6, "variable `c` is never used"),
            (8, "secret `s` is never used"),
            (11, "endpoint `b` is never used")
        ]
    );
}
