//! Every route, over a real socket, on a real plan; each answer is what the OpenAPI document says.

use serde_json::{Value, json};

use crate::described::Described;
use crate::world::{Body, World};

/// Numbered requests of which the fifth fails for good, so that there is something to look at and to retry.
const FAILING: &str = r#"[plan]
name = "failing"
description = "one of its tasks asks for what is not there"
[store]
sqlite = "failing.db"
[endpoints.e]
base_url = "ORIGIN/bench"
limits = ["1000/s"]
[endpoints.h]
base_url = "ORIGIN/hostile"
limits = ["1000/s"]
[tasks.numbers]
endpoint = "e"
get = "/small/{{ n }}"
foreach = { n = { from = 1, to = 25 } }
mode = "append"
[tasks.nothing]
endpoint = "h"
get = "/not-found"
mode = "append"
"#;

const PLANS: &str = "/api/v1/plans";
const PLAN: &str = "/api/v1/plans/{name}";

fn of(part: &str) -> String {
    format!("{PLAN}{part}")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_answers_as_described() {
    let world = World::new().await;
    let mut described = Described::new();
    let d = &mut described;
    pages(d, &world).await;
    adding(d, &world).await;
    nothing_yet(d, &world).await;
    running(d, &world).await;
    looking(d, &world).await;
    operating(d, &world).await;
    removing(d, &world).await;
    let events = [("host", "localhost"), ("authorization", "Bearer a-token-that-only-tests-use")];
    let (response, _held) = world.begin("GET", "/api/v1/events", &events, Vec::new()).await;
    let head = crate::world::Answer {
        status: response.status(),
        headers: response.headers().clone(),
        body: bytes::Bytes::new(),
    };
    d.check("GET", "/api/v1/events", &head, "events");
    d.all();
}

async fn pages(d: &mut Described, world: &World) {
    for path in ["/", "/api", "/api/openapi.json", "/healthz", "/readyz", "/metrics", "/api/v1"] {
        d.ask(world, ("GET", path), path, Body::None, 200).await;
    }
    d.ask(world, ("GET", "/assets/{name}"), "/assets/style.css", Body::None, 200).await;
    d.ask(world, ("GET", "/assets/{name}"), "/assets/nothing.css", Body::None, 404).await;
    let held = d.ask(world, ("GET", "/api/openapi.json"), "/api/openapi.json", Body::None, 200).await;
    assert_eq!(String::from_utf8_lossy(&held.body), rest_server::document());
    for path in ["/api/v1/workers", "/api/v1/budgets", PLANS] {
        d.ask(world, ("GET", path), path, Body::None, 200).await;
    }
}

async fn adding(d: &mut Described, world: &World) {
    let failing = &world.plan(FAILING);
    // What is wrong comes with its place.
    let wrong = failing.replace("get = \"/not-found\"", "gett = \"/not-found\"");
    let answer = d.ask(world, ("POST", PLANS), PLANS, Body::Toml(&wrong), 422).await;
    let problem = answer.problem(422, "a wrong plan");
    assert_eq!(problem["type"], "/api#problem-invalid-plan");
    let line = wrong.lines().position(|line| line.starts_with("gett")).unwrap() + 1;
    let diagnostics = problem["diagnostics"].as_array().unwrap();
    let unknown = diagnostics.iter().find(|one| one["line"] == line).unwrap();
    assert_eq!(
        (&unknown["severity"], &unknown["column"], &unknown["end_line"], &unknown["end_column"]),
        (&json!("error"), &json!(1), &json!(line), &json!(5)),
        "{unknown}"
    );
    for text in ["", "no toml [", "a = 1"] {
        let answer = d.ask(world, ("POST", PLANS), PLANS, Body::Toml(text), 422).await;
        assert!(!answer.json()["diagnostics"].as_array().unwrap().is_empty(), "{text:?}");
    }
    // A dry run adds nothing.
    let dry = format!("{PLANS}?dry_run=true");
    let checked = d.ask(world, ("POST", PLANS), &dry, Body::Toml(failing), 200).await.json();
    assert_eq!((&checked["name"], checked["tasks"].as_array().unwrap().len()), (&json!("failing"), 2));
    d.ask(world, ("GET", PLAN), "/api/v1/plans/failing", Body::None, 404).await;
    d.ask(world, ("POST", PLANS), &format!("{PLANS}?dry_run=maybe"), Body::Toml(failing), 400).await;
    d.ask(world, ("POST", PLANS), &format!("{PLANS}?dryrun=true"), Body::Toml(failing), 400).await;

    let added = d.ask(world, ("POST", PLANS), PLANS, Body::Toml(failing), 201).await;
    assert_eq!(added.header("location"), "/api/v1/plans/failing");
    assert_eq!(added.json()["plan"]["state"], "idle");
    // Read your writes: the list has it at once.
    let list = d.ask(world, ("GET", PLANS), PLANS, Body::None, 200).await.json();
    assert_eq!(list["plans"][0]["name"], "failing");
    let again = d.ask(world, ("POST", PLANS), PLANS, Body::Toml(failing), 409).await;
    assert_eq!(again.json()["type"], "/api#problem-exists");
    d.ask(world, ("POST", PLANS), &dry, Body::Toml(failing), 409).await;
    let detail = d.ask(world, ("GET", PLAN), "/api/v1/plans/failing", Body::None, 200).await.json();
    assert_eq!(detail["text"], *failing);
    assert_eq!(detail["tasks"][1]["table"], "nothing");
    let line = FAILING.lines().position(|line| line == "[tasks.nothing]").unwrap() + 1;
    assert_eq!(detail["tasks"][1]["line"], line);
}

/// A plan that has not run has nothing to show, and that is no error.
async fn nothing_yet(d: &mut Described, world: &World) {
    let empty = |answer: Value, list: &str| assert_eq!(answer[list], json!([]), "{answer}");
    let plan = "/api/v1/plans/failing";
    empty(d.ask(world, ("GET", &of("/runs")), &format!("{plan}/runs"), Body::None, 200).await.json(), "runs");
    empty(
        d.ask(world, ("GET", &of("/tables")), &format!("{plan}/tables"), Body::None, 200).await.json(),
        "tables",
    );
    let rows = format!("{plan}/rows?table=numbers");
    empty(d.ask(world, ("GET", &of("/rows")), &rows, Body::None, 200).await.json(), "rows");
    for (template, path) in [
        (of("/rows"), format!("{plan}/rows?table=other")),
        (of("/runs/{run}"), format!("{plan}/runs/1")),
        (of("/runs/{run}/tasks"), format!("{plan}/runs/1/tasks")),
        (of("/runs"), "/api/v1/plans/nobody/runs".to_owned()),
        (of("/runs"), "/api/v1/plans/No%20Body/runs".to_owned()),
        (of("/runs"), "/api/v1/plans/%FF/runs".to_owned()),
        (of("/tables"), "/api/v1/plans/nobody/tables".to_owned()),
    ] {
        d.ask(world, ("GET", &template), &path, Body::None, 404).await;
    }
    d.ask(world, ("GET", &of("/rows")), &format!("{plan}/rows"), Body::None, 400).await;
    let retry = of("/retry");
    d.ask(world, ("POST", &retry), "/api/v1/plans/failing/retry", Body::None, 409).await;
}

async fn running(d: &mut Described, world: &World) {
    let start = of("/start");
    let unknown = Body::Json("{\"tasks\": [\"nobody\"]}");
    d.ask(world, ("POST", &start), "/api/v1/plans/failing/start", unknown, 422).await;
    let fresh = Body::Json("{\"unfinished\": \"fresh\", \"full_refresh\": true}");
    let begun = d.ask(world, ("POST", &start), "/api/v1/plans/failing/start", fresh, 200).await.json();
    assert_eq!(begun["run"], 1, "{begun}");
    let ended = world.until("/api/v1/plans/failing", |plan| {
        plan["plan"]["state"] == "failed" && !plan["report"].is_null()
    });
    let ended = ended.await;
    assert_eq!(ended["report"]["tasks"]["numbers"]["records"], 25);
    assert_eq!((&ended["tasks"][0]["done"], &ended["tasks"][1]["failed"]), (&json!(25), &json!(1)));
    d.ask(world, ("GET", PLAN), "/api/v1/plans/failing", Body::None, 200).await;
}

async fn looking(d: &mut Described, world: &World) {
    let plan = "/api/v1/plans/failing";
    let runs =
        d.ask(world, ("GET", &of("/runs")), &format!("{plan}/runs?limit=1"), Body::None, 200).await.json();
    assert_eq!((&runs["runs"][0]["run"], &runs["runs"][0]["state"]), (&json!(1), &json!("failed")));
    assert_eq!(runs["next"], Value::Null);
    let run =
        d.ask(world, ("GET", &of("/runs/{run}")), &format!("{plan}/runs/1"), Body::None, 200).await.json();
    assert_eq!(run["tasks"].as_array().unwrap().len(), 2);

    let tasks = of("/runs/{run}/tasks");
    let path = format!("{plan}/runs/1/tasks?state=failed");
    let failed = d.ask(world, ("GET", &tasks), &path, Body::None, 200).await.json();
    let failed = failed["requests"].as_array().unwrap();
    assert_eq!(failed.len(), 1);
    let failure = &failed[0]["failure"];
    assert_eq!((&failure["status"], &failure["kind"]), (&json!(404), &json!("status")), "{failure}");
    assert!(failure["request"].as_str().unwrap().starts_with("GET "), "{failure}");
    let line = usize::try_from(failure["line"].as_u64().unwrap()).unwrap();
    assert_eq!(failure["plan_line"], world.plan(FAILING).lines().nth(line - 1).unwrap());

    let (mut after, mut ids) = (String::new(), Vec::new());
    loop {
        let path = format!("{plan}/runs/1/tasks?limit=10&task=numbers{after}");
        let page = d.ask(world, ("GET", &tasks), &path, Body::None, 200).await.json();
        let page_ids = page["requests"].as_array().unwrap().iter().map(|one| one["id"].as_i64().unwrap());
        ids.extend(page_ids);
        let Some(next) = page["next"].as_i64() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(ids.len(), 25);
    assert!(ids.is_sorted_by(|a, b| a < b));

    let tables =
        d.ask(world, ("GET", &of("/tables")), &format!("{plan}/tables"), Body::None, 200).await.json();
    let numbers =
        tables["tables"].as_array().unwrap().iter().find(|table| table["name"] == "numbers").unwrap();
    assert_eq!((&numbers["rows"], &numbers["mode"]), (&json!(25), &json!("append")));
    let (mut before, mut rows) = (String::new(), Vec::new());
    loop {
        let path = format!("{plan}/rows?table=numbers&limit=10{before}");
        let page = d.ask(world, ("GET", &of("/rows")), &path, Body::None, 200).await.json();
        let width = page["columns"].as_array().unwrap().len();
        for row in page["rows"].as_array().unwrap() {
            assert_eq!(row["values"].as_array().unwrap().len(), width);
            rows.push(row["row"].as_i64().unwrap());
        }
        let Some(next) = page["next"].as_i64() else { break };
        before = format!("&before={next}");
    }
    assert_eq!(rows.len(), 25);
    assert!(rows.is_sorted_by(|a, b| a > b));
    for wrong in
        ["limit=0", "limit=1001", "limit=-1", "limit=x", "limit=1&limit=2", "state=odd", "other=1", "after=x"]
    {
        d.ask(world, ("GET", &tasks), &format!("{plan}/runs/1/tasks?{wrong}"), Body::None, 400).await;
    }
    for run in ["2", "0", "-1", "01", "+1", "x", "99999999999999999999", "1%20"] {
        d.ask(world, ("GET", &of("/runs/{run}")), &format!("{plan}/runs/{run}"), Body::None, 404).await;
    }
}

async fn operating(d: &mut Described, world: &World) {
    let slow = world.numbered("slow", 2000, ";slow=20ms");
    d.ask(world, ("POST", PLANS), PLANS, Body::Toml(&slow), 201).await;
    let plan = "/api/v1/plans/slow";
    let all = d.ask(world, ("POST", "/api/v1/start"), "/api/v1/start", Body::None, 200).await.json();
    assert_eq!(all["outcomes"].as_array().unwrap().len(), 2, "{all}");
    assert!(all["outcomes"].as_array().unwrap().iter().all(|one| one["problem"].is_null()), "{all}");
    let live = world.until(plan, |plan| plan["plan"]["counts"]["done"].as_u64() > Some(5)).await;
    assert_eq!(live["plan"]["state"], "running");
    d.ask(world, ("GET", PLAN), plan, Body::None, 200).await;
    let budgets = d.ask(world, ("GET", "/api/v1/budgets"), "/api/v1/budgets", Body::None, 200).await.json();
    let draws = |limit: &Value| limit["plans"].as_array().unwrap().iter().any(|user| user["plan"] == "slow");
    assert!(budgets["limits"].as_array().unwrap().iter().any(draws), "{budgets}");
    let workers = d.ask(world, ("GET", "/api/v1/workers"), "/api/v1/workers", Body::None, 200).await.json();
    assert_eq!(workers["workers"].as_array().unwrap().len(), 8);
    d.ask(world, ("POST", &of("/start")), &format!("{plan}/start"), Body::None, 409).await;

    let paused =
        d.ask(world, ("POST", &of("/pause")), &format!("{plan}/pause"), Body::None, 200).await.json();
    assert_eq!(paused["state"], "paused");
    let resumed =
        d.ask(world, ("POST", &of("/resume")), &format!("{plan}/resume"), Body::None, 200).await.json();
    assert_eq!(resumed["state"], "running");

    let text = slow.replace("to = 2000", "to = 3000");
    let dry =
        d.ask(world, ("PUT", PLAN), &format!("{plan}?dry_run=true"), Body::Toml(&text), 200).await.json();
    assert_eq!(dry["starts_over"], json!(["numbers"]));
    let replaced = d.ask(world, ("PUT", PLAN), plan, Body::Toml(&text), 200).await.json();
    assert_eq!((&replaced["changes"], &replaced["starts_over"]), (&dry["changes"], &dry["starts_over"]));
    d.ask(world, ("PUT", PLAN), plan, Body::Toml(FAILING), 422).await;
    d.ask(world, ("PUT", PLAN), "/api/v1/plans/nobody", Body::Toml(FAILING), 404).await;
    d.ask(world, ("PUT", PLAN), plan, Body::Toml("a = 1"), 422).await;

    let cancelled =
        d.ask(world, ("POST", &of("/cancel")), &format!("{plan}/cancel"), Body::None, 200).await.json();
    assert_eq!(cancelled["state"], "interrupted");
    d.ask(world, ("POST", "/api/v1/cancel"), "/api/v1/cancel", Body::None, 200).await;
    world
        .until("/api/v1/plans/failing", |plan| {
            plan["plan"]["state"] != "running" && plan["plan"]["busy"].is_null()
        })
        .await;
    let ended = world
        .until("/api/v1/plans/failing", |plan| {
            plan["plan"]["state"] != "interrupted" || plan["plan"]["busy"].is_null()
        })
        .await;
    if ended["plan"]["state"] == "interrupted" {
        d.ask(world, ("POST", &of("/start")), "/api/v1/plans/failing/start", Body::None, 200).await;
    }
    world.until("/api/v1/plans/failing", |plan| plan["plan"]["state"] == "failed").await;
    let retried =
        d.ask(world, ("POST", &of("/retry")), "/api/v1/plans/failing/retry", Body::None, 200).await.json();
    assert!(retried["run"].as_i64() > Some(1), "{retried}");
    d.ask(world, ("GET", "/metrics"), "/metrics", Body::None, 200).await;
}

async fn removing(d: &mut Described, world: &World) {
    let removed = d.ask(world, ("DELETE", PLAN), "/api/v1/plans/slow", Body::None, 200).await.json();
    assert!(removed["store"].as_str().unwrap().ends_with("stores/slow.db"), "{removed}");
    assert!(world.directory.path().join("stores/slow.db").exists());
    d.ask(world, ("DELETE", PLAN), "/api/v1/plans/slow", Body::None, 404).await;
    d.ask(world, ("GET", PLAN), "/api/v1/plans/slow", Body::None, 404).await;
}
