//! Whatever is written never panics or hangs, and the fast paths give what the languages give.

use entities::{Moment, Secrets, TemplateText};
use expr::{FUNCTIONS, Globals, Scope, Template};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_oneof, proptest};
use proptest::{prop_assert, prop_assert_eq};
use serde_json::{Map, Value, json};

use crate::jq;

fn small_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e6..1e6_f64).prop_map(Value::from),
        "[a-c]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[a-c]", inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn in_scope(vars: &Value, template: &Template) -> (Result<String, String>, Result<Value, String>) {
    let vars = vars.as_object().cloned().unwrap_or_default();
    let globals = Globals::new(&vars, &Secrets::default(), Moment::from_millis(0));
    let bindings = Map::new();
    let scope = Scope { globals: &globals, bindings: &bindings, cursor: None, record: None, page: Some(1) };
    (
        template.render(&scope).map_err(|error| error.message),
        template.value(&scope).map_err(|error| error.message),
    )
}

/// A decimal number as its sign, its digits and the exponent of the last of them.
fn decimal(text: &str) -> (bool, String, i64) {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let fraction = mantissa.split_once('.').map_or("", |(_, fraction)| fraction);
    let mut exponent = exponent.parse::<i64>().unwrap() - i64::try_from(fraction.len()).unwrap();
    let mut digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits = digits.trim_start_matches('0').to_owned();
    while digits.ends_with('0') {
        digits.pop();
        exponent += 1;
    }
    if digits.is_empty() { (false, digits, 0) } else { (text.starts_with('-'), digits, exponent) }
}

/// A number with at most twenty digits before and behind its point, as an integer of signs and digits.
fn scaled(text: &str) -> (bool, Vec<i8>) {
    let (whole, fraction) =
        text.trim_start_matches('-').split_once('.').unwrap_or((text.trim_start_matches('-'), ""));
    let digits = format!("{whole:0>21}{fraction:0<20}");
    let zero = digits.bytes().all(|digit| digit == b'0');
    let sign = if text.starts_with('-') && !zero { -1 } else { 1 };
    (sign > 0, digits.bytes().map(|digit| sign * i8::try_from(digit - b'0').unwrap()).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_template_source_is_harmless(parts in prop::collection::vec(prop_oneof![
        Just("{{".to_owned()), Just("}}".to_owned()), Just("{%".to_owned()), Just("%}".to_owned()),
        Just(" vars.a ".to_owned()), Just("now - duration('1d')".to_owned()), Just("-".to_owned()),
        Just("| date('%Q')".to_owned()), Just("for x in range(99999)".to_owned()), Just("endfor".to_owned()),
        Just("'".to_owned()), Just("* 99999999".to_owned()), Just("<".to_owned()), Just(">= vars.b.c".to_owned()),
        Just("| default(1)".to_owned()), Just("is defined".to_owned()), Just("not in".to_owned()), Just("[".to_owned()),
        Just(")".to_owned()), Just("{".to_owned()), Just("}".to_owned()), Just("{% raw %}".to_owned()), "\\PC{0,6}",
    ], 0..12)) {
        if let Ok(template) = Template::compile(&TemplateText::new(parts.concat())) {
            let _ = in_scope(&json!({"a": 1}), &template);
        }
    }

    #[test]
    fn a_mutated_template_is_harmless(at in any::<prop::sample::Index>(), cut in any::<prop::sample::Index>(),
        length in 0..9_usize, put in prop_oneof!["[-+*/%~|.,(){}'\"\\[\\]=<>! a-z0-9]{0,4}", "\\PC{0,2}"])
    {
        let source = FUNCTIONS[at.index(FUNCTIONS.len())].example;
        let chars: Vec<char> = source.chars().collect();
        let cut = cut.index(chars.len() + 1);
        let end = (cut + length).min(chars.len());
        let mutated: String =
            chars[..cut].iter().copied().chain(put.chars()).chain(chars[end..].iter().copied()).collect();
        match Template::compile(&TemplateText::new(mutated.as_str())) {
            Ok(template) => {
                let _ = in_scope(&json!({"repos": ["a/b", "c"], "since": "2026-01-01"}), &template);
            }
            // Wherever an error points to lies in the source.
            Err(error) => prop_assert!(error.at.is_none_or(|at| mutated.get(at).is_some())),
        }
    }

    #[test]
    fn any_date_is_harmless(format in "(%[-_0^#]?[0-9]{0,2}:{0,3}[a-zA-Z%]|[ -~é]){0,5}", text in "[-+:TZ0-9. é/]{0,24}",
        number in any::<i64>(), float in any::<f64>(), length in "-?[0-9]{1,19} ?(ns|ms|s|m|h|d|w|months?|years?)")
    {
        let vars = json!({"f": format, "t": text, "n": number, "x": float, "l": length, "z": "America/New_York"});
        for source in [
            "{{ vars.t | parse_date(vars.f) }}", "{{ vars.t | parse_date(vars.f, vars.z) }}", "{{ now | date(vars.f) }}",
            "{{ vars.t | date('%F') }}", "{{ vars.n | date(vars.f, vars.z) }}", "{{ vars.x | from_epoch }}",
            "{{ vars.n | from_epoch | epoch_ms }}", "{{ vars.t | add(vars.l) }}", "{{ vars.n + duration(vars.l) }}",
            "{{ vars.x - duration(vars.l) }}", "{{ now - duration(vars.l) }}", "{{ duration(vars.t) }}", "{{ now | date('%F', vars.t) }}",
        ] {
            let _ = in_scope(&vars, &Template::compile(&TemplateText::new(source)).unwrap());
        }
    }

    #[test]
    fn a_date_that_is_written_is_read_back(at in 0..4_102_444_800_i64, format in prop_oneof![
        Just("%Y-%m-%d %H:%M:%S"), Just("%d/%m/%y %H.%M.%S"), Just("%s"), Just("%a, %d %b %Y %H:%M:%S %z"), Just("%FT%T%:z"),
        Just("%Y%m%d%H%M%S"), Just("%Y-%jT%H:%M:%S")])
    {
        let vars = json!({"at": at, "f": format});
        let source = "{{ vars.at | date(vars.f) | parse_date(vars.f) | epoch }}";
        let back = in_scope(&vars, &Template::compile(&TemplateText::new(source)).unwrap()).1;
        // Two digits of a year mean 1969 to 2068.
        if !(format.contains("%y") && at >= 3_124_224_000) {
            prop_assert_eq!(back, Ok(json!(at)));
        }
    }

    #[test]
    fn any_regex_is_harmless(pattern in "(\\\\?[a-c.*+?(){}|^$\\[\\],0-9\\\\dws-]){0,12}", text in "[a-c0-9 é\n]{0,40}", with in "[$a{}0-9]{0,6}") {
        let vars = json!({"p": pattern, "t": text, "w": with});
        for source in ["{{ vars.t | regex_match(vars.p) }}", "{{ vars.t | regex_search(vars.p, 1) }}", "{{ vars.t | regex_replace(vars.p, vars.w) }}"] {
            let _ = in_scope(&vars, &Template::compile(&TemplateText::new(source)).unwrap());
        }
        let program = format!("[match({}; \"g\")?] | length", json!(pattern));
        if let Ok(program) = jq::compile(&program) {
            let _ = jq::with_scope(|scope| program.run(&json!(text), scope));
        }
    }

    #[test]
    fn any_number_keeps_its_digits(number in "-?(0|[1-9][0-9]{0,24})([.][0-9]{1,24})?([eE][-+]?[0-9]{1,3})?") {
        let Ok(value) = serde_json::from_str::<Value>(&number) else { return Ok(()) };
        let vars = json!({"n": value});
        let passed = in_scope(&vars, &Template::compile(&TemplateText::new("{{ (vars.n) }}")).unwrap()).0;
        // Not as text: 1.50 may become 1.5, and 1e2 100.0.
        let passed = passed.map(|text| decimal(&text));
        prop_assert_eq!(passed, Ok(decimal(&number)));
        let sum = in_scope(&vars, &Template::compile(&TemplateText::new("{{ vars.n + 0 }}")).unwrap()).0;
        if let Ok(sum) = sum {
            prop_assert_eq!(decimal(&sum), decimal(&number));
        }
    }

    #[test]
    fn any_two_numbers_are_ordered(left in "-?(0|[1-9][0-9]{0,20})([.][0-9]{1,20})?", right in "-?(0|[1-9][0-9]{0,20})([.][0-9]{1,20})?") {
        let number = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let vars = json!({"a": number(&left), "b": number(&right)});
        let expected = scaled(&left).cmp(&scaled(&right));
        for (source, holds) in [
            ("{{ vars.a < vars.b }}", expected.is_lt()), ("{{ vars.a >= vars.b }}", expected.is_ge()),
            ("{{ vars.a == vars.b }}", expected.is_eq()), ("{{ vars.a is gt vars.b }}", expected.is_gt()),
            ("{{ [vars.b, vars.a] | sort | first == vars.a }}", expected.is_le()),
            ("{{ 'x' if not (vars.b) > (vars.a) else '' }}", expected.is_ge()),
        ] {
            let got = in_scope(&vars, &Template::compile(&TemplateText::new(source)).unwrap()).1;
            let got = got.map(|value| value == json!(true) || value == json!("x"));
            prop_assert_eq!(got, Ok(holds), "{}", source);
        }
    }

    #[test]
    fn any_jq_source_is_harmless(parts in prop::collection::vec(prop_oneof![
        Just(".a".to_owned()), Just("[]".to_owned()), Just("|".to_owned()), Just("..".to_owned()), Just("(".to_owned()),
        Just(")".to_owned()), Just("[".to_owned()), Just("]".to_owned()), Just(",".to_owned()), Just("*".to_owned()),
        Just(" reduce . as $x (0;.)".to_owned()), Just("range(1000)".to_owned()), Just("\"".to_owned()),
        Just("$vars".to_owned()), Just("|=".to_owned()), Just("?".to_owned()), Just(" // ".to_owned()), Just("1e9".to_owned()),
        Just("tojson".to_owned()), Just("limit(3;..)".to_owned()), "\\PC{0,4}",
    ], 0..10), input in small_json()) {
        if let Ok(program) = jq::compile(&parts.concat()) {
            let _ = jq::with_scope(|scope| program.run(&input, scope));
        }
    }

    #[test]
    fn names_render_as_minijinja_renders_them(vars in small_json(), path in prop::collection::vec("[a-c]", 0..3)) {
        let name = std::iter::once("vars".to_owned()).chain(path).collect::<Vec<_>>().join(".");
        for (fast, slow) in [(format!("{{{{ {name} }}}}"), format!("{{{{ ({name}) }}}}")), (format!("x{{{{{name}}}}}"), format!("x{{{{ ({name}) }}}}"))] {
            let fast = in_scope(&vars, &Template::compile(&TemplateText::new(fast)).unwrap());
            let slow = in_scope(&vars, &Template::compile(&TemplateText::new(slow)).unwrap());
            prop_assert_eq!(fast.0.ok(), slow.0.ok());
            prop_assert_eq!(fast.1.ok(), slow.1.ok());
        }
    }

    #[test]
    fn a_plain_path_gives_what_jaq_gives(input in small_json(), path in prop::collection::vec(
        prop_oneof![Just(".a"), Just(".b"), Just("[0]"), Just("[-1]"), Just("[]")], 1..4))
    {
        let path = path.concat();
        let path = if path.starts_with('[') { format!(".{path}") } else { path };
        let fast = jq::compile(&path).unwrap();
        assert!(fast.path().is_some());
        let slow = jq::compile(&format!("({path})")).unwrap();
        assert!(slow.path().is_none());
        jq::with_scope(|scope| {
            // Where the strict path finds everything, jaq finds the same.
            if let Ok(found) = fast.run(&input, scope) {
                prop_assert_eq!(Ok(found), slow.run(&input, scope));
            }
            // The first output is the same where both have one: jaq alone takes `{} | .[0]` for null,
            // and the path alone takes `null | .[]` for nothing.
            if let (Ok(slow), Ok(fast)) = (slow.first(&input, scope), fast.first(&input, scope)) {
                prop_assert_eq!(fast, slow);
            }
            Ok(())
        })?;
    }
}
