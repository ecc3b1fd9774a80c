//! A property-based client made from `openapi.json`: it knows nothing of the server but what the document says, and
//! finds neither a 5xx nor an answer that is not as described.

use std::process::Stdio;

use tokio::process::Command;

use crate::world::{Body, TOKEN, World};

/// What is not checked, and why.
const EXCLUDED: &[(&str, &str)] = &[
    (
        "positive_data_acceptance",
        "what a plan is, and which tasks and tables it has, cannot be said in a schema",
    ),
    ("ensure_resource_availability", "a dry run of POST succeeds and adds nothing"),
];

/// Of each operation. Half a minute's worth; `SCHEMATHESIS_EXAMPLES` asks for more, `SCHEMATHESIS_SEED` for others.
const EXAMPLES: &str = "50";

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing() {
    let is_there = Command::new("schemathesis").arg("--version").stdout(Stdio::null()).status().await;
    #[expect(clippy::disallowed_methods, reason = "the switches of this test")]
    let [ci, examples, seed] =
        ["CI", "SCHEMATHESIS_EXAMPLES", "SCHEMATHESIS_SEED"].map(|name| std::env::var(name).ok());
    if !is_there.is_ok_and(|status| status.success()) {
        assert!(ci.as_deref() != Some("true"), "schemathesis is not installed: pip install schemathesis");
        println!("schemathesis is not installed: what it would find is not known");
        return;
    }
    let world = World::new().await;
    for name in ["p", "q"] {
        let plan = world.numbered(name, 20, "");
        assert_eq!(world.ask("POST", "/api/v1/plans", Body::Toml(&plan)).await.status, 201);
        assert_eq!(world.ask("POST", &format!("/api/v1/plans/{name}/start"), Body::None).await.status, 200);
        let path = format!("/api/v1/plans/{name}");
        world.until(&path, |plan| plan["plan"]["state"] == "complete").await;
    }
    let excluded: Vec<&str> = EXCLUDED.iter().map(|(check, _)| *check).collect();
    let directory = tempfile::tempdir().unwrap();
    let found = Command::new("schemathesis")
        .current_dir(directory.path())
        .env("SCHEMATHESIS_HOOKS", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/schemathesis_hooks.py"))
        .arg("run")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json"))
        .args(["--url", &format!("http://{}", world.address)])
        .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
        .args(["--seed", seed.as_deref().unwrap_or("5")])
        .args(["--max-examples", examples.as_deref().unwrap_or(EXAMPLES)])
        .args(["--checks", "all", "--exclude-checks", &excluded.join(",")])
        // Its answer does not end.
        .args(["--exclude-path", "/api/v1/events"])
        .args(["--request-timeout", "20", "--no-color", "--generation-database", "none"])
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&found.stdout);
    assert!(found.status.success(), "{said}\n{}", String::from_utf8_lossy(&found.stderr));
    // It did look: the summary says "799 generated, 799 passed".
    let words: Vec<&str> = said.split_whitespace().collect();
    let generated =
        words.windows(2).find(|pair| pair[1] == "generated,").and_then(|pair| pair[0].parse().ok());
    assert!(generated.is_some_and(|cases: u32| cases > 300), "{said}");
}
