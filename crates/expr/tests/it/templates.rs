//! Templates: one row per filter, function and error.

use entities::{Moment, Place, Secret, Secrets, TemplateText, ValueTemplate};
use expr::{CompiledValue, ExprError, Globals, Scope, Template};
use serde_json::{Map, Value, json};

/// 2026-01-02T03:04:05Z
const NOW: i64 = 1_767_323_045_000;

fn with_scope<T>(now: i64, f: impl FnOnce(&Scope<'_>) -> T) -> T {
    let object = |value: Value| match value {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    let vars = object(json!({
        "since": "2026-01-01", "n": 7, "rate": 2.5, "on": true, "off": false, "none": null,
        "list": [1, "two"], "table": {"a": {"b": 1}}, "ms": 1_767_323_045_678_i64, "q": "a b&c/é",
        "big": serde_json::from_str::<Value>("123456789012345678901234567890").unwrap(),
        "decimal": serde_json::from_str::<Value>("0.1000000000000000000000001").unwrap(),
    }));
    let secrets = Secrets([("token".to_owned(), Secret::new("s3cret".to_owned()))].into_iter().collect());
    let globals = Globals::new(&vars, &secrets, Moment::from_millis(now));
    assert_eq!(format!("{globals:?}"), "Globals(..)");
    let bindings = object(json!({"symbol": "BTC/USD", "issue": {"number": 12}}));
    let record = json!({"id": 5, "at": "2026-01-02T03:04:05+02:00"});
    let cursor = json!("2026-01-01T00:00:00Z");
    f(&Scope {
        globals: &globals,
        bindings: &bindings,
        cursor: Some(&cursor),
        record: Some(&record),
        page: Some(3),
    })
}

fn compile(source: &str) -> Result<Template, ExprError> {
    Template::compile(&TemplateText::new(source))
}

fn render(source: &str) -> Result<String, String> {
    let template = compile(source).map_err(|error| error.message)?;
    with_scope(NOW, |scope| template.render(scope)).map_err(|error| error.message)
}

fn value(source: &str) -> Result<Value, String> {
    let template = compile(source).map_err(|error| error.message)?;
    with_scope(NOW, |scope| template.value(scope)).map_err(|error| error.message)
}

#[test]
fn renders_text() {
    for (source, expected) in [
        ("plain } text\n", "plain } text\n"),
        ("{{ symbol }}", "BTC/USD"),
        ("/repos/{{symbol}}/x?{{ issue.number }}\n", "/repos/BTC/USD/x?12\n"),
        ("{{ vars.n }} {{ vars.rate }} {{ vars.on }} {{ vars.off }}", "7 2.5 true false"),
        ("{{ vars.list }} {{ vars.table }}", r#"[1,"two"] {"a":{"b":1}}"#),
        ("{{ vars.list }} {{ vars.table }}{% if true %}{% endif %}", r#"[1,"two"] {"a":{"b":1}}"#),
        ("{{ vars.big }} {{ vars.decimal }}", "123456789012345678901234567890 0.1000000000000000000000001"),
        (
            "{{ (vars.big) }} {{ (vars.decimal) }}",
            "123456789012345678901234567890 0.1000000000000000000000001",
        ),
        (
            "{{ now }} {{ today }} {{ page }} {{ cursor }}",
            "2026-01-02T03:04:05Z 2026-01-02 3 2026-01-01T00:00:00Z",
        ),
        ("{% for x in vars.list %}<{{ x }}>{% endfor %}", "<1><two>"),
        ("{# nothing #}a<b", "a<b"),
        ("{{ '<' }}", "<"),
        ("{{ symbol | replace('/', '-') | lower }}", "btc-usd"),
        ("{{ today | date('%Y%m%d') }}", "20260102"),
        ("{{ vars.ms | date('%Y-%m-%dT%H:%M:%S') }}", "2026-01-02T03:04:05"),
        ("{{ 1767323045 | date('%H') }}", "03"),
        ("{{ record.at | date('%H:%M %z') }}", "03:04 +0200"),
        ("{{ '02/01/2026' | parse_date('%d/%m/%Y') }}", "2026-01-02"),
        ("{{ '2026-01-02 03:04' | parse_date('%Y-%m-%d %H:%M') }}", "2026-01-02T03:04:00Z"),
        ("{{ '2026-01-02 03:04 +0100' | parse_date('%Y-%m-%d %H:%M %z') }}", "2026-01-02T02:04:00Z"),
        ("{{ now | epoch }} {{ now | epoch_ms }}", "1767323045 1767323045000"),
        ("{{ record.at | epoch }}", "1767315845"),
        ("{{ duration('7d') }} {{ duration('500ms') }}", "604800 0.5"),
        ("{{ now - duration(\"7d\") }}", "2025-12-26T03:04:05Z"),
        ("{{ now -duration( '1h' ) | date('%H') }}", "02"),
        ("{{- now + duration('90s') -}}", "2026-01-02T03:05:35Z"),
        ("{{ today - duration('7d') }}", "2025-12-26"),
        ("{{ today | add('1 month') }} {{ today | sub('12h') }}", "2026-02-02 2026-01-01T12:00:00Z"),
        ("{{ vars.ms + duration('1s') }}", "1767323046678"),
        ("{{ cursor - duration('1d') - duration('1h') }}", "2025-12-30T23:00:00Z"),
        ("{{ 'x - duration(1)' }}", "x - duration(1)"),
        ("{{ vars.table | json }} {{ symbol | json }}", r#"{"a":{"b":1}} "BTC/USD""#),
        ("{{ 'ab' | base64 }}", "YWI="),
        ("{{ vars.q | urlencode }}", "a%20b%26c%2F%C3%A9"),
        ("{{ 'abc' | md5 }}", "900150983cd24fb0d6963f7d28e17f72"),
        ("{{ 'abc' | sha256 }}", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "{{ 'what do ya want for nothing?' | hmac('Jefe', 'sha256') }}",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        ("{{ 'x' | hmac(secrets.token, 'sha256', 'base64') | length }}", "44"),
        ("{{ vars.missing | default('d') }} {{ vars.none | default('d', true) }}", "d d"),
        ("{{ 'a' if vars.on else 'b' }}", "a"),
        ("{{ vars.list | join(',') }}", "1,two"),
        ("{{ vars.n * 2 + 1 }}", "15"),
    ] {
        assert_eq!(render(source).as_deref(), Ok(expected), "{source}");
    }
}

#[test]
fn now_has_milliseconds_only_when_needed() {
    let now = |at| with_scope(at, |scope| compile("{{ now }}").unwrap().render(scope).unwrap());
    assert_eq!(now(NOW), "2026-01-02T03:04:05Z");
    assert_eq!(now(NOW + 50), "2026-01-02T03:04:05.050Z");
}

#[test]
fn one_expression_keeps_its_type() {
    for (source, expected) in [
        ("{{ vars.n }}", json!(7)),
        ("{{ vars.none }}", Value::Null),
        ("{{ vars.list }}", json!([1, "two"])),
        ("{{ vars.table.a }}", json!({"b": 1})),
        ("{{ vars.n + 1 }}", json!(8)),
        ("{{ [vars.n, {'k': {'l': none}}] }}", json!([7, {"k": {"l": null}}])),
        ("{{ vars.list[1] }}", json!("two")),
        (" {{ vars.n }}", json!(" 7")),
        ("{{ vars.n }}{{ page }}", json!("73")),
        ("{{ '}}' }}{{ '{{' }}", json!("}}{{")),
        ("7", json!("7")),
        ("{{ now | epoch }}", json!(1_767_323_045)),
    ] {
        assert_eq!(value(source), Ok(expected), "{source}");
    }
    assert_eq!(value("{{ vars.big }}").unwrap().to_string(), "123456789012345678901234567890");
    assert_eq!(value("{{ vars.decimal | default(1) }}").unwrap().to_string(), "0.1000000000000000000000001");
}

#[test]
fn errors_name_the_thing_and_the_way_out() {
    for (source, expected) in [
        ("{{ symbl }}", "`symbl` is not defined; did you mean `symbol`?"),
        ("{{ since }}", "`since` is not defined; did you mean `vars.since`?"),
        ("{{ vars.sinze }}", "`vars.sinze` is not defined; did you mean `vars.since`?"),
        ("{{ vars.sinze | lower }}", "`vars.sinze` is not defined; did you mean `vars.since`?"),
        ("a {{ (vars.sinze) }}", "`vars.sinze` is not defined; did you mean `vars.since`?"),
        ("{{ vars.n.x }}", "`vars.n.x` is not defined: `vars.n` is a single value"),
        ("x{{ vars.none }}", "`vars.none` is null; text needs a value"),
        ("{{ vars.none }}", "`vars.none` is null; text needs a value"),
        ("x{{ (vars.none) }}", "a value is null; text needs a value"),
        (
            "{{ 'x' | epoch }}",
            "`x` is not a date; dates are RFC 3339, YYYY-MM-DD or epoch numbers (parse_date reads others)",
        ),
        ("{{ now - duration('x') }}", "`x` is not a duration; write it like \"90s\", \"7d\" or \"1 month\""),
        ("{{ 'x' | hmac('k', 'md4') }}", "hmac knows no algorithm `md4`; it knows sha256 and sha512"),
        (
            "{% for x in range(9000) %}{% for y in range(9000) %}.{% endfor %}{% endfor %}",
            "the template takes more than 50000 steps; shorten its loops",
        ),
        ("{{ 'x' * 2000000 }}", "the template writes more than 1048576 bytes"),
    ] {
        assert_eq!(render(source).unwrap_err(), expected, "{source}");
    }
}

#[test]
fn compile_errors_point_into_the_source() {
    for (source, part) in [("ab {{ x | nofilter }}", "nofilter"), ("é {{ x y }}", "y"), ("{% if %}", "%}")] {
        let error = compile(source).expect_err(source);
        let at = error.at.clone().unwrap_or_else(|| panic!("no range for {source}: {error}"));
        assert!(source[at.clone()].contains(part), "{source}: {error} at {:?}", &source[at]);
    }
}

#[test]
fn errors_of_evaluation_point_into_the_source() {
    for (source, part) in
        [("{{ now | date }}", "date"), ("{{- now | hmac -}}", "hmac"), ("é {{ now | date }}", "date")]
    {
        let template = compile(source).expect(source);
        let error = with_scope(NOW, |scope| template.value(scope)).expect_err(source);
        assert_eq!(error.at.clone().and_then(|at| source.get(at)), Some(part), "{source}: {error}");
    }
}

#[test]
fn names_are_the_ones_read() {
    for (source, names, secret) in [
        ("x", vec![], false),
        ("{{ vars.since }}/{{ issue.number }}/{{ repo }}", vec!["issue.number", "repo", "vars.since"], false),
        ("{{ now - duration('7d') | date('%Y') }}", vec!["now"], false),
        ("{% for x in range(3) %}{{ x }}{{ secrets.token }}{% endfor %}", vec!["secrets.token"], true),
        ("{{ 'a' | hmac(secrets.key) }}", vec!["secrets.key"], true),
    ] {
        let template = compile(source).expect(source);
        assert_eq!(template.names(), names, "{source}");
        assert_eq!(template.uses_secrets(), secret, "{source}");
    }
    assert_eq!(compile("a }} b").unwrap().literal(), Some("a }} b"));
    assert_eq!(compile("{{ a }}").unwrap().literal(), None);
}

#[test]
fn values_of_templates() {
    let text = |source: &str| ValueTemplate::Text(TemplateText::new(source));
    let list =
        ValueTemplate::List(vec![text("{{ page }}"), ValueTemplate::Plain(json!(1)), text("x{{ symbol }}")]);
    let map = ValueTemplate::Map(vec![("b".to_owned(), list), ("a".to_owned(), text("lit"))]);
    let compiled = CompiledValue::compile(&map).unwrap();
    let got = with_scope(NOW, |scope| compiled.value(scope)).unwrap();
    assert_eq!(got.to_string(), r#"{"b":[3,1,"xBTC/USD"],"a":"lit"}"#);
    assert_eq!(compiled.names(), ["page", "symbol"]);
    assert!(!compiled.uses_secrets() && compiled.literal().is_none());

    let literal =
        CompiledValue::compile(&ValueTemplate::List(vec![text("a"), ValueTemplate::Plain(json!(1))]))
            .unwrap();
    assert_eq!(literal.literal(), Some(&json!(["a", 1])));

    let at = Place { start: 4, end: 9, line: 2, column: 1 };
    let wrong = ValueTemplate::List(vec![ValueTemplate::Text(TemplateText { source: "{{ x".into(), at })]);
    assert_eq!(CompiledValue::compile(&wrong).unwrap_err().1, at);
}
