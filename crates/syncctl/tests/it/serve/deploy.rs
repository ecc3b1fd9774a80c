//! The files for Docker, systemd and Compose: what they name exists, and the command lines in them are ones that this
//! program takes.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::harness::{Place, finished, repository};

fn deploy() -> PathBuf {
    repository().join("crates/rest-server/deploy")
}

fn text(name: &str) -> String {
    fs::read_to_string(deploy().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// `"serve", "--listen", "0.0.0.0:8787"` → its words.
fn quoted_words(list: &str) -> Vec<String> {
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Every call of syncctl in the files and their pages, without the program's name.
fn command_lines() -> Vec<Vec<String>> {
    let mut calls = Vec::new();
    let dockerfile = text("Dockerfile");
    for line in dockerfile.lines().map(str::trim).filter(|line| line.starts_with("CMD [")) {
        let words = quoted_words(line);
        calls.push(words.into_iter().filter(|word| !word.ends_with("/syncctl")).collect());
    }
    let compose = text("compose.yaml");
    let is_ours = |line: &&str| line.starts_with("command: [\"serve\"");
    calls.extend(compose.lines().map(str::trim).filter(is_ours).map(quoted_words));
    let unit = text("syncctl.service");
    for line in unit.lines().filter_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/syncctl ")) {
        calls.push(line.split(' ').filter(|word| !word.starts_with('$')).map(str::to_owned).collect());
    }
    for page in ["docker.md", "systemd.md", "compose.md"] {
        for line in text(page).lines().map(str::trim).filter_map(|line| line.strip_prefix("syncctl ")) {
            calls.push(line.split(' ').take_while(|word| *word != "#").map(str::to_owned).collect());
        }
        let text = text(page);
        // `serve --listen …`, also behind the name of an image, and options on their own.
        for code in text.split('`').skip(1).step_by(2) {
            let words: Vec<String> = code.split_whitespace().map(str::to_owned).collect();
            if let Some(at) = words.iter().position(|word| word == "serve") {
                calls.push(words[at..].to_vec());
            } else if words.first().is_some_and(|word| word.starts_with("--allow-") || word == "--token-file")
            {
                calls.push([vec!["serve".to_owned()], words].concat());
            }
        }
    }
    calls
}

/// Parsed by the program itself: `--help` ends a parse that has got so far, with what is wrong before it.
#[test]
fn command_lines_in_the_files_are_ours() {
    let calls = command_lines();
    assert!(calls.len() >= 8, "{calls:?}");
    let place = Place::new();
    for call in calls {
        let words: Vec<&str> = call.iter().map(String::as_str).collect();
        // Whatever stands for something has to be something.
        let words: Vec<&str> = words
            .into_iter()
            .map(|word| match word {
                "NAME:PORT" => "name:80",
                "NAME" | "FILE" => "x",
                word => word,
            })
            .collect();
        let mut options = words.clone();
        if options.last().is_some_and(|last| last.starts_with("--") && !last.contains('=')) {
            options.push("10.0.0.0/8");
        }
        options.push("--output-of-no-command");
        // All of it is read before the flag that nobody knows is complained of.
        let called = place.call(&options).exits(2);
        called.complains("unexpected argument '--output-of-no-command'");
    }
}

#[test]
fn what_the_files_name_exists() {
    let repository = repository();
    let dockerfile = text("Dockerfile");
    assert!(dockerfile.contains("docker build -f crates/rest-server/deploy/Dockerfile"));
    assert!(dockerfile.contains("-p syncctl"));
    let compose = text("compose.yaml");
    let named = |key: &str| -> Vec<String> {
        let of = |line: &str| line.trim().strip_prefix(key).map(|rest| rest.trim().to_owned());
        compose.lines().filter_map(of).collect()
    };
    for context in named("context:") {
        assert_eq!(deploy().join(context).canonicalize().unwrap(), repository);
    }
    for file in named("dockerfile:") {
        assert!(repository.join(&file).is_file(), "{file}");
    }
    assert!(compose.contains("./prometheus.yml:") && deploy().join("prometheus.yml").is_file());
    // One secret, under one name, everywhere.
    let secret = "/run/secrets/syncctl_token";
    for file in ["Dockerfile", "compose.yaml", "prometheus.yml", "docker.md"] {
        assert!(text(file).contains(secret), "{file}");
    }
    assert!(compose.contains("secrets: [syncctl_token]") && compose.contains("\n  syncctl_token:\n"));
    // Prometheus calls the server by a name that it answers to.
    assert!(
        text("prometheus.yml").contains("\"syncctl:8787\"")
            && compose.contains("\"--allow-host\", \"syncctl\"")
    );
    for page in ["docker.md", "systemd.md", "compose.md"] {
        let text = text(page);
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            assert!(link.starts_with("http") || deploy().join(link).is_file(), "{page} links to {link}");
        }
        for path in text.split([' ', '`', '"']).filter(|word| word.starts_with("crates/rest-server/deploy/"))
        {
            assert!(repository.join(path.trim_end_matches(['/', '.', ','])).exists(), "{page} names {path}");
        }
    }
    // Nothing in compose is published beyond this machine.
    for line in compose.lines().filter(|line| line.contains("ports:")) {
        assert!(line.contains("[\"127.0.0.1:"), "{line}");
    }
}

/// Where systemd is installed it judges the unit itself.
#[test]
fn the_unit_is_sound_and_closed() {
    let unit = text("syncctl.service");
    for wanted in
        ["Type=notify", "DynamicUser=yes", "NoNewPrivileges=yes", "CapabilityBoundingSet=\n", "MemoryMax="]
    {
        assert!(unit.contains(wanted), "{wanted}");
    }
    let mut command = Command::new("systemd-analyze");
    let path = deploy().join("syncctl.service");
    command.args(["security", "--offline=true", "--no-pager", "--threshold=20"]).arg(path);
    if command.output().is_err() {
        println!("systemd-analyze is not installed: the unit is not rated");
        return;
    }
    let called = finished(command);
    // The exit code says whether the exposure is above the threshold, in tenths.
    called.exits(0).says("Overall exposure level for syncctl.service:");
}
