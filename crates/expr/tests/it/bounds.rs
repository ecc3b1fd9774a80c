//! What never ends or explodes in size is stopped, with a failure that says so, in time.

use std::time::Duration;

use entities::{JqText, Moment, Secrets, TemplateText};
use expr::{ExprError, Globals, Jq, JqScope, Scope, Template};
use serde_json::{Map, Value, json};

/// What is stopped takes 0.8 s at most when optimised, and 1.5 s in a debug build, both on a busy machine
/// of two cores. The bound is generous, since other machines are slower; what counts is that each is
/// stopped by the bound that is named beside it.
const LIMIT: Duration = Duration::from_secs(60);

#[expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a test that measures")]
fn timed<T>(what: &str, f: impl FnOnce() -> T) -> T {
    let start = std::time::Instant::now();
    let result = f();
    let took = start.elapsed();
    // BOUNDS_TIMES=1 cargo test --release -p expr --test it -- bounds --nocapture
    if std::env::var_os("BOUNDS_TIMES").is_some() {
        println!("{took:>12.3?}  {}", what.get(..100).unwrap_or(what));
    }
    assert!(took < LIMIT, "{what} took {took:?}");
    result
}

fn template(source: &str) -> Result<String, ExprError> {
    let vars = json!({
        "a": "a", "text": "ab".repeat(50_000), "deep": (0..150).fold(json!(1), |inner, _| json!([inner])),
        "list": (0..20_000).collect::<Vec<_>>(),
    });
    let globals = Globals::new(vars.as_object().unwrap(), &Secrets::default(), Moment::from_millis(0));
    let scope = Scope { globals: &globals, bindings: &Map::new(), cursor: None, record: None, page: Some(1) };
    timed(source, || Template::compile(&TemplateText::new(source))?.render(&scope))
}

#[test]
fn templates() {
    let doubled = |inner: &str, times: usize| inner.repeat(times);
    for (source, expected) in [
        ("{% for x in range(9000) %}{% for y in range(9000) %}.{% endfor %}{% endfor %}".to_owned(), "steps"),
        (
            "{% for x in range(99999) %}{% for y in range(99999) %}{% endfor %}{% endfor %}".to_owned(),
            "steps",
        ),
        ("{{ range(10**9) }}".to_owned(), "too many elements"),
        ("{{ range(100000) | list | join }}".to_owned(), "steps"),
        ("{{ 'x' * 1000000000 }}".to_owned(), "steps"),
        ("{{ 'x' * 1000000000000 }}".to_owned(), "steps"),
        ("{{ [1] * 100000000 }}".to_owned(), "cannot be repeated"),
        ("{{ ([1] * 100000000) | json }}".to_owned(), "cannot be repeated"),
        ("{{ ([1] * 100000000) | string }}".to_owned(), "cannot be repeated"),
        ("{{ ([1] * 100000000) | join }}".to_owned(), "cannot be repeated"),
        ("{{ ([1] * 100000000) | sum }}".to_owned(), "cannot be repeated"),
        ("{{ ([1] * 100000000) | sort }}".to_owned(), "cannot be repeated"),
        ("{{ 10 ** 10 ** 10 }}".to_owned(), "unable to calculate"),
        ("{{ 99 ** 999999999 }}".to_owned(), "unable to calculate"),
        (format!("{{{{ vars.a {} }}}}", doubled("| replace('a', 'aa') ", 40)), "steps"),
        (format!("{{{{ vars.a {} }}}}", doubled("| regex_replace('a', 'aa') ", 40)), "steps"),
        ("{{ vars.text | regex_replace('', 'x' * 1000) }}".to_owned(), "regex_replace writes more than"),
        (format!("{{% set x = 'xx' %}}{}{{{{ x }}}}", doubled("{% set x = x ~ x %}", 60)), "steps"),
        (format!("{{% set x = 'xx' %}}{}{{{{ x }}}}", doubled("{% set x = x + x %}", 60)), "multiply lists"),
        (format!("{{% set x = [1] %}}{}{{{{ x }}}}", doubled("{% set x = [x, x] %}", 60)), "multiply lists"),
        (
            format!("{{% set x = [1] %}}{}{{{{ x | json }}}}", doubled("{% set x = x + x %}", 60)),
            "multiply lists",
        ),
        (format!("{{% set x = 1 %}}{}{{{{ x }}}}", doubled("{% set x = [x] %}", 198)), "ok"),
        (doubled("{% set x = 1 %}", 300), "more than 200 blocks"),
        (format!("{{% set x = [1] %}}{}{{{{ x }}}}", "{% set x = [x, x] %}".repeat(13)), "ok"),
        ("{{ ((vars.list * 1000) | json) }}".to_owned(), "cannot be repeated"),
        ("{{ vars.list * 5000 ~ '' }}".to_owned(), "cannot be repeated"),
        ("{{ (5000 * vars.list) | list | join }}".to_owned(), "cannot be repeated"),
        ("{{ (vars.list)*5000 == (vars.list)*5000 }}".to_owned(), "cannot be repeated"),
        ("{% set n = 5000 %}{% set x = vars.list %}{{ 1 in n*x }}".to_owned(), "cannot be repeated"),
        ("{{ {'a': {'b': 1}} and vars.list * 5000 }}".to_owned(), "cannot be repeated"),
        ("{{ [vars.list][0] * 5000 }}".to_owned(), "cannot be repeated"),
        ("{{ 5000 * (page if vars.a == 'b' else vars.list) }}".to_owned(), "cannot be repeated"),
        (format!("{{{{ 1 }}}}{}", "{{ 2 * page < 3 }}".repeat(14_000)), "steps"),
        ("{{ (page if vars.a == 'b' else vars.list) * 5000 }}".to_owned(), "cannot be repeated"),
        (format!("{{{{ (vars.list {}) ~ '' }}}}", "+ vars.list ".repeat(120)), "steps"),
        (format!("{{{{ (vars.list {0}) == (vars.list {0}) }}}}", "+ vars.list ".repeat(120)), "steps"),
        (format!("{{{{ (vars.list {}) | sort | length }}}}", "+ vars.list ".repeat(120)), "steps"),
        (format!("{{{{ (vars.list {}) | join }}}}", "+ vars.list ".repeat(120)), "steps"),
        (
            format!("{{% set x = [vars.list] %}}{}{{{{ x < [1] }}}}", "{% set x = [x, x] %}".repeat(12)),
            "steps",
        ),
        ("{% for x in range(9999) %}{{ vars.list is lt [1] }}{% endfor %}".to_owned(), "steps"),
        ("{% for x in range(9999) %}{{ vars.list | min }}{% endfor %}".to_owned(), "steps"),
        (format!("{{{{ (vars.list {}) < [] }}}}", "+ vars.list ".repeat(120)), "steps"),
        ("{% set ns = namespace(x=1) %}".to_owned(), "namespace"),
        ("{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}".to_owned(), "macro"),
        ("{% for x in [1] recursive %}{{ loop([x]) }}{% endfor %}".to_owned(), "recursion"),
        (format!("{{{{ {} }}}}", "(".repeat(50_000)), ""),
        (format!("{{{{ {} }}}}", "[".repeat(50_000)), ""),
        (format!("{{{{ {}1 }}}}", "-".repeat(50_000)), "more than 500 signs"),
        (format!("{{{{ {}1 }}}}", "not ".repeat(50_000)), "more than 500 signs"),
        (format!("{{{{ 1{} }}}}", "+1".repeat(50_000)), "more than 500 signs"),
        (format!("{{{{ x{} }}}}", "|upper".repeat(30_000)), "more than 500 signs"),
        (format!("{{{{ x{} }}}}", ".a".repeat(60_000)), ""),
        (format!("{{{{ 1{} }}}}", " if 1".repeat(30_000)), "more than 500 signs"),
        (format!("{{{{ now{} }}}}", " - duration('1d')".repeat(10_000)), ""),
        (format!("{{{{ {}1 }}}}", "-".repeat(500)), ""),
        (format!("{{{{ {}1 }}}}", "not ".repeat(500)), ""),
        (format!("{{{{ 1{} }}}}", "+1".repeat(500)), "ok"),
        (format!("{{{{ vars.a{} }}}}", "|upper".repeat(499)), ""),
        (format!("{{{{ 1{} }}}}", " if 1".repeat(500)), ""),
        (format!("{{{{ (vars{}) }}}}", "['a']".repeat(490)), ""),
        (format!("{{{{ {}1{} }}}}", "[".repeat(490), "]".repeat(490)), ""),
        (format!("{}{}", "{% if 1 %}".repeat(100), "{% endif %}".repeat(100)), ""),
        (format!("{}{}", "{% for x in [1] %}".repeat(100), "{% endfor %}".repeat(100)), ""),
        ("{% set x %}".repeat(200), ""),
        ("{{ vars.text | regex_match('(a|b|ab)*c') }}".to_owned(), "ok"),
        ("{{ vars.text | regex_match('(.{1,50}x){1,20}') }}".to_owned(), ""),
        ("{{ 'a' * 100000 is startswith('a') }}".to_owned(), "ok"),
        ("{% for x in range(999) %}{{ vars.text | regex_match('(a|b)*c') }}{% endfor %}".to_owned(), "steps"),
        ("{{ vars.list | sort | length }}".to_owned(), ""),
        ("{{ '%999999999d' | format(1) }}".to_owned(), ""),
        ("{{ '%*d' | format(999999999, 1) }}".to_owned(), ""),
        ("{{ 'x' | indent(999999999) }}".to_owned(), ""),
        ("{{ 1 | round(999999999) }}{{ 1.5 | round(2000000000) }}".to_owned(), ""),
        ("{{ range(1, 9) | batch(999999999) }}".to_owned(), ""),
        ("{{ range(1, 9) | slice(999999999) }}".to_owned(), ""),
        ("{{ [1] | batch(999999999, 0) }}".to_owned(), ""),
        ("{{ 'x' | hmac('k' * 3000000) }}".to_owned(), "ok"),
    ] {
        let source = source.as_str();
        let shown = source.get(..80).unwrap_or(source);
        match template(source) {
            Ok(text) => {
                assert!(matches!(expected, "" | "ok"), "{shown} is not stopped: {} bytes", text.len())
            }
            Err(error) => {
                assert!(expected != "ok" && error.message.contains(expected), "{shown}: {error}");
            }
        }
    }
}

fn jq(source: &str, input: &Value) -> Result<Vec<Value>, ExprError> {
    let none = Map::new();
    let scope = JqScope { status: Some(200), headers: &none, vars: &none, bindings: &none };
    timed(source, || Jq::compile(&JqText::new(source), &[])?.run(input, &scope))
}

#[test]
fn jq_programs() {
    let input = json!({"n": 3, "text": "ab".repeat(50_000), "list": (0..2_000).collect::<Vec<_>>()});
    for (source, expected) in [
        ("[range(1e9)]", "range"),
        ("1e9 as $n | [range($n)]", "steps"),
        ("[limit(1e9; repeat(1))]", "repeat"),
        ("[recurse]", "ok"),
        ("[recurse(.)]", "recurse"),
        ("\"x\" * 1e9", ""),
        ("\"x\" * 1000000000", "64 MiB"),
        (".list | map(. as $a | [range(1000)] | map(. as $b | [range(1000)] | map(. * $a * $b)))", "steps"),
        ("[.list[] as $a | .list[] as $b | .list[] as $c | $a]", "steps"),
        ("[range(1000) | [range(1000) | [range(1000)]]]", "steps"),
        ("[limit(1000000000; range(1000000) | range(1000000))]", "steps"),
        ("first(range(1000000) | range(1000000) | select(. < 0))", "steps"),
        (".n[1000000000] = 1", ""),
        ("[] | .[1000000000] = 1", ""),
        ("null | .[1000000000] = 1", ""),
        ("null | setpath([1000000000]; 1)", ""),
        ("[.[1000000000:]?] | .[0][100000000] = 1", ""),
        ("reduce range(40) as $i (\"x\"; . + .) | explode | length", ""),
        ("\"x\" * 60000000 | explode | length", ""),
        ("\"x\" * 60000000 | split(\"\") | length", ""),
        ("\"x\" * 60000000 | [match(\"x\"; \"g\")] | length", ""),
        ("\"x\" * 60000000 | ascii_downcase | length", ""),
        ("\"x\" * 1000000 | indices(\"x\") | length", ""),
        (".text | gsub(\"\"; \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\") | length", ""),
        (".text | gsub(\"a\"; \"aa\") | gsub(\"a\"; \"aa\") | gsub(\"a\"; \"aa\") | length", ""),
        (".text | test(\"(a|b|ab)*c\")", "ok"),
        (".text | test(\"(a+)+$\")", "ok"),
        ("[.list[] as $x | $x | tostring | test(\"^(([0-9]+)+)+$\")] | length", "ok"),
        (".text | test(\"(((a{50}){50}){50}){50}\")", ""),
        (".text | test(\"(.{1,100}x){1,100}\")", ""),
        ("[.list | combinations]", ""),
        ("[[.list, .list, .list] | combinations] | length", ""),
        (".list | [.[] as $x | .[] as $y | {($x|tostring): $y}] | add | length", ""),
        ("[range(100000)] | sort_by(-.) | group_by(. % 7) | length", "ok"),
        ("[.list[] | tostring] | join(\",\") * 100000", "64 MiB"),
        ("pow(10; 1000000000)", "ok"),
        ("[limit(5; .list[])] | until(length > 1000000; . + .)", "until"),
        ("reduce range(60) as $i ([1]; . + .) | length", ""),
        ("reduce range(60) as $i ({}; {a: ., b: .}) == reduce range(60) as $i ({}; {a: ., b: .})", ""),
        ("reduce range(100) as $i (7; . * .)", "65,536 bits"),
        ("1e1000 | floor", ""),
        ("[splits(\"a\"; \"g\")?] | length", ""),
        ("path(..) | select(length > 100)", "ok"),
        ("[paths] | length", "ok"),
        ("[range(0; 1; 0.0000000001)]", ""),
        ("tojson | fromjson | tojson | length", "ok"),
        ("[.list[] | .list?] | flatten(1000000000) | length", ""),
        ("@json \"\\([range(1000000)])\" | length", ""),
        ("ltrimstr(1) | walk(walk(walk(walk(.))))", ""),
        (
            "label $out | foreach range(1000000) as $i (0; . + 1; if . > 999999999 then ., break $out else empty end)",
            "",
        ),
        ("getpath([range(100000) | \"a\"])", ""),
        ("[getpath([range(300) | \"a\"])] | length", ""),
        ("input_line_number", "input_line_number"),
        ("\"1\" * 1000000 | tonumber | . * 2", "digits"),
        ("[.list[] * 1e300 * 1e300] | add", ""),
        ("transpose?", ""),
        ("[range(3000)] | [., .] | transpose | map(add) | add", ""),
        ("[.list] | [limit(100000; cycle(.[]))]", ""),
        ("\"x\" * 1000000 | ltrimstr(\"x\") | ascii | length", ""),
        ("\"x\" * 1000000 | @uri \"\\(.)\" | @base64 | @html | length", ""),
        ("1 | strftime(\"%Y\" * 1000000) | length", ""),
        ("now", "now"),
    ] {
        match jq(source, &input) {
            Ok(values) => {
                assert!(matches!(expected, "" | "ok"), "{source} is not stopped: {} outputs", values.len());
            }
            Err(error) => assert!(expected != "ok" && error.message.contains(expected), "{source}: {error}"),
        }
    }
}
