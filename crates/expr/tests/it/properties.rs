//! Whatever is written never panics or hangs, and the fast paths give what the languages give.

use entities::{Moment, Secrets, TemplateText};
use expr::{Globals, Scope, Template};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_oneof, proptest};
use proptest::prop_assert_eq;
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_template_source_is_harmless(parts in prop::collection::vec(prop_oneof![
        Just("{{".to_owned()), Just("}}".to_owned()), Just("{%".to_owned()), Just("%}".to_owned()),
        Just(" vars.a ".to_owned()), Just("now - duration('1d')".to_owned()), Just("-".to_owned()),
        Just("| date('%Q')".to_owned()), Just("for x in range(99999)".to_owned()), Just("endfor".to_owned()),
        Just("'".to_owned()), Just("* 99999999".to_owned()), "\\PC{0,6}",
    ], 0..12)) {
        if let Ok(template) = Template::compile(&TemplateText::new(parts.concat())) {
            let _ = in_scope(&json!({"a": 1}), &template);
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
