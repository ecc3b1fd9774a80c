//! Help, mistakes, completions, the manual: what needs no run.

use crate::harness::{Place, published};

#[test]
fn help_shows_commands_examples_and_exit_codes() {
    let help = Place::new().call(&["--help"]).exits(0);
    for text in ["Examples:", "Exit codes:", "130"] {
        assert!(help.stdout.contains(text), "no {text:?} in\n{}", help.stdout);
    }
    for command in [
        "init",
        "schema",
        "run",
        "validate",
        "doctor",
        "preview",
        "explain",
        "status",
        "failures",
        "retry",
        "trace",
        "serve",
        "plans",
        "completions",
        "man",
    ] {
        assert!(help.stdout.contains(&format!("\n  {command} ")), "no {command} in\n{}", help.stdout);
        Place::new().call(&[command, "--help"]).exits(0).says("Examples:");
    }
    // A newcomer's order.
    let order = help.stdout.split_once("In this order").unwrap().1;
    let at = |text: &str| order.find(&format!("syncctl {text} ")).unwrap();
    let order: Vec<usize> =
        ["init", "validate", "doctor", "preview", "explain", "run", "failures", "retry"].map(at).to_vec();
    assert!(order.is_sorted(), "{}", help.stdout);
}

#[test]
fn the_flags_of_run_are_those_of_the_design() {
    let help = Place::new().call(&["run", "--help"]).exits(0).stdout;
    let flags: Vec<&str> = help
        .lines()
        .filter_map(|line| line.trim().strip_prefix("--"))
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(flags, ["set", "fresh", "resume", "full-refresh", "workers", "wait", "progress", "output"]);
}

#[test]
fn mistakes_exit_with_2_and_say_the_way_out() {
    let place = Place::new();
    place.write("plans/quickstart.toml", "");
    let check = |arguments: &[&str], complaint: &str| {
        let called = place.call(arguments).exits(2).complains(complaint);
        assert_eq!(called.stdout, "", "{arguments:?}");
    };
    check(&[], "Usage: syncctl");
    check(&["statsu", "plan.toml"], "'status'");
    check(&["run", "plan.toml", "--progres", "none"], "'--progress'");
    check(&["run", "plan.toml", "--progress", "bars"], "possible values: auto, bar, plain, json, none");
    check(&["run", "plan.toml", "--fresh", "--resume"], "cannot be used with");
    check(&["run", "plan.toml", "--wait", "2 hours"], "500ms, 30s, 5m, 2h, 1d");
    check(&["run", "plan.toml", "--set", "since"], "NAME=VALUE");
    check(&["run", "plan.toml", "--workers", "0"], "1..=10000");
    check(&["run", "plans/quikstart.toml"], "did you mean `plans/quickstart.toml`?");
    check(&["run", "nothing-like-it.toml"], "here are plans/quickstart.toml");
    check(&["run", "plans"], "it is a directory");
    check(&["trace", "plan.toml", "bars"], "<KEY>...");
}

#[test]
fn a_plan_that_is_not_text_is_refused() {
    let place = Place::new();
    std::fs::write(place.path().join("plan.toml"), b"[plan]\nname = \"\xff\"").unwrap();
    place.call(&["run", "plan.toml"]).exits(2).complains("not UTF-8 text (byte 15)");
}

#[test]
fn an_unknown_task_is_named() {
    let place = Place::new();
    let called = place.call(&["run", &published("quickstart.toml"), "commnets"]).exits(2);
    called.complains("has no task `commnets`").complains("did you mean `comments`?");
    assert!(!place.path().join("quickstart.db").exists());
}

#[test]
fn completions_and_the_manual_are_there() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        place.call(&["completions", shell]).exits(0).says("full-refresh");
    }
    let manual = place.call(&["man"]).exits(0);
    for text in [
        ".TH syncctl 1",
        ".SH SYNCCTL RUN",
        ".SH SYNCCTL PLANS ADD",
        "full\\-refresh",
        ".SS EXAMPLES",
        ".SH EXIT STATUS\n.nf\n",
    ] {
        assert!(manual.stdout.contains(text), "no {text:?} in\n{}", manual.stdout);
    }
    // Columns stay columns: filling is off around them.
    let lines: Vec<&str> = manual.stdout.lines().collect();
    for (at, _) in lines.iter().enumerate().filter(|(_, line)| line.ends_with(" EXAMPLES")) {
        assert_eq!(lines[at + 1], ".nf", "{}", lines[at]);
    }
    assert!(lines.contains(&"  130  interrupted; resumable"), "{}", manual.stdout);
    // All that the command reads is told.
    let context = include_str!("../../src/context.rs");
    let read: Vec<&str> = context
        .split('"')
        .filter(|word| word.contains(['_', 'M']) && word.chars().all(|c| c.is_ascii_alphabetic() || c == '_'))
        .filter(|word| *word != "SYNCCTL_SABOTAGE")
        .collect();
    assert!(read.contains(&"XDG_STATE_HOME") && read.contains(&"https_proxy"), "{read:?}");
    for name in read.into_iter().chain([".SH ENVIRONMENT", ".SH FILES", "budgets.db", "PLAN.db"]) {
        assert!(manual.stdout.contains(name), "no {name:?} in\n{}", manual.stdout);
    }
}
