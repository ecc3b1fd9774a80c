//! No text makes the reader panic, and whatever it says has a place within the text.

use plan::{Diagnostics, load};
use proptest::prelude::*;

use crate::World;

const SEEDS: [&str; 3] = [
    include_str!("../valid/everything.toml"),
    include_str!("../invalid/several.toml"),
    include_str!("../invalid/rules.toml"),
];

/// Words that mean something to the format, to put where they do not belong.
const WORDS: [&str; 24] = [
    "{{",
    "}}",
    "\"",
    "'",
    "\"\"\"",
    "[",
    "]",
    "{",
    "}",
    "=",
    ",",
    "\n",
    "\\",
    "\\u00e9",
    "é",
    "\u{0}",
    "-9223372036854775808",
    "99999999999999999999",
    "1e999",
    "nan",
    "[tasks.x]",
    "{{ vars.",
    "| date(",
    "$vars.",
];

fn check(text: &str) {
    if let Err(diagnostics) = load("noise.toml", text, &World, &[]) {
        check_places(text, &diagnostics);
    }
}

fn check_places(text: &str, diagnostics: &Diagnostics) {
    assert!(diagnostics.errors() > 0, "refused without an error");
    for diagnostic in &diagnostics.list {
        let (start, end) = (diagnostic.place.start as usize, diagnostic.place.end as usize);
        assert!(text.get(start..end).is_some(), "{diagnostic:?}");
    }
    let _ = (diagnostics.render(true), diagnostics.github(), diagnostics.json());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_plans(
        seed in 0..SEEDS.len(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..12usize, 0..WORDS.len()), 1..6),
    ) {
        let mut text = SEEDS[seed].to_owned();
        for (at, cut, word) in edits {
            let start = text.floor_char_boundary(at.index(text.len() + 1));
            let end = text.ceil_char_boundary((start + cut).min(text.len()));
            text.replace_range(start..end, WORDS[word]);
        }
        check(&text);
    }

    #[test]
    fn any_text(text in "\\PC{0,200}") {
        check(&text);
    }
}

/// Nesting and length that no author writes, in every language a plan can hold.
#[test]
fn deep_and_long_texts_are_refused_in_time() {
    let head = "[plan]\nname = \"p\"\n[endpoints.a]\nbase_url = \"https://x.example\"\n[tasks.t]\n";
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(20_000), close.repeat(20_000));
    check(&format!("{head}get = \"/x\"\nrecords = '{}'\n", deep("[", "]")));
    check(&format!("{head}get = \"/x\"\nrecords = '{}'\n", deep("(", ")")));
    check(&format!("{head}get = \"/x\"\nmap = '{}'\n", deep("{a:", "}")));
    check(&format!("{head}get = '/{{{{ {} }}}}'\n", deep("(", ")")));
    check(&format!("{head}get = '/{{{{ {} }}}}'\n", deep("[", "]")));
    check(&format!("{head}get = \"/x\"\nquery = {{ a = {} }}\n", deep("[", "]")));
    check(&format!("{head}get = \"/x\"\njson = {}\n", deep("{a=", "}")));
    let many: String = (0..20_000).map(|n| format!("wrong{n} = {n}\n")).collect();
    check(&format!("{head}get = \"/x\"\n{many}"));
}
