//! Wrong plans: `tests/invalid/NAME.toml`, and what is said about each in `NAME.stderr`.
//! `UPDATE_GOLDEN=1 cargo test -p plan --test it` writes the latter anew.

use std::fs;
use std::path::Path;

use plan::{Severity, load};

use crate::World;

#[test]
fn every_wrong_plan_is_told_what_is_wrong() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/invalid");
    #[expect(clippy::disallowed_methods, reason = "a switch for whoever changes a message on purpose")]
    let update = std::env::var("UPDATE_GOLDEN").is_ok();
    let mut count = 0;
    let mut wrong = Vec::new();
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for path in files.iter().filter(|path| path.extension().is_some_and(|ext| ext == "toml")) {
        count += 1;
        let text = fs::read_to_string(path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let diagnostics = match load(name, &text, &World, &[]) {
            Err(diagnostics) => diagnostics,
            Ok(_) => {
                wrong.push(format!("{name} was accepted"));
                continue;
            }
        };
        for diagnostic in &diagnostics.list {
            let place = diagnostic.place;
            let anchored = place.line > 0 && place.column > 0 && place.start <= place.end;
            let told = diagnostic.help.is_some() || diagnostic.label.is_some();
            if diagnostic.severity == Severity::Error && !(anchored && told) {
                wrong.push(format!("{name}: {} does not say where or what to do", diagnostic.message));
            }
        }
        let found = diagnostics.render(false);
        let golden = path.with_extension("stderr");
        if update {
            fs::write(&golden, &found).unwrap();
        } else if fs::read_to_string(&golden).unwrap_or_default() != found {
            wrong.push(format!("{name} now says:\n{found}"));
        }
    }
    assert!(count >= 198, "only {count} wrong plans");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn diagnostics_speak_to_machines_too() {
    let text = "[plan]\nname = \"p\"\n[endpoints.a]\nbase_url = \"https://x.example\"\nlimit = 1\n[tasks.t]\nget = \"/x\"\n";
    let diagnostics = load("plans/a,b.toml", text, &World, &[]).unwrap_err();
    assert_eq!(
        diagnostics.github(),
        "::error file=plans/a%2Cb.toml,line=5,col=1,title=unknown-key::[endpoints.a] has no key `limit`%0Ahelp: did you mean `limits`?\n"
    );
    let json = diagnostics.json();
    assert_eq!(json[0]["line"], 5);
    assert_eq!(json[0]["code"], "unknown-key");
    assert_eq!(json[0]["file"], "plans/a,b.toml");
    assert_eq!(
        &text[json[0]["start"].as_u64().unwrap() as usize..json[0]["end"].as_u64().unwrap() as usize],
        "limit"
    );
    assert!(diagnostics.render(true).contains("\u{1b}["), "colours when asked for");
    assert!(!diagnostics.render(false).contains('\u{1b}'), "none otherwise");
}

#[test]
fn a_wrong_override_names_the_variables() {
    let text = "[plan]\nname = \"p\"\n[vars]\nsince = 1\n[endpoints.a]\nbase_url = \"https://x.example\"\n[tasks.t]\nget = \"/x/{{ vars.since }}\"\n";
    let check = |key: &str, value: &str, expected: &str| {
        let overrides = [(key.to_owned(), value.to_owned())];
        let found = load("p.toml", text, &World, &overrides).unwrap_err().render(false);
        assert!(found.contains(expected), "{found}");
    };
    check("sinse", "2", "did you mean `since`?");
    check("zzz", "2", "variables in [vars]: `since`");
    check("since", "soon", "`since` must be an integer");
}
