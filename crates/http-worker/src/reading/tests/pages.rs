//! How one page leads to the next, or to the end.

use super::*;

#[test]
fn every_kind_goes_on() {
    let body = r#"{"rows":[{"id":"a"},{"id":"b"}],"total":"5","next":"t2","links":{"next":"/x?page=2"}}"#;
    let param = || "p".to_owned();
    let query = ParamPlace::Query;
    for (by, expected) in [
        (
            PaginateBy::Page {
                param: param(),
                place: query,
                start: 1,
                size: None,
                pages: None,
                total: jq(".total"),
            },
            vec![Position::Number(2), Position::Number(3)],
        ),
        (
            PaginateBy::Page { param: param(), place: query, start: 0, size: None, pages: None, total: None },
            vec![Position::Number(1)],
        ),
        (
            PaginateBy::Offset { param: param(), place: query, start: 0, size: None, total: jq(".total") },
            vec![Position::Offset(2), Position::Offset(4)],
        ),
        (
            PaginateBy::Token { param: param(), place: query, size: None, next: JqText::new(".next") },
            vec![Position::Token(json!("t2"))],
        ),
        (
            PaginateBy::Token { param: param(), place: query, size: None, next: JqText::new(".rows[-1].id") },
            vec![Position::Token(json!("b"))],
        ),
        (
            PaginateBy::Token { param: param(), place: query, size: None, next: JqText::new(".no.such") },
            vec![],
        ),
        (PaginateBy::Url { next: JqText::new(".links.next") }, vec![Position::Url("/x?page=2".into())]),
        (PaginateBy::Link { rel: "next".into() }, vec![Position::Url("/x?page=9".into())]),
    ] {
        let mut task = spec("a");
        task.reading.records = jq(".rows[]");
        task.paginate = paginate(by.clone());
        let landed =
            Case { headers: vec![("link", "<?page=9>; rel=\"next\"")], ..Case::new(task, body) }.landed();
        let positions: Vec<_> = match landed.next {
            Next::Pages(pages) => pages.into_iter().map(|page| page.position).collect(),
            Next::End => Vec::new(),
            other => panic!("{other:?}"),
        };
        assert_eq!(positions, expected, "{by:?}");
    }
}

#[test]
fn until_and_answers_without_a_body_end_it() {
    let mut task = spec("a");
    task.reading.records = jq(".rows[]");
    task.paginate = paginate(PaginateBy::Page {
        param: "p".into(),
        place: ParamPlace::Query,
        start: 1,
        size: None,
        pages: None,
        total: jq(".total"),
    });
    if let Some(paginate) = &mut task.paginate {
        paginate.until = jq(".rows[-1].id >= 7 and $status == 200");
    }
    for (status, body, ends) in [
        (200, r#"{"rows":[{"id":6}],"total":9}"#, false),
        (200, r#"{"rows":[{"id":7}],"total":9}"#, true),
        (204, "", true),
    ] {
        let next = Case::new(task.clone(), body).status(status).landed().next;
        match next {
            Next::End => assert!(ends, "{body}"),
            Next::Pages(pages) => {
                assert!(!ends, "{body}");
                assert_eq!(
                    (pages.len(), pages[0].stride),
                    (1, 1),
                    "with `until` pages go one after the other"
                );
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn pagings_fail_by_name() {
    let body = r#"{"rows":[{"id":1}],"next":"https://evil.example.com/","odd":{"a":1}}"#;
    let total = |total: &str| PaginateBy::Offset {
        param: "o".into(),
        place: ParamPlace::Query,
        start: 0,
        size: None,
        total: jq(total),
    };
    for (by, kind) in [
        (PaginateBy::Url { next: JqText::new(".next") }, FailureKind::Redirect),
        (PaginateBy::Url { next: JqText::new(".odd") }, FailureKind::Decode),
        (total(".total"), FailureKind::Missing),
        (total(".odd"), FailureKind::Decode),
    ] {
        let mut task = spec("a");
        task.reading.records = jq(".rows[]");
        task.paginate = paginate(by.clone());
        assert_eq!(Case::new(task, body).failed().kind, kind, "{by:?}");
    }
}

#[test]
fn the_same_records_again() {
    for map in [None, jq(".")] {
        let mut task = spec("a");
        task.reading.records = jq(".rows[]");
        task.reading.map = map;
        task.paginate = paginate(PaginateBy::Token {
            param: "c".into(),
            place: ParamPlace::Query,
            size: None,
            next: JqText::new(".next"),
        });
        let first = Case::new(task.clone(), r#"{"rows":[{"id":1}],"next":1}"#).landed();
        let Next::Pages(pages) = first.next else { panic!("no pages") };
        let second = |body| Case { page: pages[0].clone(), ..Case::new(task.clone(), body) };
        assert_eq!(second(r#"{"rows":[{"id":1}],"next":2}"#).failed().kind, FailureKind::PageLoop);
        assert_eq!(second(r#"{"rows":[{"id":2}],"next":2}"#).landed().records.rows, 1);
        assert_eq!(second(r#"{"rows":[],"next":2}"#).landed().records.rows, 0);
    }
}
