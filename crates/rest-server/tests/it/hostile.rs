//! What is written in plans and records to be run by a browser comes out as JSON, whole, and as nothing else.

use serde_json::{Value, json};

use crate::world::{Body, World};

const EVIL: &[&str] = &[
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "</textarea><svg onload=alert(1)>",
    "\u{202e}gnp.exe\u{2066}\u{200f}",
    "\u{1b}]0;title\u{7}\u{1b}[2J",
    "data: forged\n\nevent: forged\nid: 1-1",
    "{{ 7 * 7 }} ${7*7} `x`",
];

#[tokio::test(flavor = "multi_thread")]
async fn hostile_text_is_json_and_nothing_else() {
    let world = World::new().await;
    for (at, evil) in EVIL.iter().enumerate() {
        let name = format!("evil{at}");
        // A TOML basic string escapes as JSON does, but for DEL.
        let quoted = serde_json::to_string(evil).unwrap();
        let literal = serde_json::to_string(&format!("{{% raw %}}{evil}{{% endraw %}}")).unwrap();
        let text = world.plan(&format!(
            "[plan]\nname = \"{name}\"\ndescription = {quoted}\n[store]\nsqlite = \"{name}.db\"\n[endpoints.e]\n\
             base_url = \"ORIGIN/bench\"\nlimits = []\n[tasks.t]\nget = \"/small/1\"\nmode = \"append\"\n\
             fields = {{ evil = {literal} }}\n"
        ));
        let added = world.ask("POST", "/api/v1/plans", Body::Toml(&text)).await;
        assert_eq!(added.status, 201, "{}", String::from_utf8_lossy(&added.body));
        assert_eq!(world.ask("POST", &format!("/api/v1/plans/{name}/start"), Body::None).await.status, 200);
        let plan = format!("/api/v1/plans/{name}");
        let detail = world.until(&plan, |plan| plan["plan"]["state"] == "complete").await;
        assert_eq!((&detail["plan"]["description"], &detail["text"]), (&json!(evil), &json!(text)));
        let rows = world.ask("GET", &format!("{plan}/rows?table=t"), Body::None).await;
        assert_eq!(rows.header("content-type"), "application/json");
        assert_eq!(rows.header("x-content-type-options"), "nosniff");
        let rows = rows.json();
        let columns = rows["columns"].as_array().unwrap();
        let column = columns.iter().position(|column| column["name"] == "evil").unwrap();
        assert_eq!(rows["rows"][0]["values"][column], *evil);
        // In a problem, a path and a query it comes back as JSON too.
        let path: String = evil.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for path in [
            format!("/api/v1/plans/{path}"),
            format!("{plan}/rows?table={path}"),
            format!("/api/v1/events?plan={path}"),
            format!("{plan}/runs/{path}"),
        ] {
            let problem = world.ask("GET", &path, Body::None).await.problem(404, &path);
            let detail = problem["detail"].as_str().unwrap();
            assert!(
                !detail.contains(|c: char| c.is_control() || ('\u{202a}'..='\u{2069}').contains(&c)),
                "{detail:?}"
            );
        }
    }
    let metrics = world.ask("GET", "/metrics", Body::None).await;
    assert!(!String::from_utf8_lossy(&metrics.body).contains("alert(1)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn long_cells_are_cut_and_say_so() {
    let world = World::new().await;
    let long = "é".repeat(5000);
    let text = world.plan(&format!(
        "[plan]\nname = \"long\"\n[store]\nsqlite = \"long.db\"\n[endpoints.e]\nbase_url = \"ORIGIN/bench\"\n\
         limits = []\n[tasks.t]\nget = \"/small/1\"\nmode = \"append\"\nfields = {{ long = \"{long}\" }}\n"
    ));
    assert_eq!(world.ask("POST", "/api/v1/plans", Body::Toml(&text)).await.status, 201);
    assert_eq!(world.ask("POST", "/api/v1/plans/long/start", Body::None).await.status, 200);
    world.until("/api/v1/plans/long", |plan| plan["plan"]["state"] == "complete").await;
    let rows = world.ask("GET", "/api/v1/plans/long/rows?table=t", Body::None).await.json();
    assert_eq!(rows["rows"][0]["truncated"], true);
    let cut = rows["rows"][0]["values"].as_array().unwrap().iter().filter_map(Value::as_str);
    assert_eq!(cut.map(str::len).max(), Some(4096));
}

/// Bodies that would take a reader's stack or its time: refused, and the server goes on.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_bodies_are_refused() {
    let world = World::new().await;
    let many = 200_000;
    let toml = |text: String| ("/api/v1/plans", text, true);
    let json = |text: String| ("/api/v1/plans/p/start", text, false);
    assert_eq!(world.ask("POST", "/api/v1/plans", Body::Toml(&world.numbered("p", 3, ""))).await.status, 201);
    for (path, text, is_toml) in [
        toml(format!("a = {}", "[".repeat(many))),
        toml(format!("a = {}{}", "[".repeat(many), "]".repeat(many))),
        toml(format!("a = {}1", "{a=".repeat(many))),
        toml(format!("{}a = 1", "a.".repeat(many))),
        toml(format!("[{}a]", "a.".repeat(many))),
        toml((0..30_000).map(|n| format!("[endpoints.e{n}]\n")).collect()),
        toml((0..30_000).map(|n| format!("unknown_key_{n} = 1\n")).collect()),
        toml("a = \"\"\"".to_owned() + &"\\u0000".repeat(100_000) + "\"\"\""),
        toml("\u{0}".repeat(1000)),
        json("[".repeat(many)),
        json(format!("{{\"tasks\": {}", "[".repeat(many))),
        json(format!("{{\"tasks\": [{}\"a\"]}}", "\"a\",".repeat(many))),
        json("{\"full_refresh\": 1e400}".to_owned()),
    ] {
        let body = if is_toml { Body::Toml(&text) } else { Body::Json(&text) };
        let answer = world.ask("POST", path, body).await;
        let what = text.chars().take(40).collect::<String>();
        assert!([400, 422].contains(&answer.status.as_u16()), "{what}: {}", answer.status);
        assert!(answer.body.len() < 1 << 20, "{what}: {} bytes of answer", answer.body.len());
        answer.problem(answer.status.as_u16(), &what);
    }
    assert_eq!(world.ask("GET", "/readyz", Body::None).await.status, 200);
}
