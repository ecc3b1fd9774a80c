//! Which records an answer holds, and what they drive.

use super::*;

#[test]
fn map_where_and_fields() {
    let mut task = spec("a");
    task.reading = Reading {
        records: jq(".items[]"),
        map: jq("{id, user: .user.login}"),
        filter: jq(".id > 1"),
        fields: vec![
            ("since".into(), text("{{ vars.since }}")),
            ("copy".into(), text("{{ record.id }}")),
            ("label".into(), text("{{ repo }}#{{ record.user }}")),
        ],
        ..Reading::default()
    };
    task.foreach = vec![Foreach {
        name: "repo".into(),
        over: Over::Range { from: 1, to: 1, step: 1 },
        at: Place::default(),
    }];
    let body =
        r#"{"items":[{"id":1,"user":{"login":"a"}},{"id":12345678901234567890,"user":{"login":"b"}}]}"#;
    let landed = Case { bindings: json!({ "repo": "r" }), ..Case::new(task, body) }.landed();
    assert_eq!(landed.received, 2);
    let expected: Value = serde_json::from_str(
        r#"[{"id":12345678901234567890,"user":"b","since":"2024","copy":12345678901234567890,"label":"r#b"}]"#,
    )
    .unwrap();
    assert_eq!(rows(&landed.records), expected);
}

#[test]
fn columns_by_either_way() {
    let body = r#"{"data":{"fields":["code","close"],"items":[["A",1.5],["B",null]]}}"#;
    for (columns, map) in [(".data.fields", None), ("[.data.fields[]]", None), (".data.fields", jq("."))] {
        let mut task = spec("a");
        task.reading =
            Reading { records: jq(".data.items[]"), columns: jq(columns), map, ..Reading::default() };
        let landed = Case::new(task.clone(), body).landed();
        assert_eq!(
            rows(&landed.records),
            json!([{"code":"A","close":1.5},{"code":"B","close":null}]),
            "{columns}"
        );
        let failure = Case::new(task.clone(), r#"{"data":{"fields":["code"],"items":[["A",1.5]]}}"#).failed();
        assert_eq!(failure.message, "record 1 does not fit `columns`: number of values 2, of columns 1");
        let failure = Case::new(task, r#"{"data":{"fields":["a","a"],"items":[["A",1.5]]}}"#).failed();
        assert_eq!(failure.message, "two columns are called `a`");
    }
}

#[test]
fn programs_select_records_and_pages() {
    let mut task = spec("a");
    task.reading.records = jq("[.groups[].rows[]] | map(select(.ok))");
    task.paginate = paginate(PaginateBy::Token {
        param: "c".into(),
        place: ParamPlace::Query,
        size: None,
        next: JqText::new("if .more then .groups[-1].rows[-1].id else null end"),
    });
    let body = r#"{"more":true,"groups":[{"rows":[{"id":1,"ok":true}]},{"rows":[{"id":2,"ok":true},{"id":3,"ok":false}]}]}"#;
    let landed = Case::new(task, body).landed();
    assert_eq!((landed.received, landed.records.rows), (2, 2));
    let Next::Pages(pages) = landed.next else { panic!("no pages") };
    assert_eq!(pages[0].position, Position::Token(json!(3)));
}

#[test]
fn children_are_bound_to_what_they_need() {
    let mut parent = spec("issues");
    parent.key = vec!["id".into()];
    parent.foreach = vec![Foreach {
        name: "repo".into(),
        over: Over::Range { from: 1, to: 1, step: 1 },
        at: Place::default(),
    }];
    let mut child = spec("comments");
    child.path = TemplateText::new("/repos/{{ issue.repo }}/issues/{{ issue.number }}");
    child.reading.fields = vec![("who".into(), text("{{ issue.user.login }}"))];
    child.foreach = vec![Foreach {
        name: "issue".into(),
        over: Over::Records {
            task: SpecIndex(0),
            filter: jq(".comments > 0"),
            batch: None,
            which: Which::Changed,
        },
        at: Place::default(),
    }];
    let body = r#"[{"id":98765432109876543210,"number":7,"comments":2,"user":{"login":"x"},"repo":"field","body":"long"},
                   {"id":2,"number":8,"comments":0,"user":null}]"#;
    let case = |child| Case {
        tasks: vec![parent.clone(), child],
        bindings: json!({ "repo": "tokio" }),
        ..Case::new(parent.clone(), body)
    };
    let landed = case(child.clone()).landed();
    let bindings: Vec<String> =
        landed.children.iter().map(|child| Value::Object((*child.bindings.0).clone()).to_string()).collect();
    let issue = r#"{"id":98765432109876543210,"number":7,"repo":"tokio","user":{"login":"x"}}"#;
    assert_eq!(bindings, [format!(r#"{{"issue":{issue}}}"#)]);
    assert!(landed.children.iter().all(|child| child.row == 0 && child.spec == SpecIndex(1)));

    child.reading.map = jq(". + {title: $issue.body}");
    let landed = case(child).landed();
    assert_eq!(landed.children[0].bindings.0["issue"]["body"], json!("long"), "jq may use all of it");
    assert_eq!(landed.children[0].bindings.0["issue"]["repo"], json!("tokio"));
}

#[test]
fn the_cursor_is_of_the_final_records() {
    let mut task = spec("a");
    task.cursor = Some(cursor("at", ""));
    let landed = Case::new(task.clone(), r#"[{"at":3},{"at":12}]"#).landed();
    assert_eq!(landed.cursor.map(|cursor| cursor.0), Some(json!(12)));
    assert_eq!(landed.records.cells, [Cell::Int(3), Cell::Int(12)]);
    assert_eq!(Case::new(task, r#"[{"id":3}]"#).failed().kind, FailureKind::Missing);
}

/// What goes wrong with an answer because of a key is shown where the key stands.
#[test]
fn failures_point_at_the_key_they_are_about() {
    let at = |line| Place { start: line, end: line + 1, line, column: 1 };
    let mut task = spec("a");
    task.path.at = at(2);
    task.types = vec![("n".into(), ColumnType::Int)];
    task.reading.cap = Some(2);
    for (places, types, cap) in [
        (entities::KeyPlaces::default(), at(2), at(2)),
        (entities::KeyPlaces { types: at(5), cap: at(6), ..entities::KeyPlaces::default() }, at(5), at(6)),
    ] {
        task.places = places;
        assert_eq!(Case::new(task.clone(), r#"[{"n":"x"}]"#).failed().place, Some(types));
        assert_eq!(Case::new(task.clone(), r#"[{"n":1},{"n":2}]"#).failed().place, Some(cap));
    }
    task.zone = Some("Nowhere/None".into());
    task.places.zone = at(7);
    let case = Case::new(task, "[]");
    let failure = Reader::compile(&case.plan(), SpecIndex(0)).err().unwrap();
    assert_eq!(failure.place, Some(at(7)));
}
