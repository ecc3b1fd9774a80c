//! What plans may look up: nothing but what was allowed, and no secret ever comes out again.

use entities::PlanState;
use service::{Allowances, Service, ServiceError};

use crate::world::{World, all, complete, plan_name, until};

/// The first error of a text, with its line; none if it is accepted.
async fn refused(service: &Service, text: &str) -> Option<(u32, String, String)> {
    match service.check(text.to_owned()).await {
        Ok(_) => None,
        Err(ServiceError::Invalid(diagnostics)) => {
            let errors = diagnostics.list.iter().filter(|of| of.severity == plan::Severity::Error);
            let first = errors.min_by_key(|of| of.place.start).unwrap().clone();
            assert!(first.place.line > 0 && first.place.column > 0, "{first:?}");
            Some((first.place.line, first.message, first.help.unwrap_or_default()))
        }
        Err(other) => panic!("{other}"),
    }
}

/// Ways to look something up: what, and what allows it.
fn lookups(world: &World) -> Vec<(String, &'static str)> {
    let file = world.directory.path().join("words.txt").display().to_string();
    let list = world.directory.path().join("list.csv").display().to_string();
    vec![
        ("[secrets]\ns = { env = \"TOKEN\" }\n[tasks.z]\nget = \"/small/1?t={{ secrets.s }}\"\n".into(), "env"),
        ("[vars]\nv = { env = \"TOKEN\" }\n[tasks.z]\nget = \"/small/1?t={{ vars.v }}\"\n".into(), "env"),
        // A default does not help: whether it is set is not theirs to know.
        (
            "[vars]\nv = { env = \"TOKEN\", default = \"x\" }\n[tasks.z]\nget = \"/small/1?t={{ vars.v }}\"\n"
                .into(),
            "env",
        ),
        (format!("[secrets]\ns = {{ file = {file:?} }}\n[tasks.z]\nget = \"/small/1?t={{{{ secrets.s }}}}\"\n"), "file"),
        (format!("[tasks.z]\nget = \"/small/{{{{ r.n }}}}\"\nforeach = {{ r = {{ file = {list:?} }} }}\n"), "file"),
        ("[secrets]\ns = { command = [\"say\", \"hush\"] }\n[tasks.z]\nget = \"/small/1?t={{ secrets.s }}\"\n".into(), "command"),
    ]
}

#[tokio::test]
async fn nothing_is_looked_up_that_was_not_allowed() {
    let mut world = World::new().await;
    std::fs::write(world.directory.path().join("words.txt"), "hush\n").unwrap();
    std::fs::write(world.directory.path().join("list.csv"), "n\n1\n2\n").unwrap();
    world.outside.env.lock().unwrap().insert("TOKEN".to_owned(), "hush-hush".to_owned());
    for allow in ["", "env", "file", "command"] {
        world.allowances = Allowances {
            env: if allow == "env" { vec!["TOKEN".to_owned()] } else { Vec::new() },
            files: if allow == "file" { vec![world.directory.path().to_path_buf()] } else { Vec::new() },
            commands: if allow == "command" { vec!["say".to_owned()] } else { Vec::new() },
            stores: Vec::new(),
            postgres: false,
        };
        let service = world.open().await;
        for (lookup, needs) in lookups(&world) {
            let text = world.numbered("a", 1, "", &lookup);
            let found = refused(&service, &text).await;
            assert_eq!(found.is_none(), allow == needs, "{allow}: {lookup} {found:?}");
            if let Some((line, message, help)) = found {
                let shown = format!("{message} {help}");
                assert!(shown.contains(&format!("--allow-{needs}")), "{lookup}: {shown}");
                assert!(line > 10 && !shown.contains("hush-hush"), "{line} {shown}");
            }
        }
        service.shutdown().await;
    }
}

#[tokio::test]
async fn files_are_told_by_where_they_really_are() {
    let mut world = World::new().await;
    let (inside, outside) = (world.directory.path().join("in"), world.directory.path().join("out"));
    std::fs::create_dir_all(&inside).unwrap();
    std::fs::create_dir_all(&outside).unwrap();
    std::fs::write(inside.join("a"), "hush").unwrap();
    std::fs::write(outside.join("a"), "hush").unwrap();
    std::os::unix::fs::symlink(outside.join("a"), inside.join("link")).unwrap();
    std::os::unix::fs::symlink(inside.join("a"), outside.join("back")).unwrap();
    world.allowances.files = vec![inside.clone()];
    let service = world.open().await;
    for (path, good) in [
        (inside.join("a").display().to_string(), true),
        (inside.join("./a").display().to_string(), true),
        (inside.join("link").display().to_string(), false),
        (inside.join("../out/a").display().to_string(), false),
        (inside.join("../in/a").display().to_string(), false),
        (outside.join("a").display().to_string(), false),
        (outside.join("back").display().to_string(), false),
        ("/proc/self/environ".to_owned(), false),
        ("/etc/passwd".to_owned(), false),
        ("a".to_owned(), false),
        ("../in/a".to_owned(), false),
        (inside.join("nothing").display().to_string(), false),
    ] {
        let text = format!(
            "[secrets]\ns = {{ file = {path:?} }}\n[tasks.z]\nget = \"/small/1?t={{{{ secrets.s }}}}\"\n"
        );
        let found = refused(&service, &world.numbered("a", 1, "", &text)).await;
        assert_eq!(found.is_none(), good, "{path}: {found:?}");
    }
    service.shutdown().await;
}

#[tokio::test]
async fn private_addresses_are_refused_where_they_stand() {
    let mut world = World::new().await;
    world.private = false;
    let service = world.open().await;
    let (line, message, help) = refused(&service, &world.numbered("a", 1, "", "")).await.unwrap();
    assert_eq!(line, 4);
    assert!(message.contains("127.0.0.1") && help.contains("--allow-private"), "{message} {help}");
    service.shutdown().await;
}

#[tokio::test]
async fn a_secret_written_into_a_plan_is_not_shown_and_can_be_kept() {
    let world = World::new().await;
    let service = world.open().await;
    let name = plan_name("a");
    let with = |secret: &str, count: u32| {
        let more = format!("query = {{ t = \"{{{{ secrets.s }}}}\" }}\n[secrets]\ns = \"{secret}\"\n");
        world.numbered("a", count, "", &more)
    };
    let (_, warnings) = service.add(with("CANARY-1234", 5)).await.unwrap();
    assert_eq!(warnings.len(), 1, "that it is there is worth a warning");
    let detail = service.detail(&name).await.unwrap();
    assert!(!format!("{detail:?}").contains("CANARY"), "{}", detail.text);
    assert!(detail.text.contains("***"));
    // The text as it was shown, edited.
    let edited = detail.text.replace("to = 5", "to = 7");
    let replaced = service.replace(&name, edited, false).await.unwrap();
    assert!(!format!("{replaced:?}").contains("CANARY"));
    service.start(&name, all()).await.unwrap();
    complete(&service, "a").await;
    let log = world.sandbox.log();
    let with_secret = |request: &&sandbox::LoggedRequest| format!("{request:?}").contains("CANARY-1234");
    assert_eq!((log.len(), log.iter().filter(with_secret).count()), (7, 7));
    service.shutdown().await;
    let service = world.open().await;
    assert!(!format!("{:?}", service.detail(&name).await.unwrap()).contains("CANARY"));
    service.shutdown().await;
    use std::os::unix::fs::PermissionsExt as _;
    for (path, mode) in [(world.data(), 0o700), (world.data().join("serve.db"), 0o600)] {
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode, "{path:?}");
    }
}

#[tokio::test]
async fn a_plan_that_may_no_longer_look_up_what_it_needs_stays_and_says_so() {
    let mut world = World::new().await;
    world.outside.env.lock().unwrap().insert("TOKEN".to_owned(), "hush-hush".to_owned());
    world.allowances.env = vec!["TOKEN".to_owned()];
    let more = "query = { t = \"{{ vars.t }}\" }\n[vars]\nt = { env = \"TOKEN\" }\n";
    let service = world.open().await;
    let name = plan_name("a");
    service.add(world.numbered("a", 5, "", more)).await.unwrap();
    service.shutdown().await;
    world.allowances.env.clear();
    let service = world.open().await;
    let detail = service.detail(&name).await.unwrap();
    assert!(detail.plan.is_none() && detail.diagnostics.len() == 1);
    assert!(detail.view.problem.unwrap().contains("TOKEN"));
    assert!(matches!(service.start(&name, all()).await, Err(ServiceError::Invalid(_))));
    service.replace(&name, world.numbered("a", 5, "", ""), false).await.unwrap();
    service.start(&name, all()).await.unwrap();
    complete(&service, "a").await;
    service.shutdown().await;
}

#[tokio::test]
async fn a_secret_that_is_gone_at_the_start_is_a_problem_that_names_it() {
    let mut world = World::new().await;
    world.outside.env.lock().unwrap().insert("TOKEN".to_owned(), "hush-hush".to_owned());
    world.allowances.env = vec!["TOKEN".to_owned()];
    let more = "query = { t = \"{{ secrets.s }}\" }\n[secrets]\ns = { env = \"TOKEN\" }\n";
    let service = world.open().await;
    let name = plan_name("a");
    service.add(world.numbered("a", 5, "", more)).await.unwrap();
    world.outside.env.lock().unwrap().clear();
    assert!(matches!(service.start(&name, all()).await, Err(ServiceError::Invalid(_))));
    let problem = service.detail(&name).await.unwrap().view.problem.unwrap();
    assert!(problem.contains("TOKEN") && problem.contains("line"), "{problem}");
    world.outside.env.lock().unwrap().insert("TOKEN".to_owned(), "hush-hush".to_owned());
    service.start(&name, all()).await.unwrap();
    assert_eq!(complete(&service, "a").await.problem, None);
    service.shutdown().await;
}

#[tokio::test]
async fn what_all_plans_share_has_bounds_that_a_plan_cannot_raise() {
    let world = World::new().await;
    let service = world.open().await;
    for (keys, line) in [
        ("max_body = \"256MiB\"", None),
        ("max_body = \"257MiB\"", Some(6)),
        ("timeout = { connect = \"1h\", idle = \"1h\", total = \"1h\" }", None),
        ("timeout = { total = \"61m\" }", Some(6)),
        ("concurrency = 1\ntimeout = { idle = \"2h\", total = \"2h\" }", Some(7)),
    ] {
        let text = world.numbered("a", 1, "", "").replace("concurrency = 4", keys);
        let found = refused(&service, &text).await;
        assert_eq!(found.as_ref().map(|(line, _, _)| *line), line, "{keys}: {found:?}");
        assert!(found.is_none_or(|(_, _, help)| help.contains("server's owner")), "{keys}");
    }
    for (retry, good) in [
        ("attempts = 100, backoff = \"1s..1h\"", true),
        ("attempts = 101", false),
        ("backoff = \"1s..2h\"", false),
    ] {
        let text = world.numbered("a", 1, "", "").replace("attempts = 3, backoff = \"10ms..50ms\"", retry);
        assert_eq!(refused(&service, &text).await.is_none(), good, "{retry}");
    }
    service.shutdown().await;
}

#[tokio::test]
async fn a_secret_that_is_held_goes_to_no_other_host() {
    let world = World::new().await;
    let service = world.open().await;
    let name = plan_name("a");
    let headers = "headers = { X-Api-Key = \"CANARY-1234\" }\nlimits = []";
    let text = world.numbered("a", 5, "", "").replace("limits = []", headers);
    let (_, warnings) = service.add(text.clone()).await.unwrap();
    assert_eq!(warnings.iter().map(|warning| warning.code).collect::<Vec<_>>(), ["literal-secret"]);
    let detail = service.detail(&name).await.unwrap();
    assert!(!format!("{}{warnings:?}", detail.text).contains("CANARY") && detail.text.contains("\"***"));
    let elsewhere = detail.text.replace(&world.sandbox.origin(), "https://elsewhere.example");
    match service.replace(&name, elsewhere, false).await {
        Err(ServiceError::Invalid(found)) => {
            let said = found.render(false);
            assert!(said.contains("masked-secret") && said.contains("https://elsewhere.example"), "{said}");
            assert!(!said.contains("CANARY"), "{said}");
        }
        other => panic!("{other:?}"),
    }
    // Nothing has changed, and elsewhere on the same host it may go.
    assert_eq!(service.detail(&name).await.unwrap().text, detail.text);
    let edited = detail.text.replace("to = 5", "to = 7").replace("small", "./small");
    service.replace(&name, edited, false).await.unwrap();
    assert!(service.detail(&name).await.unwrap().text.contains("to = 7"));
    // Written anew it may go anywhere.
    let anew = text.replace(&world.sandbox.origin(), "https://elsewhere.example");
    service.replace(&name, anew, false).await.unwrap();
    service.shutdown().await;
}

#[tokio::test]
async fn a_credential_in_a_query_is_in_no_failure() {
    let world = World::new().await;
    let service = world.open().await;
    let name = plan_name("a");
    let more = "query = { api_key = \"CANARY-1234\" }\n";
    service.add(world.numbered("a", 2, "", more).replace("/small/", "/nothing/")).await.unwrap();
    service.start(&name, all()).await.unwrap();
    until(&service, "a", |view| view.state == PlanState::Failed && view.busy.is_none()).await;
    assert!(world.sandbox.log().iter().any(|request| format!("{request:?}").contains("CANARY-1234")));
    service.shutdown().await;
    // The ledger, and the server's own file, which holds the plan's text.
    for (path, expected) in [(world.stores().join("a.db"), false), (world.data().join("serve.db"), true)] {
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend(std::fs::read(path.with_extension("db-wal")).unwrap_or_default());
        assert!(bytes.windows(8).any(|part| part == b"/nothing") || expected, "the failure is there");
        assert_eq!(bytes.windows(6).any(|part| part == b"CANARY"), expected, "{path:?}");
    }
}
