//! Any text as a plan: it is refused with places within the text, or loaded; never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plan::{Lookup, load, resolve_secrets};

/// A world in which every name gives its own text, so that files are read and secrets are had.
struct Echo;

impl Lookup for Echo {
    fn env(&self, name: &str) -> Result<Option<String>, String> {
        Ok((name.len() % 2 == 0).then(|| name.to_owned()))
    }

    fn file(&self, path: &str) -> Result<String, String> {
        match path.split_once(':') {
            Some((text, _)) => Ok(text.to_owned()),
            None => Err("no such file".to_owned()),
        }
    }

    fn command(&self, argv: &[String]) -> Result<String, String> {
        Ok(argv.concat())
    }
}

fuzz_target!(|text: &str| match load("fuzz.toml", text, &Echo, &[]) {
    Ok(loaded) => {
        for task in &loaded.plan.tasks {
            assert_eq!(task.fingerprint.len(), 32);
            let _ = (task.parent(), task.sliced().count());
        }
        let _ = resolve_secrets(&loaded.plan, &Echo);
    }
    Err(found) => {
        assert!(found.errors() > 0, "refused without an error");
        for diagnostic in &found.list {
            let (start, end) = (diagnostic.place.start as usize, diagnostic.place.end as usize);
            assert!(text.get(start..end).is_some(), "{diagnostic:?}");
        }
        let _ = (found.render(true), found.github(), found.json());
    }
});
