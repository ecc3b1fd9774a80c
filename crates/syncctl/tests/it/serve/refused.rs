//! What a plan from the network may not read, name or run: refused when it comes in, with line and column; and allowed
//! where the server's owner says so.

use super::server::Server;
use crate::harness::Place;

/// Line 5 and behind is the plan's own.
fn plan(lines: &str) -> String {
    format!(
        "[plan]\nname = \"p\"\n\n{lines}\n[endpoints.api]\nbase_url = \"sandbox://tracker\"\nlimits = []\n\
         [tasks.t]\nget = \"/by-page-bare\"\nquery = {{ x = \"{{{{ vars.x }}}}\" }}\n"
    )
}

/// `[vars]` stands on line 4.
const VARS: &str = "[vars]\nx = \"1\"\n";

#[test]
fn nothing_of_the_machine_is_a_plans_to_read() {
    let place = Place::new();
    let secret = place.write("secret.txt", "S3CR3T-file");
    let secret = place.path().join(secret).to_string_lossy().into_owned();
    std::os::unix::fs::symlink(&secret, place.path().join("link")).unwrap();
    let link = place.path().join("link").to_string_lossy().into_owned();
    std::fs::create_dir(place.path().join("open")).unwrap();
    place.write("open/values.csv", "n\n1\n2\n");
    let open = place.path().join("open").to_string_lossy().into_owned();
    let mut command =
        place.command(&["serve", "--listen", "127.0.0.1:0", "--allow-env", "SYNCCTL_TEST_OPEN"]);
    command.args(["--allow-file", &open, "--allow-command", "printf"]);
    command.env("SYNCCTL_TEST_OPEN", "open").env("SYNCCTL_TEST_CLOSED", "S3CR3T-env");
    let server = Server::of(command, &place.path().join("state/syncctl/serve/token"));

    let secrets = |source: &str| plan(&format!("{VARS}[secrets]\nkey = {source}"));
    let vars = |source: &str| plan(&format!("[vars]\nx = {source}"));
    for (text, line, says) in [
        (secrets("{ env = \"SYNCCTL_TEST_CLOSED\" }"), 7, "SYNCCTL_TEST_CLOSED"),
        (secrets("{ env = \"PATH\" }"), 7, "--allow-env PATH"),
        (secrets("{ env = \"SYNCCTL_NOT_SET\" }"), 7, "--allow-env"),
        (secrets(&format!("{{ file = \"{secret}\" }}")), 7, "--allow-file"),
        (secrets(&format!("{{ file = \"{open}/../secret.txt\" }}")), 7, "--allow-file"),
        (secrets(&format!("{{ file = \"{link}\" }}")), 7, "--allow-file"),
        (secrets("{ file = \"/etc/passwd\" }"), 7, "--allow-file"),
        (secrets("{ file = \"secret.txt\" }"), 7, ""),
        (secrets("{ file = \"/proc/self/environ\" }"), 7, "--allow-file"),
        (secrets("{ command = [\"cat\", \"/etc/passwd\"] }"), 7, "--allow-command"),
        (secrets("{ command = [\"/usr/bin/printf\", \"x\"] }"), 7, "--allow-command"),
        (secrets("{ command = [\"./printf\", \"x\"] }"), 7, "--allow-command"),
        (vars("{ env = \"SYNCCTL_TEST_CLOSED\", default = \"d\" }"), 5, "SYNCCTL_TEST_CLOSED"),
        (vars("{ env = \"HOME\" }"), 5, "--allow-env HOME"),
        (
            plan(VARS).replace("query", "foreach = { n = { file = \"/etc/passwd.csv\" } }\nquery"),
            12,
            "--allow-file",
        ),
    ] {
        let answer = server.ask("POST", "/api/v1/plans", &text).is(422);
        let found = answer.json["diagnostics"].as_array().unwrap();
        let errors: Vec<_> = found.iter().filter(|one| one["severity"] == "error").collect();
        assert!(!errors.is_empty(), "{}", answer.text);
        for error in errors {
            assert_eq!(error["line"], line, "{text}\n{}", answer.text);
            assert!(error["column"].as_u64() > Some(0), "{}", answer.text);
        }
        assert!(answer.text.contains(says), "{text}\n{}", answer.text);
        assert!(!answer.text.contains("S3CR3T") && !answer.text.contains("root:"), "{}", answer.text);
    }
    for text in [
        secrets("{ env = \"SYNCCTL_TEST_OPEN\" }"),
        secrets(&format!("{{ file = \"{open}/values.csv\" }}")),
        secrets("{ command = [\"printf\", \"x\"] }"),
        vars("{ env = \"SYNCCTL_TEST_OPEN\" }"),
        plan(VARS)
            .replace("query", &format!("foreach = {{ n = {{ file = \"{open}/values.csv\" }} }}\nquery")),
    ] {
        server.ask("POST", "/api/v1/plans?dry_run=true", &text).is(200);
    }

    // The client shows the place in the file.
    place.write("bad.toml", &secrets("{ env = \"SYNCCTL_TEST_CLOSED\" }"));
    let called = server.plans(&place, &["add", "bad.toml"]).exits(2);
    called.complains("bad.toml:7:").complains("key = { env = \"SYNCCTL_TEST_CLOSED\" }").complains("^^^");
}

#[test]
fn stores_stay_below_their_root() {
    let place = Place::new();
    std::fs::create_dir_all(place.path().join("elsewhere/deep")).unwrap();
    std::fs::create_dir_all(place.path().join("stores")).unwrap();
    let elsewhere = place.path().join("elsewhere");
    std::os::unix::fs::symlink(&elsewhere, place.path().join("stores/way-out")).unwrap();
    let allowed = place.path().join("allowed");
    let server =
        Server::start(&place, &["--store-root", "stores", "--allow-store", &allowed.to_string_lossy()]);
    let with = |path: &str| plan(&format!("{VARS}[store]\nsqlite = {path:?}"));
    for path in [
        "../escaped.db",
        "deep/../../escaped.db",
        "/tmp/syncctl-escaped.db",
        "/etc/cron.d/x",
        "way-out/escaped.db",
        ".hidden.db",
        "a/.git/x.db",
        "serve.db/../x.db",
        "x\u{202e}.db",
        "with space.db",
        "C:\\x.db",
        "~/x.db",
        "%2e%2e/x.db",
        "",
        &"x".repeat(300),
        &place.path().join("state/syncctl/serve/serve.db").to_string_lossy(),
        &place.path().join("state/syncctl/budgets.db").to_string_lossy(),
    ] {
        let answer = server.ask("POST", "/api/v1/plans", &with(path)).is(422);
        let first = &answer.json["diagnostics"][0];
        assert_eq!(first["line"], 7, "{path}: {}", answer.text);
        assert!(first["column"].as_u64() > Some(0), "{path}: {}", answer.text);
    }
    for (name, path) in [
        ("a", "fine.db".to_owned()),
        ("b", "deep/er/fine.db".to_owned()),
        ("c", allowed.join("x.db").to_string_lossy().into_owned()),
    ] {
        let text = with(&path).replace("name = \"p\"", &format!("name = \"{name}\""));
        server.run(name, &text);
        server.until(name, |plan| plan["busy"].is_null() && !plan["last"].is_null());
    }
    assert!(
        place.path().join("stores/fine.db").exists() && place.path().join("stores/deep/er/fine.db").exists()
    );
    assert!(allowed.join("x.db").exists());
    let there: Vec<_> =
        std::fs::read_dir(&elsewhere).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(there, ["deep"]);
    assert!(!place.path().join("escaped.db").exists());
}

#[test]
fn postgres_is_for_plans_whose_owner_allowed_it() {
    let place = Place::new();
    let text = plan(&format!("{VARS}[store]\npostgres = \"postgres://me:S3CR3T-db@db.example/x\""));
    let refusing = Server::start(&place, &[]);
    let answer = refusing.ask("POST", "/api/v1/plans", &text).is(422);
    let found = answer.json["diagnostics"].as_array().unwrap();
    let error = found.iter().find(|one| one["severity"] == "error").unwrap();
    assert_eq!((error["line"].as_u64(), error["column"].as_u64()), (Some(7), Some(12)), "{}", answer.text);
    assert!(
        answer.text.contains("--allow-store postgres") && !answer.text.contains("S3CR3T"),
        "{}",
        answer.text
    );
    drop(refusing);
    let allowing = Server::start(&place, &["--allow-store", "postgres"]);
    let added = allowing.ask("POST", "/api/v1/plans", &text).is(201);
    let shown = allowing.ask("GET", "/api/v1/plans/p", "").is(200);
    assert!(!format!("{}{}", added.text, shown.text).contains("S3CR3T"), "{}", shown.text);
    // A store elsewhere is not allowed by that.
    allowing.ask("POST", "/api/v1/plans", &text.replace("postgres = ", "sqlite = ")).is(422);
    let file = plan(&format!("{VARS}[store]\nsqlite = \"/tmp/postgres\""));
    allowing.ask("POST", "/api/v1/plans?dry_run=true", &file).is(422);
}
