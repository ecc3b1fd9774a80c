//! jq: what paths and programs give, and what is refused.

use entities::JqText;
use expr::{Jq, JqScope, PlainPath};
use serde_json::{Map, Value, json};

pub(crate) fn with_scope<T>(f: impl FnOnce(&JqScope<'_>) -> T) -> T {
    let object = |value: Value| match value {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    let headers = object(json!({"link": "x"}));
    let vars = object(json!({"n": 2}));
    let bindings = object(json!({"repo": "a/b"}));
    f(&JqScope { status: Some(200), headers: &headers, vars: &vars, bindings: &bindings })
}

pub(crate) fn compile(source: &str) -> Result<Jq, expr::ExprError> {
    Jq::compile(&JqText::new(source), &["repo"])
}

fn run(source: &str, input: &Value) -> Result<Vec<Value>, String> {
    let jq = compile(source).map_err(|error| error.message)?;
    with_scope(|scope| jq.run(input, scope)).map_err(|error| error.message)
}

fn input() -> Value {
    serde_json::from_str(
        r#"{"data": {"items": [{"id": 1}, {"id": 2}], "a b": 3, "none": null},
            "big": 123456789012345678901234567890, "dec": 0.10000000000000000000000001, "i": 9007199254740993,
            "fields": ["a", "b"], "rows": [[1, 2], [3, 4]], "n": 3}"#,
    )
    .unwrap()
}

#[test]
fn outputs() {
    for (source, expected) in [
        (".data.items[]", r#"[{"id":1},{"id":2}]"#),
        (".data.items[].id", "[1,2]"),
        (" .data [ \"a b\" ] ", "[3]"),
        (".data.\"a b\"", "[3]"),
        (".rows[-1][0]", "[3]"),
        (".missing.items[]?", "[]"),
        (".data.items | length", "[2]"),
        (".i, .big, .dec", "[9007199254740993,123456789012345678901234567890,0.10000000000000000000000001]"),
        (".big + 1", "[123456789012345678901234567891]"),
        ("[.data.items[] | select(.id > 1)]", r#"[[{"id":2}]]"#),
        (
            ".fields as $f | .rows[] | [$f, .] | transpose | map({(.[0]): .[1]}) | add",
            r#"[{"a":1,"b":2},{"a":3,"b":4}]"#,
        ),
        ("$status, $headers.link, $vars.n, $repo", r#"[200,"x",2,"a/b"]"#),
        ("{$status, repo: $repo}", r#"[{"status":200,"repo":"a/b"}]"#),
        ("[(1, 2) * (10, 30)]", "[[10,30,20,60]]"),
        ("[(1, 2) - (10, 20)]", "[[-9,-19,-8,-18]]"),
        (".n *= 4 | .n", "[12]"),
        ("reduce .rows[][] as $x (0; . + $x)", "[10]"),
        ("[foreach .rows[][] as $x (0; . + $x)]", "[[1,3,6,10]]"),
        ("[.. | numbers | select(. < 5)] | length", "[9]"),
        (".data.items |= map(.id) | .data.items", "[[1,2]]"),
        ("[range(3)], [range(.n)], [range(0; 10; 5)]", "[[0,1,2],[0,1,2],[0,5]]"),
        ("\"a\" * 3", r#"["aaa"]"#),
        ("def twice(f): f | f; .n | twice(. * 2)", "[12]"),
        (".fields | join(\"-\")", r#"["a-b"]"#),
        ("[limit(2; .rows[][])]", "[[1,2]]"),
        ("first(.rows[][])", "[1]"),
        (".data | to_entries | map(.key) | sort", r#"[["a b","items","none"]]"#),
        ("\"2026-01-02T00:00:00Z\" | fromdateiso8601", "[1767312000]"),
        ("try error(\"x\") catch .", r#"["x"]"#),
        (".fields | map(test(\"^a\"))", "[[true,false]]"),
        ("@base64 \"\\(.n)\"", r#"["Mw=="]"#),
        ("[paths] | length", "[22]"),
        ("walk(if type == \"number\" then 0 else . end) | .rows", "[[[0,0],[0,0]]]"),
        ("del(.data) | keys | length", "[6]"),
        (". as {n: $n} | $n", "[3]"),
        ("nan, infinite", "[null,1.7976931348623157e+308]"),
    ] {
        let got = run(source, &input()).map(|values| Value::Array(values).to_string());
        assert_eq!(got.as_deref(), Ok(expected), "{source}");
    }
}

#[test]
fn a_strict_path_names_the_step() {
    for (source, expected) in [
        (".data.itms[]", "the answer has no `.data.itms`"),
        (".data.none.x", "`.data.none` of the answer is null, so it has no `.data.none.x`"),
        (".n[]", "`.n` of the answer is a number, so it has no `.n[]`"),
        (".rows[7]", "the answer has no `.rows[7]`"),
        (".data[\"x y\"]", "the answer has no `.data.[\"x y\"]`"),
    ] {
        assert_eq!(run(source, &input()).unwrap_err(), expected, "{source}");
    }
}

#[test]
fn first_and_holds() {
    let first = |source: &str| with_scope(|scope| compile(source).unwrap().first(&input(), scope));
    for (source, expected) in [
        (".data.nope.deep", None),
        (".data.none", None),
        (".data.none.x[]", None),
        (".n", Some(json!(3))),
        (".rows[9].x", None),
        (".data | .none", None),
        ("empty", None),
        (".n + 1, error", Some(json!(4))),
    ] {
        assert_eq!(first(source), Ok(expected), "{source}");
    }
    assert!(first(".n.x").is_err());
    let holds = |source: &str| with_scope(|scope| compile(source).unwrap().holds(&input(), scope)).unwrap();
    for (source, expected) in [
        (".n", true),
        (".data.none", false),
        (".n == 3", true),
        ("false, true", false),
        ("empty", false),
        ("0", true),
    ] {
        assert_eq!(holds(source), expected, "{source}");
    }
}

#[test]
fn plain_paths_need_no_interpreter() {
    for source in [
        ".",
        ".a.b",
        ".[\"a b\"]",
        ".\"a\"",
        ".a[]",
        ".[0]",
        ".a[-1].b",
        ".a?",
        ".a.b?[]",
        " .a ",
        ".[]",
        ".a.[0]",
    ] {
        assert!(PlainPath::parse(source).is_some(), "{source}");
    }
    for source in [
        "",
        "..",
        ".a.",
        ".a |",
        "a",
        ".a..b",
        ".a + 1",
        ".[1:2]",
        ".[.a]",
        ".\"\\(.a)\"",
        "?",
        ".?",
        ".1",
        ".[1.5]",
        ".a b",
        ".é",
    ] {
        assert!(PlainPath::parse(source).is_none(), "{source}");
    }
}

#[test]
fn what_cannot_be_bounded_is_refused_with_its_place() {
    for (source, part) in [
        ("1 | repeat(.)", "repeat"),
        ("while(true; .)", "while"),
        ("until(false; .)", "until"),
        ("recurse(.a)", "recurse"),
        ("def f: f; f", "f"),
        ("def f: def g: f; g; f", "f"),
        ("[range(infinite)]", "range"),
        ("range(0; 10; 0)", "range"),
        ("range(10000000)", "range"),
        ("input", "input"),
        ("[inputs]", "inputs"),
        ("env.HOME", "env"),
        ("$ENV.HOME", "$ENV.HOME"),
        ("debug", "debug"),
        ("halt", "halt"),
        ("now", "now"),
        ("input_filename", "input_filename"),
        ("$nope", "$nope"),
        ("nope(1)", "nope"),
        (".a | ]", "]"),
        (".a &", "&"),
        ("import \"a\" as a; .", "\"a\""),
    ] {
        let error = compile(source).expect_err(source);
        let at = error.at.clone().unwrap_or_else(|| panic!("no range for {source}: {error}"));
        assert_eq!(&source[at], part, "{source}: {error}");
    }
}

#[test]
fn what_explodes_is_stopped() {
    for (source, expected) in [
        ("\"x\" * 1000000000", "64 MiB"),
        (".n = \"x\" | .n *= 1000000000", "64 MiB"),
        ("reduce range(60) as $i (\"x\"; . + .) | length", "64 MiB"),
        ("reduce range(60) as $i (1; [., .]) | tojson | length", "256 MiB"),
        ("reduce range(100000) as $i (1; [.])", "deeper"),
        ("reduce range(100) as $i (10; . * .)", "65,536 bits"),
        ("range(.n * 400000)", "1000000 outputs"),
        ("range(1000000), range(1000000)", "steps"),
        (
            "(1,1,1,1) as $a|(1,1,1,1) as $a|(1,1,1,1) as $a|(1,1,1,1) as $a|(1,1,1,1) as $a|(1,1,1,1) as $a|(1,1,1,1) as $a|(1,1,1,1) as $a|(1,1,1,1) as $a|(1,1,1,1) as $a|(1,1,1,1) as $a|(1,1,1,1) as $a|(1,1,1,1) as $a|empty",
            "steps",
        ),
        ("[range(100) | try (range(1000000) as $x | range(1000000) | empty) catch .]", "steps"),
    ] {
        let Err(error) = run(source, &input()) else { panic!("{source} is not stopped") };
        assert!(error.contains(expected), "{source}: {error}");
    }
    let mut deep = json!(1);
    for _ in 0..250 {
        deep = json!([deep]);
    }
    assert!(run("length", &deep).unwrap_err().contains("200 levels"));
    for source in [
        "[".repeat(100_000),
        "-".repeat(10_000),
        "1|".repeat(6_000) + "1",
        "try ".repeat(3_000),
        ". as $x|".repeat(500) + ".",
    ] {
        assert!(compile(&source).is_err());
    }
}
