//! No text makes the reader panic, and whatever it says has a place within the text.

use plan::{Diagnostics, changes, excesses, load, private_addresses, shown, with_held_secrets};
use proptest::prelude::*;

use crate::World;
use crate::excesses::BOUNDS;

const SEEDS: [&str; 4] = [
    include_str!("../valid/everything.toml"),
    include_str!("../valid/kinds.toml"),
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

/// Ways to write each key of a task: right ones, and ones that are wrong beside some others.
const TASK_KEYS: &[(&str, &[&str])] = &[
    (
        "query",
        &[
            "{ since = \"{{ cursor }}\" }",
            "{ day = \"{{ day.start }}\", n = 1 }",
            "{ page = 1 }",
            "{ a = \"{{ row.symbol }}\" }",
        ],
    ),
    ("json", &["{ a = \"{{ n }}\" }", "[1, 2]", "\"{{ issue }}\""]),
    ("form", &["{ a = \"{{ symbol }}\" }"]),
    ("body", &["\"{{ day.last | json }}\""]),
    ("headers", &["{ X-Day = \"{{ today }}\" }", "{ K = \"{{ secrets.s }}\" }"]),
    (
        "auth",
        &[
            "\"none\"",
            "{ bearer = \"{{ secrets.s }}\" }",
            "{ oauth2 = { grant = \"client_credentials\", token_url = \"/t\", client_id = \"i\", client_secret = \"{{ secrets.s }}\" } }",
            "{ oauth2 = { grant = \"password\", token_url = \"/t\", client_id = \"i\", username = \"u\", password = \"{{ secrets.s }}\", auth_style = \"basic\" } }",
            "{ login = { post = \"/s\", json = { a = 1 }, token = \".t\", send = { body = \"auth.token\", value = \"{{ token }}\" } } }",
            "{ hmac = { algorithm = \"sha1\", key = \"{{ secrets.s }}\", message = \"{{ path }}{{ nonce }}\", query = { s = \"{{ signature }}\" } } }",
            "{ jwt = { algorithm = \"HS256\", key = \"{{ secrets.s }}\", claims = { exp = 1 } } }",
        ],
    ),
    (
        "foreach",
        &[
            "{ symbol = [\"A\", \"B\"], n = { from = 1, to = 9 } }",
            "{ day = { every = \"1 day\", from = \"{{ cursor }}\", to = \"{{ now }}\", overlap = \"1h\" } }",
            "{ issue = { task = \"issues\", where = \".n > 0\", batch = 10 } }",
            "{ issue = { task = \"issues\", all = true }, day = { every = \"1 month\", from = \"{{ issue.at }}\", to = \"{{ today }}\" } }",
            "{ row = { file = \"symbols.csv\" }, issue = { task = \"t\" } }",
        ],
    ),
    ("zone", &["\"Asia/Shanghai\"", "\"Mars\""]),
    (
        "paginate",
        &[
            "{ by = \"page\", size = { param = \"n\", value = 10 }, pages = \".p\" }",
            "{ by = \"offset\", in = \"json\", param = \"a.b\", total = \".t\", until = \".d = 1\" }",
            "{ by = \"token\", in = \"path\", param = \"page\", next = \".n\", max_pages = 3 }",
            "{ by = \"link\" }",
        ],
    ),
    ("decode", &["\"csv\"", "\"xml\""]),
    ("records", &["\".[]\"", "\".data[] | select(.a)\""]),
    ("columns", &["\".c\""]),
    ("map", &["\"{id, at, s: $symbol}\"", "\"{x}\""]),
    ("where", &["\".a == 1\"", "\".a = 1\""]),
    ("fields", &["{ s = \"{{ symbol }}\", r = \"{{ record.id }}\" }"]),
    ("total", &["\".count\""]),
    ("cap", &["5", "6000"]),
    (
        "cursor",
        &[
            "{ field = \"at\", start = \"2024-01-01\", lookback = \"1d\", granularity = \"1s\" }",
            "{ field = \"id\", start = 0 }",
        ],
    ),
    ("table", &["\"issues\"", "\"T\""]),
    ("key", &["[\"id\"]", "[\"id\", \"at\"]"]),
    ("mode", &["\"append\"", "\"merge\"", "\"replace\"", "\"mirror\""]),
    ("deleted", &["\"mark\""]),
    ("types", &["{ at = \"timestamp\", id = \"int\" }"]),
    ("schema", &["\"frozen\""]),
    ("text", &["\"fail\""]),
    (
        "on",
        &[
            "[{ status = 403, do = \"reauth\" }, { status = \"4xx\", when = \".gone\", do = \"split\" }]",
            "[{ when = \".e\", do = \"wait\", for = \"1m\" }, { when = \".e\", do = \"stop\" }]",
        ],
    ),
    ("redirects", &["[\"https://cdn.example\"]", "\"none\""]),
    ("idempotency", &["\"Idempotency-Key\""]),
    ("cost", &["5", "\".c\"", "{ most = 9, actual = \"$status\" }", "{ most = 11, actual = \".c\" }"]),
    ("weight", &["3", "0"]),
    ("order", &["\"newest\""]),
];

/// A plan of two tasks that write what `said` picks of each key; 0 leaves a key out.
fn built(path: usize, said: &[usize]) -> String {
    let paths = [
        "get = \"/x\"",
        "post = \"/x/{{ symbol }}\"",
        "get = \"/x/{{ issue.id }}\"",
        "post = \"/{{ page }}\"",
    ];
    let mut text = "[plan]\nname = \"p\"\n[secrets]\ns = { env = \"S\" }\n[endpoints.a]\nbase_url = \"https://x.example\"\n\
                    [tasks.issues]\nget = \"/issues\"\nkey = [\"id\"]\n[tasks.t]\n"
        .to_owned();
    text.push_str(paths[path]);
    for ((key, values), pick) in TASK_KEYS.iter().zip(said) {
        if let Some(value) = pick.checked_sub(1).and_then(|pick| values.get(pick)) {
            text.push_str(&format!("\n{key} = {value}"));
        }
    }
    text.push('\n');
    text
}

/// Whether a plan loads; what is said about it has a place, and twice is said the same.
fn check(text: &str) -> bool {
    assert_eq!(changes(text, text), Vec::<String>::new(), "{text}");
    let _ = (changes(SEEDS[0], text), changes(text, SEEDS[0]), with_held_secrets(SEEDS[0], text));
    match load("noise.toml", text, &World, &[]) {
        Ok(loaded) => {
            let again = load("noise.toml", text, &World, &[]).map(|loaded| loaded.plan.tasks);
            assert_eq!(again.ok(), Some(loaded.plan.tasks.clone()), "{text}");
            assert_eq!(shown(text), loaded.plan.source.text);
            assert_eq!(with_held_secrets(&shown(text), text).as_deref().ok(), Some(text));
            let _ = excesses(&loaded.plan, &BOUNDS);
            let _ = private_addresses(&loaded.plan, &|_, _| false);
            true
        }
        Err(diagnostics) => {
            check_places(text, &diagnostics);
            let _ = with_held_secrets(&shown(text), text);
            false
        }
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

    /// Every key beside every other.
    #[test]
    fn built_plans(path in 0..4usize, said in prop::collection::vec((0..4u8, 0..8usize), TASK_KEYS.len())) {
        // Most keys are left out, or nearly every plan would be wrong in the same ways.
        let said: Vec<usize> = said.into_iter().map(|(often, pick)| if often == 0 { pick } else { 0 }).collect();
        check(&built(path, &said));
    }

    /// What stands in a limit is taken apart by hand.
    #[test]
    fn any_limit(
        rate in "[0-9_]{1,3} ?/ ?(s|min|h|day|week|month|3s|1d)|\\PC{0,10}",
        reserve in "[0-9_]{0,3} ?%?|\\PC{0,6}",
        resets in "((Mon|Sunday|[0-9]{1,2})\\s{1,2})?[0-9]{1,2}:[0-9]{1,2}\\s(UTC|Asia/Tokyo|\\PC{0,5})|(\\PC|\\s){0,16}",
        scope in "host|team|\\PC{0,6}",
    ) {
        let quoted = |text: &str| serde_json::Value::from(text.replace('\u{7f}', "")).to_string();
        check(&format!(
            "[plan]\nname = \"p\"\n[endpoints.a]\nbase_url = \"https://x.example\"\nlimits = [{}, {{ rate = {}, reserve = {}, resets = {}, scope = {} }}]\n[tasks.t]\nget = \"/x\"\n",
            quoted(&rate), quoted(&rate), quoted(&reserve), quoted(&resets), quoted(&scope),
        ));
    }

    /// So does what stands in a schedule.
    #[test]
    fn any_cron(
        cron in "([0-9*]{1,2}([,/-][0-9a-z]{1,3}){0,2}[ \\t]{1,2}){4,5}[a-z0-9*]{1,3}|(\\PC|\\s){0,16}",
        every in "[0-9]{1,12} ?(s|m|h|d|day|months)|\\PC{0,6}",
        zone in "UTC|Asia/Tokyo|\\PC{0,5}",
    ) {
        let quoted = |text: &str| serde_json::Value::from(text.replace('\u{7f}', "")).to_string();
        let head = "[plan]\nname = \"p\"\n[endpoints.a]\nbase_url = \"https://x.example\"\n[tasks.t]\nget = \"/x\"\n[schedule]\n";
        check(&format!("{head}cron = {}\nzone = {}\n", quoted(&cron), quoted(&zone)));
        check(&format!("{head}every = {}\n", quoted(&every)));
    }

    #[test]
    fn any_text(text in "\\PC{0,200}") {
        check(&text);
    }
}

/// Each key that needs no other is right on its own: else nothing of the above would get far.
#[test]
fn some_built_plans_are_right() {
    let needing =
        ["json", "form", "body", "query", "foreach", "map", "fields", "on", "cursor", "deleted", "order"];
    for (at, (key, values)) in TASK_KEYS.iter().enumerate().filter(|(_, (key, _))| !needing.contains(key)) {
        // The page in the path needs a path that has it.
        let path = if *key == "paginate" { 3 } else { 0 };
        let right = |pick: usize| {
            let mut said = vec![0; TASK_KEYS.len()];
            said[at] = pick;
            check(&built(path, &said))
        };
        assert!((1..=values.len()).any(right), "{key} alone is never right");
    }
}

/// What the fuzz targets (crates/plan/fuzz) have found, so that it stays found.
#[test]
fn what_fuzzing_found() {
    let head = "[plan]\nname = \"p\"\n[endpoints.a]\nbase_url = \"https://x.example\"\n[tasks.t]\n";
    for template in ["{{ \u{69b}  is_+duration(ey) }}", "{{ é or now - duration('1d') }}"] {
        check(&format!("{head}get = \"/{template}\"\n"));
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
