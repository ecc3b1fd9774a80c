//! jq programs that are slow, or hold much, in ways that take few steps: filters of jaq's own that go through
//! whole values, patterns that are costly to compile, values that are copied and kept. Each is stopped.

use std::time::Duration;

use entities::JqText;
use expr::{Jq, JqScope};
use serde_json::{Map, Value, json};

/// Generous, as in `bounds`: machines are busy. What is stopped takes 3 s of a processor at most.
const LIMIT: Duration = Duration::from_secs(60);

fn run(source: &str) -> Result<Vec<Value>, String> {
    let input = json!({"n": 3, "text": "ab".repeat(50_000), "list": (0..2_000).collect::<Vec<_>>()});
    let none = Map::new();
    let scope = JqScope { status: Some(200), headers: &none, vars: &none, bindings: &none };
    let jq = Jq::compile(&JqText::new(source), &[]).map_err(|error| error.to_string())?;
    jq.run(&input, &scope).map_err(|error| error.to_string())
}

#[expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a test that measures")]
fn check(source: &str, stopped: bool) {
    let start = std::time::Instant::now();
    let result = run(source);
    let took = start.elapsed();
    // BOUNDS_TIMES=1 cargo test -p expr --test it -- hostile --nocapture
    if std::env::var_os("BOUNDS_TIMES").is_some() {
        println!("{took:>12.3?}  {}", source.get(..100).unwrap_or(source));
    }
    match result {
        Ok(outputs) => assert!(!stopped, "{source} is not stopped: {} outputs", outputs.len()),
        Err(error) => assert!(
            stopped && ["steps", "processor's time", "MiB"].iter().any(|bound| error.contains(bound)),
            "{source}: {error}"
        ),
    }
    assert!(took < LIMIT, "{source} took {took:?}");
}

#[test]
fn filters_that_go_through_whole_lists() {
    for filter in [
        "sort",
        "reverse",
        "min",
        "flatten",
        "to_entries",
        "tojson",
        ". - [1]",
        ". + [1]",
        ".[1:]",
        "{a: .} | .a[5] = $i",
        "implode",
        "group_by(.)",
        "join(\",\")",
    ] {
        // Two million elements, a thousand steps.
        let list = "(reduce range(11) as $i ([range(1000)]; . + .)) as $list";
        check(&format!("{list} | reduce range(100000) as $i (0; ($list | {filter} | length))"), true);
    }
}

#[test]
fn filters_that_go_through_whole_texts() {
    for filter in [
        "ascii_downcase",
        "length",
        ".[1:]",
        "trim",
        "ltrimstr(\"x\")",
        "tojson",
        "@base64",
        "@base64d",
        "@uri",
        "tobytes",
        "explode",
        "{} + {(.): 1}",
        "test(\"y\")",
    ] {
        let text = "\"x\" * 60000000 | . as $text";
        check(&format!("{text} | reduce range(1000000) as $i (0; ($text | {filter} | 1))"), true);
    }
}

#[test]
fn what_is_kept() {
    for source in [
        "[range(1000) | \"x\" * 60000000] | length",
        "reduce range(1000) as $i ([]; . + [\"x\" * 60000000]) | length",
        "[foreach range(1000000) as $i ([]; . + [$i])] | length",
        "\"x\" * 60000000 | . as $t | [range(1000) as $i | $t + \"\\($i)\"] | length",
        "\"x\" * 60000000 | . as $t | [range(1000) as $i | \"\\($t)\\($i)\"] | length",
        "\"x\" * 60000000 | . as $t | [range(1000) as $i | $t | ascii_upcase] | length",
        "\"x\" * 60000000 | . as $t | reduce range(100000) as $i ({}; .[$t + \"\\($i)\"] = 1) | length",
        "[range(1000) as $i | [range(1000)]] as $m | [range(1000) as $j | $m | map(. + [1])] | length",
        "[range(10)] | [combinations(100000)] | length",
    ] {
        check(source, true);
    }
}

#[test]
fn what_multiplies() {
    let names: Vec<String> = (0..22).map(|name| format!("k{name}: (1, 2)")).collect();
    for source in [
        format!("[{{{}}}] | length", names.join(", ")),
        format!("\"{}\"", "\\(1, 2)".repeat(22)),
        format!("[1, 2] | [.[]{}] | length", " + .[]".repeat(22)),
        "[range(100000) | tostring | test(\"((a{30}){30}){10}\")] | length".to_owned(),
        "[range(100000) | tostring | test(\"\\\\w{500}\")] | length".to_owned(),
        "[range(100000) | tostring | test(\"(\\\\w{100}){10}\")] | length".to_owned(),
        "1 | [range(100000) | strftime(\"%c\" * 1000)] | length".to_owned(),
        "def f: [.[], .[]]; [range(1000)] | f | f | f | f | f | f | f | f | f | f | f | length".to_owned(),
    ] {
        check(&source, true);
    }
}

/// What a page may well need runs.
#[test]
fn honest_work() {
    for source in [
        "reduce range(10000) as $i ([]; . + [$i]) | length",
        "reduce range(40000) as $i (\"\"; . + \"abcdefghij\") | length",
        "reduce range(10000) as $i ({}; . + {\"k\\($i)\": 1}) | length",
        "reduce range(40000) as $i ({}; .[\"k\\($i)\"] = 1) | length",
        "[range(50000) | {a: ., b: \"x\\(.)\", c: [.]}] | map(select(.a > 3)) | map(.b | ascii_downcase) | length",
        "[range(50000) | {a: ., b: \"x\\(.)\"}] | group_by(.a % 10) | map({k: .[0].a, n: length, s: (map(.a) | add)})",
        "[range(20000) | {a: ., b: \"x\\(.)\"}] | map(with_entries(.value |= tostring)) | length",
        "[range(20000) | tostring | test(\"^[0-9]+$\")] | length",
        "[range(20000) | todate | strptime(\"%Y-%m-%dT%H:%M:%SZ\") | mktime] | length",
        ".list as $list | [range(2000) as $i | $list[$i:$i + 10] | add] | length",
        ".list += [1] | .list[0] += 1 | .n += 2 | .text += \"c\" | .n",
    ] {
        check(source, false);
    }
}
