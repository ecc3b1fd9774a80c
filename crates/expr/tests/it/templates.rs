//! Templates: one row per filter, function and error.

mod wrong;

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
        "d17": serde_json::from_str::<Value>("0.12345678901234567").unwrap(),
        "d15": serde_json::from_str::<Value>("1.50").unwrap(),
        "huge": serde_json::from_str::<Value>("1e400").unwrap(),
        "minus": serde_json::from_str::<Value>("-0").unwrap(),
        "i53": 9_007_199_254_740_993_i64, "nonce": "1616492376594",
        "payload": "nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25",
        "key": "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg==",
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
        // Dates keep their offset, their form and their digits.
        ("{{ '2024-01-01T00:00:00+08:00' | date('%Y%m%d') }}", "20240101"),
        ("{{ '2024-01-01T00:00:00+08:00' | date('%Y%m%d', 'UTC') }}", "20231231"),
        ("{{ '2024-01-01T00:00:00+08:00' + duration('1d') }}", "2024-01-02T00:00:00+08:00"),
        ("{{ '2024-01-01T00:00:00.123456Z' + duration('1ms') }}", "2024-01-01T00:00:00.124456Z"),
        ("{{ '2024-01-01' | date('%F %z', 'America/New_York') }}", "2024-01-01 -0500"),
        ("{{ now | date('%H', '+05:30') }}", "08"),
        ("{{ 1767323045123456 + duration('1s') }}", "1767323046123456"),
        ("{{ 1767323045123456789 | date('%S.%f') }}", "05.123456789"),
        ("{{ 1767323045.5 + duration('1s') }}", "1767323046.5"),
        (
            "{{ '1767323045123' | from_epoch }} {{ 0 | from_epoch }}",
            "2026-01-02T03:04:05.123Z 1970-01-01T00:00:00Z",
        ),
        ("{{ '2026-03' | parse_date('%Y-%m') }}", "2026-03-01"),
        ("{{ '1767323045' | parse_date('%s') }}", "2026-01-02T03:04:05Z"),
        ("{{ '2026-01-02 03:04' | parse_date('%Y-%m-%d %H:%M', 'Asia/Shanghai') }}", "2026-01-01T19:04:00Z"),
        ("{{ (now | epoch) - duration('1d') }}", "1767236645"),
        ("{{ (cursor | epoch_ms) + 1 }}", "1767225600001"),
        ("{{ now | sub(duration('1d') * 3) }}", "2025-12-30T03:04:05Z"),
        ("{{ now - duration('7d') if vars.on else now }}", "2025-12-26T03:04:05Z"),
        (
            "{{ [now - duration('1d'), today + duration('1d')] | join(' ') }}",
            "2026-01-01T03:04:05Z 2026-01-03",
        ),
        ("{% set d = now - duration('1d') %}{{ d }}", "2026-01-01T03:04:05Z"),
        ("{{ (vars.n + 1767323045) - duration('1s') }}", "1767323051"),
        // Digits survive whatever does not calculate with them.
        (
            "{{ [vars.decimal, vars.big] | join(' ') }}",
            "0.1000000000000000000000001 123456789012345678901234567890",
        ),
        ("{{ vars.decimal | string | length }} {{ vars.decimal | json }}", "27 0.1000000000000000000000001"),
        ("{{ vars.decimal if vars.decimal else 0 }}", "0.1000000000000000000000001"),
        (
            "{{ (vars.d17) }} {{ (vars.d15) }} {{ (vars.huge) }} {{ (vars.minus) }}",
            "0.12345678901234567 1.5 1e+400 -0.0",
        ),
        ("{{ vars.big + 1 }} {{ (vars.i53) + 1 }}", "123456789012345678901234567891 9007199254740994"),
        ("{{ '9007199254740993' | int }} {{ '1.5' | float }}", "9007199254740993 1.5"),
        ("{{ 7 // 2 }} {{ 7 % 2 }} {{ 2 ** 10 }} {{ 7 / 2 }} {{ -7 // 2 }}", "3 1 1024 3.5 -4"),
        // Bytes.
        ("{{ 'q83v' | base64_decode | hex }} {{ 'q80' | base64_decode | hex }}", "abcdef abcd"),
        ("{{ '_-8' | base64_decode | base64 }} {{ 'ffef' | hex_decode | base64url }}", "/+8= _-8"),
        (
            "{{ 'abc' | sha256('raw') | hex }}",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        ("{{ 'abc' | md5('raw') | base64 }}", "kAFQmDzST7DWlj99KOF/cg=="),
        ("{{ 'w6k=' | base64_decode }}", "é"),
        (
            // The example of Kraken's documentation.
            "{{ ('/0/private/AddOrder' ~ ((vars.nonce ~ vars.payload) | sha256('raw'))) | hmac(vars.key | base64_decode, 'sha512', 'base64') }}",
            "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ==",
        ),
        // Regular expressions.
        ("{{ 'a1b22' | regex_replace('[0-9]+', '<$0>') }}", "a<1>b<22>"),
        ("{{ 'x=1&y=2' | regex_search('y=(?P<y>.)', 'y') }}", "2"),
        ("{{ 'abc' | regex_search('z') | default('none', true) }}", "none"),
        ("{{ 'ÄB' | regex_match('(?i)äb') }}", "true"),
        ("{{ ('{\"a\": 1.50}' | from_json).a }}", "1.5"),
        // A default covers all of a path but its first name.
        (
            "{{ record.a.b.c | default('x') }}{{ vars.none.b.c | default('y') }}{{ vars.n.b.c | d('z') }}",
            "xyz",
        ),
        (
            "{{ record.a.b is defined }} {{ record.a.b.c is not defined }} {{ vars.table.a.b is defined }}",
            "false true true",
        ),
        ("{{ vars.table.a.b | default('x') }} {{ symbl | default('x') }}", "1 x"),
        ("{% for x in [vars.table] %}{{ x.a.b | default(2) }}{{ x.b.a | default(2) }}{% endfor %}", "12"),
        // What is raw is not code, and braces within braces do not end it.
        ("{% raw %}{{ a < b * c.d.e | default(1) }}{% endraw %}", "{{ a < b * c.d.e | default(1) }}"),
        ("{{ {'a': {'b': 1 < 2}} }}{% if {'a': {'b': 2}} %}{{ 2 * 3 }}{% endif %}", r#"{"a":{"b":true}}6"#),
    ] {
        assert_eq!(render(source).as_deref(), Ok(expected), "{source}");
    }
}

#[test]
fn numbers_of_any_length_are_ordered() {
    // decimal: 0.1000000000000000000000001, d17: 0.12345678901234567, huge: 1e400
    for (source, expected) in [
        ("{{ vars.decimal > 1 }} {{ vars.decimal < 1 }} {{ 1 > vars.decimal }}", "false true true"),
        ("{{ 'a' if vars.decimal > 0.1 else 'b' }} {{ vars.decimal <= 0.1 }}", "a false"),
        ("{{ vars.decimal >= vars.decimal }} {{ vars.decimal > vars.decimal }}", "true false"),
        ("{{ vars.d17 > vars.decimal }} {{ vars.huge > vars.big }} {{ vars.huge < 5 }}", "true true false"),
        ("{{ 0 < vars.decimal < 1 }} {{ 0 < vars.decimal < 0.1 }} {{ 0 < page == 3 }}", "true false true"),
        ("{{ -1 < vars.decimal }} {{ vars.n - 7 <= -0 }} {{ 1 + 2 > 2 * 1 }}", "true true true"),
        ("{{ not vars.decimal > 8 and vars.n < 8 or 1 > 2 }}", "true"),
        ("{{ (vars.decimal if vars.on else 1) > 1 }} {{ vars.on < 2 }}", "false true"),
        ("{{ {'a': vars.decimal < 1, 'b': [vars.decimal > 1]} }}", r#"{"a":true,"b":[false]}"#),
        ("{{ vars.decimal is lt 1 }} {{ [vars.decimal, 2] | select('gt', 1) | list }}", "true [2]"),
        ("{{ [{'n': vars.decimal}] | selectattr('n', 'lt', 0.2) | list | length }}", "1"),
        // They are equal to no ordinary number, and to each other by value.
        (
            "{{ vars.decimal == 0.1 }} {{ vars.decimal != 0.1 }} {{ vars.decimal in [0.1] }}",
            "false true false",
        ),
        ("{{ vars.decimal == vars.decimal }} {{ vars.decimal in [1, vars.decimal] }}", "true true"),
        ("{{ ('0.10000000000000000000000010' | from_json) == vars.decimal }}", "true"),
        ("{{ [1, vars.decimal, 0.1, vars.huge, 0] | sort }}", "[0,0.1,0.1000000000000000000000001,1,1e+400]"),
        ("{{ [1, vars.decimal] | max }} {{ [1, vars.decimal] | min }}", "1 0.1000000000000000000000001"),
        (
            "{{ [{'k': 1}, {'k': vars.decimal}] | sort(attribute='k', reverse=true) | map(attribute='k') | join(' ') }}",
            "1 0.1000000000000000000000001",
        ),
        ("{{ {'a': 1, 'b': vars.decimal} | dictsort(by='value') | map('first') | join }}", "ba"),
        (
            "{{ [3, 1, true, 'b', 'A'] | sort }} {{ 'a' < 'b' }} {{ cursor < now }}",
            r#"[1,true,3,"A","b"] true true"#,
        ),
    ] {
        assert_eq!(render(source).as_deref(), Ok(expected), "{source}");
    }
}

#[test]
fn characters_that_look_like_raw_bytes_pass_unchanged() {
    let own = "é\u{10FF41}\u{10FFFF}";
    let vars = json!({"own": own, "list": [own], "map": {own: 1}});
    let globals = Globals::new(vars.as_object().unwrap(), &Secrets::default(), Moment::from_millis(0));
    let scope = Scope { globals: &globals, bindings: &Map::new(), cursor: None, record: None, page: None };
    for (source, expected) in [
        ("{{ vars.own }}", own.to_owned()),
        ("{{ (vars.own) }}", own.to_owned()),
        ("x{{ vars.own ~ '' }}", format!("x{own}")),
        ("{{ vars.list }}{{ '' }}", format!("[\"{own}\"]")),
        ("{{ (vars.list)[0] | string }}", own.to_owned()),
        ("{{ vars.map | json }}", format!("{{\"{own}\":1}}")),
        (
            "{{ (vars.map | json | from_json).keys is undefined }}{{ vars.list | json | from_json | first }}",
            format!("true{own}"),
        ),
        ("{{ vars.own | urlencode }}", "%C3%A9%F4%8F%BD%81%F4%8F%BF%BF".to_owned()),
        ("{{ vars.own | hex }}", "c3a9f48fbd81f48fbfbf".to_owned()),
        ("{{ vars.own | base64 | base64_decode }}", own.to_owned()),
        ("{{ vars.own | regex_replace('é', 'e') }}", own.replace('é', "e")),
    ] {
        let template = compile(source).unwrap();
        assert_eq!(template.render(&scope).as_ref(), Ok(&expected), "{source}");
        assert_eq!(template.render_raw(&scope).unwrap(), expected.as_bytes(), "{source}");
    }
    assert_eq!(compile("{{ (vars.own) }}").unwrap().value(&scope), Ok(json!(own)));
    assert_eq!(compile("{{ (vars.map) }}").unwrap().value(&scope), Ok(json!({own: 1})));
    let written = compile("{{ 'a\u{10FF41}' | upper }}").unwrap_err();
    assert_eq!(written.message, "the character U+10FF41 stands for a raw byte in an expression");
    assert_eq!(written.at, Some(5..9));
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
fn another_moment_and_other_names() {
    with_scope(NOW, |scope| {
        let later = scope.globals.at(Moment::from_millis(NOW + 86_400_000));
        let bindings = json!({"signature": "ab", "page": "token2"});
        let live = Scope { globals: &later, bindings: bindings.as_object().unwrap(), ..*scope };
        let render = |source: &str, scope: &Scope<'_>| compile(source).unwrap().render(scope).unwrap();
        let source = "{{ now }} {{ today | date('%d') }} {{ vars.n }} {{ secrets.token }} {{ page }}";
        assert_eq!(render(source, &live), "2026-01-03T03:04:05Z 03 7 s3cret token2");
        assert_eq!(render(source, scope), "2026-01-02T03:04:05Z 02 7 s3cret 3");
        assert_eq!(render("{{ signature }}", &live), "ab");
        let raw = |source: &str| compile(source).unwrap().render_raw(&live).unwrap();
        assert_eq!(raw("a{{ 'ff00c3a9' | hex_decode }}é"), b"a\xff\x00\xc3\xa9\xc3\xa9");
        assert_eq!(raw("{{ 'abc' | sha1('raw') }}").len(), 20);
        assert_eq!(raw("{{ vars.q }}"), "a b&c/é".as_bytes());
        let first = Scope { page: None, bindings: &Map::new(), ..live };
        assert_eq!(render("/list/{{ page | default('') }}", &first), "/list/");
        assert!(
            compile("/list/{{ page }}").unwrap().render(&first).unwrap_err().message.contains("second page")
        );
    });
}

#[test]
fn errors_of_evaluation_point_into_the_source() {
    for (source, part) in [
        ("{{ symbol | from_json }}{{ 1 }}", "from_json"),
        ("{{- 'x' | epoch -}}", "epoch"),
        ("é {{ 'x' | epoch }}", "epoch"),
        ("{{ 1 < 2 and 3 * page > 4 and 'x' | epoch < 5 }}", "epoch"),
        ("{{ 1 < 2 }}{{ vars.list * 2 < 3 }}", "vars.list"),
        ("{{ vars.a.b.c | default(1) }}{{ 'x' | epoch }}", "epoch"),
    ] {
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
        ("{{ secrets.key[:4] }}", vec!["secrets.key"], true),
        ("{{ issue.at[:n] }} {{ list[0][1:] }}", vec!["issue.at", "list", "n"], false),
        ("{% for x, y in pairs %}{{ x[:2] }}{{ y }}{{ loop.index }}{% endfor %}", vec!["pairs"], false),
        (
            "{% set x = day.start[:4] %}{{ x[1:] is not defined }}{{ x | sort(reverse=true) }}",
            vec!["day.start"],
            false,
        ),
        ("{% filter replace(vars.a, 'b') %}x{% endfilter %}", vec!["vars.a"], false),
        ("{% with a = b[:1] %}{{ a[1:] }}{% endwith %}", vec!["b"], false),
        ("{% raw %}{{ x[:1] }}{% endraw %}", vec![], false),
        ("{% raw %}{{ x[:1] }}{% endraw %}{{ y.raw[:1] }}", vec!["y.raw"], false),
        ("{{ a.b.c | default(1) }}{{ d * 2 < e }}", vec!["a.b.c", "d", "e"], false),
        (
            "{{ a is odd and b is not none and c in [d] }}{{ {'k': e, 'l.m': f.g} }}",
            vec!["a", "b", "c", "d", "e", "f.g"],
            false,
        ),
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
