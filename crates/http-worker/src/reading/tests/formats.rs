//! Answers in each format.

use bytes::Bytes;
use entities::{
    Decode, FailureKind, JqText, Next, OnAction, Outcome, PaginateBy, ParamPlace, Position, Reading,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::unpack::tests::{gzip, zipped};
use super::{Case, jq, paginate, rows, rule, spec};

/// What lands of a body, as JSON.
fn landed(decode: Decode, kind: &'static str, records: Option<&str>, body: &[u8]) -> Result<String, String> {
    read(Reading { decode, records: records.map(JqText::new), ..Reading::default() }, kind, body)
}

fn read(reading: Reading, kind: &'static str, body: &[u8]) -> Result<String, String> {
    let mut task = spec("a");
    task.reading = reading;
    let case = Case {
        headers: if kind.is_empty() { vec![] } else { vec![("content-type", kind)] },
        body: Bytes::copy_from_slice(body),
        ..Case::new(task, "")
    };
    match case.read() {
        Outcome::Landed(landed) => Ok(rows(&landed.records).to_string()),
        Outcome::Failed(failure) => Err(failure.to_string()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn tables() {
    for (kind, records, body, expected) in [
        ("text/csv", None, "a,b\n1,x\n2,\n", r#"[{"a":"1","b":"x"},{"a":"2","b":null}]"#),
        (
            "text/csv; charset=UTF-8",
            None,
            "\u{feff}a,b\r\n\"1,5\",\"say \"\"x\"\"\"\r\n",
            r#"[{"a":"1,5","b":"say \"x\""}]"#,
        ),
        ("text/csv", None, "a\n\"two\nlines\"\n\n", r#"[{"a":"two\nlines"}]"#),
        ("text/csv", None, "a,b\n", "[]"),
        ("text/csv", None, "a,\n1,2\n", r#"[{"a":"1","":"2"}]"#),
        // Digits are not read.
        ("text/csv", None, "id\n0012345678901234567890\n", r#"[{"id":"0012345678901234567890"}]"#),
        ("text/tab-separated-values", None, "a\tb\n1,0\t2\n", r#"[{"a":"1,0","b":"2"}]"#),
        ("text/csv", None, "<DATE>,<OPEN>\n20240102,1.5\n", r#"[{"<DATE>":"20240102","<OPEN>":"1.5"}]"#),
        ("text/csv", Some(".[]"), "a\n1\n2\n", r#"[{"a":"1"},{"a":"2"}]"#),
        ("text/csv", Some(".[1:]"), "a\n1\n2\n", r#"[{"a":"2"}]"#),
    ] {
        assert_eq!(landed(Decode::Auto, kind, records, body.as_bytes()).as_deref(), Ok(expected), "{body}");
        assert_eq!(landed(Decode::Csv, kind, records, body.as_bytes()).as_deref(), Ok(expected), "{body}");
    }
    let reading = Reading { map: jq("{n: .a | tonumber, b}"), filter: jq(".n > 1"), ..Reading::default() };
    assert_eq!(read(reading, "text/csv", b"a,b\n1,x\n2,y\n").as_deref(), Ok(r#"[{"n":2,"b":"y"}]"#));
    for (body, expected) in [
        ("a,b\n1,2\n3\n", "decode: line 3: number of values 1, of names in the header 2"),
        ("a,b\n1,2,3\n", "decode: line 2: number of values 3, of names in the header 2"),
        ("a,a\n1,2\n", "decode: two columns are called `a`"),
        ("a,b\n1,\"2\n3,4\n", "decode: line 2: a quoted value is not closed"),
        ("", "decode: empty body: the answer should be CSV"),
        ("{\"error\":\"quota\"}", "decode: the answer is JSON, not CSV"),
        ("<!doctype html>", "decode: the answer is HTML, not CSV"),
        ("<?xml version=\"1.0\"?><e/>", "decode: the answer is XML, not CSV"),
    ] {
        for records in [None, Some(".[]")] {
            let said = landed(Decode::Csv, "", records, body.as_bytes());
            assert_eq!(said.as_ref().map_err(String::as_str), Err(expected), "{body}");
        }
    }
}

#[test]
fn lines() {
    for (records, body, expected) in [
        (None, "{\"a\":1}\n{\"a\":2,\"b\":[]}\n", r#"[{"a":1,"b":null},{"a":2,"b":[]}]"#),
        (
            None,
            "\n {\"a\":1} \r\n\r\n{\"a\":12345678901234567890}",
            r#"[{"a":1},{"a":12345678901234567890}]"#,
        ),
        (None, "", "[]"),
        (None, "\u{1e}{\"a\":1}\n\u{1e}{\"a\":2}\n", r#"[{"a":1},{"a":2}]"#),
        (None, "1\n\"x\"\nnull\n", r#"[{"value":1},{"value":"x"},{"value":null}]"#),
        // A path is followed in each line.
        (Some(".x"), "{\"x\":{\"a\":1}}\n{\"x\":[{\"a\":2},{\"a\":3}]}\n", r#"[{"a":1},{"a":2},{"a":3}]"#),
        (Some(".[]"), "[{\"a\":1}]\n[]\n[{\"a\":2}]\n", r#"[{"a":1},{"a":2}]"#),
        (Some(".x[]?"), "{\"x\":[{\"a\":1}]}\n{}\n", r#"[{"a":1}]"#),
        (Some(".x | select(. != null)"), "{\"x\":{\"a\":1}}\n{}\n", r#"[{"a":1}]"#),
    ] {
        let said = landed(Decode::Auto, "application/x-ndjson", records, body.as_bytes());
        assert_eq!(said.as_deref(), Ok(expected), "{body}");
    }
    let reading = Reading { columns: jq(".[0] | map(\"c\" + tostring)"), ..Reading::default() };
    let said = read(reading, "application/jsonl", b"[1,2]\n[3,4]\n");
    assert_eq!(said.as_deref(), Ok(r#"[{"c1":1,"c2":2},{"c1":3,"c2":4}]"#));
    for (records, body, expected) in [
        (
            None,
            "{\"a\":1}\n{\"a\":\n",
            "decode: line 2: the answer is not JSON: the text ends early at byte 5",
        ),
        (None, "{}{}", "decode: line 1: the answer is not JSON: something follows the value at byte 2"),
        (None, "[1]\n", "decode: line 1: the records are arrays"),
        (Some(".x"), "{\"x\":{}}\n{}\n", "missing: nothing at `.x`: the answer has no `x`"),
        (None, "<html>", "decode: the answer is HTML, not JSON lines"),
    ] {
        let said = landed(Decode::Jsonl, "", records, body.as_bytes()).unwrap_err();
        assert!(said.starts_with(expected), "{said}");
    }
}

#[test]
fn elements() {
    let feed = r#"<?xml version="1.0"?><!DOCTYPE feed><feed xmlns:x="urn:x"><!-- two -->
        <entry id="1"><x:name>a &amp; b</x:name><tag>p</tag><tag>q</tag></entry>
        <entry id="2"><x:name><![CDATA[<c>]]></x:name><empty/>&#x41;</entry></feed>"#;
    let one = r#"<feed><entry id="1"><n>7</n></entry></feed>"#;
    for (records, body, expected) in [
        (
            Some(".feed.entry"),
            feed,
            r##"[{"@id":"1","x:name":"a & b","tag":["p","q"],"empty":null,"#text":null},{"@id":"2","x:name":"<c>","tag":null,"empty":null,"#text":"A"}]"##,
        ),
        (Some(".feed.entry[] | {id: .[\"@id\"]}"), feed, r#"[{"id":"1"},{"id":"2"}]"#),
        // One element is a list of one.
        (Some(".feed.entry"), one, r#"[{"@id":"1","n":"7"}]"#),
        (Some(".feed.entry[]"), one, r#"[{"@id":"1","n":"7"}]"#),
        (Some(".feed[].entry[].n"), one, r#"[{"value":"7"}]"#),
        (Some(".feed.entry[]?"), "<feed/>", "[]"),
        (None, "<r><a>1</a><a>2</a></r>", r#"[{"r":{"a":["1","2"]}}]"#),
        (Some(".r"), "<r> \n</r>", ""),
        (Some(".r"), "<r a=\"1\n2\">  x  </r>", r##"[{"@a":"1 2","#text":"x"}]"##),
        (Some(".r.a"), "<r><a>  kept  </a></r>", r#"[{"value":"  kept  "}]"#),
    ] {
        let said = landed(Decode::Auto, "application/xml", records, body.as_bytes());
        match said {
            Ok(said) => assert_eq!(said, expected, "{body}"),
            Err(said) => assert!(expected.is_empty() && said.starts_with("missing"), "{body}: {said}"),
        }
    }
    let deep = format!("{}{}", "<a>".repeat(200), "</a>".repeat(200));
    let lol = r#"<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><l>&b;</l>"#;
    let file = r#"<!DOCTYPE l [<!ENTITY x SYSTEM "file:///etc/passwd">]><l>&x;</l>"#;
    for (body, expected) in [
        (deep.as_str(), "more than 128 elements within each other"),
        (lol, "the entity `&b;` is not one of XML's own"),
        (file, "the entity `&x;` is not one of XML's own"),
        ("<a><b></a>", "expected `</b>`, but `</a>` was found"),
        ("<a>", "`a` is not closed"),
        ("<a/><b/>", "`b` follows the root element"),
        ("<a/>text", "there is text outside of the root element"),
        ("<a x='1' x='2'/>", "the attribute `x` stands twice"),
        ("<!-- nothing -->", "there is no element in it"),
    ] {
        let said = landed(Decode::Xml, "", None, body.as_bytes()).unwrap_err();
        assert!(said.contains(expected), "{said}");
    }
    let said = landed(Decode::Xml, "", None, b"{\"error\":1}").unwrap_err();
    assert_eq!(said, "decode: the answer is JSON, not XML");
}

#[test]
fn text_and_archives() {
    assert_eq!(landed(Decode::Text, "text/html", None, b"<p>\n").as_deref(), Ok(r#"[{"text":"<p>\n"}]"#));
    assert_eq!(landed(Decode::Text, "", None, b"").as_deref(), Ok(r#"[{"text":""}]"#));
    let table: &[u8] = b"a,b\n1,2\n";
    for (decode, kind, records, body, expected) in [
        (Decode::Auto, "application/gzip", None, gzip(b"[{\"a\":1}]"), r#"[{"a":1}]"#),
        (Decode::Auto, "text/csv", None, gzip(table), r#"[{"a":"1","b":"2"}]"#),
        (
            Decode::Auto,
            "application/zip",
            None,
            zipped(&[("x.csv", table), ("y.jsonl", b"{\"a\":3}\n{\"c\":4}\n"), ("z", b"[{\"b\":5}]")]),
            r#"[{"a":"1","b":"2","c":null},{"a":3,"b":null,"c":null},{"a":null,"b":null,"c":4},{"a":null,"b":5,"c":null}]"#,
        ),
        (
            Decode::Csv,
            "application/zip",
            None,
            zipped(&[("x.dat", table), ("y.dat", b"b\n3\n")]),
            r#"[{"a":"1","b":"2"},{"a":null,"b":"3"}]"#,
        ),
        (Decode::Auto, "application/zip", None, zipped(&[]), "[]"),
        (
            Decode::Auto,
            "application/zip",
            Some(".rows"),
            zipped(&[("1.json", b"{\"rows\":[{\"a\":1}]}"), ("2.json", b"{\"rows\":[{\"a\":2}]}")]),
            r#"[{"a":1},{"a":2}]"#,
        ),
    ] {
        assert_eq!(landed(decode, kind, records, &body).as_deref(), Ok(expected), "{kind} {records:?}");
    }
    let said = landed(Decode::Auto, "", None, &zipped(&[("a.csv", table), ("b.csv", b"a\n1,2\n")]));
    let expected = "decode: `b.csv`: line 2: number of values 2, of names in the header 1";
    assert_eq!(said.as_ref().map_err(String::as_str), Err(expected));
    // `max_body` of these tests is 1 MiB.
    let said = landed(Decode::Text, "", None, &gzip(&vec![b' '; 2 << 20])).unwrap_err();
    assert!(said.starts_with("body_too_large"), "{said}");
}

#[test]
fn encodings() {
    for (kind, body, expected) in [
        (
            "text/csv; charset=ISO-8859-1",
            &b"a\n\xe9\n"[..],
            Err("decode: the answer is in iso-8859-1, and only UTF-8 is read"),
        ),
        (
            "text/csv; charset=\"gbk\"",
            b"a\n\xc4\xe3\n",
            Err("decode: the answer is in gbk, and only UTF-8 is read"),
        ),
        (
            "text/csv; charset=utf-16le",
            b"a\0\n\0",
            Err("decode: the answer is in utf-16le, and only UTF-8 is read"),
        ),
        (
            "application/json",
            b"\xff\xfe[\0]\0",
            Err("decode: the answer is in UTF-16, and only UTF-8 is read"),
        ),
        (
            "text/xml",
            b"<?xml version='1.0' encoding='Windows-1252'?><a>\xe9</a>",
            Err("decode: the answer is in windows-1252, and only UTF-8 is read"),
        ),
        ("text/csv", b"a\n\xe9\n", Err("decode: the answer is not UTF-8: byte 2 is not text")),
        // What is UTF-8 throughout is read, whatever it is said to be.
        ("text/csv; charset=latin1", "a\né\n".as_bytes(), Ok(r#"[{"a":"é"}]"#)),
        ("application/json; charset=utf-8", b"\xef\xbb\xbf[{\"a\":\"\xc3\xa9\"}]", Ok(r#"[{"a":"é"}]"#)),
    ] {
        let said = landed(Decode::Auto, kind, None, body);
        assert_eq!(said.as_deref().map_err(String::as_str), expected, "{kind}");
    }
}

#[test]
fn rules_and_paging_see_every_format() {
    let mut task = spec("a");
    task.reading.decode = Decode::Csv;
    task.on = vec![
        rule(vec![], jq(".Information != null"), OnAction::Retry),
        rule(vec![], jq("length > 2"), OnAction::Skip),
    ];
    task.paginate = paginate(PaginateBy::Token {
        param: "after".into(),
        place: ParamPlace::Query,
        size: None,
        next: JqText::new(".[-1].id"),
    });
    let case = |body: &str| Case::new(task.clone(), body);
    // An API that sends tables may say in JSON that there is none.
    assert!(matches!(case(r#"{"Information":"limit"}"#).read(), Outcome::Retry { .. }));
    assert!(case("id\n1\n2\n3\n").landed().skipped);
    let landed = case("id\n1\n2\n").landed();
    let Next::Pages(pages) = landed.next else { panic!("no pages") };
    assert_eq!(pages[0].position, Position::Token(json!("2")));
    let again = Case { page: pages[0].clone(), ..case("id\n1\n2\n") }.failed();
    assert_eq!(again.kind, FailureKind::PageLoop);
}

#[test]
fn members_of_lines() {
    let mut task = spec("a");
    task.reading.decode = Decode::Jsonl;
    task.on = vec![rule(vec![], jq(".error.code == 7"), OnAction::Skip)];
    for (body, skipped) in [
        ("{\"error\":{\"code\":7}}\n", true),
        ("{\"error\":{\"code\":8}}\n", false),
        ("{\"error\":{\"code\":7}}\n{\"error\":{\"code\":7}}\n", false),
        ("", false),
    ] {
        assert_eq!(Case::new(task.clone(), body).landed().skipped, skipped, "{body}");
    }
}

#[test]
fn what_pages_point_at_may_be_missing_whatever_reads_the_records() {
    for map in [None, jq(".")] {
        let mut task = spec("a");
        task.reading = Reading { records: jq(".rows[]"), map, ..Reading::default() };
        task.paginate = paginate(PaginateBy::Token {
            param: "c".into(),
            place: ParamPlace::Query,
            size: None,
            next: JqText::new(".meta.next"),
        });
        let landed = Case::new(task, r#"{"rows":[{"id":1}]}"#).landed();
        assert!(matches!(landed.next, Next::End));
    }
}

proptest! {
    #[test]
    fn any_body_is_read(
        decode in prop::sample::select(vec![Decode::Auto, Decode::Json, Decode::Jsonl, Decode::Csv, Decode::Xml, Decode::Text]),
        records in prop::sample::select(vec![None, Some(".a"), Some(".[]"), Some(".a.b[]?"), Some(".. | objects")]),
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            "[{}\\[\\]\"a:,1\n ]{0,40}".prop_map(String::into_bytes),
            "[a,\"\r\n1 ]{0,40}".prop_map(String::into_bytes),
            "(</?[ab]( a='1')?/?>|&[a-z#1]{0,4};|<!\\[CDATA\\[|\\]\\]>|<!DOCTYPE|<\\?xml|a){0,12}".prop_map(String::into_bytes),
        ],
    ) {
        let _ = landed(decode, "", records, &body);
    }

    #[test]
    fn a_table_is_read_as_it_was_written(
        cells in prop::collection::vec(prop::collection::vec("[a\",\n\r é]{0,6}", 3), 1..6),
    ) {
        let quoted = |cell: &String| format!("\"{}\"", cell.replace('"', "\"\""));
        let mut body = "x,y,z\n".to_owned();
        let mut expected = Vec::new();
        for row in &cells {
            body.push_str(&row.iter().map(quoted).collect::<Vec<_>>().join(","));
            body.push_str("\r\n");
            let value = |at: usize| if row[at].is_empty() { Value::Null } else { json!(row[at]) };
            expected.push(json!({ "x": value(0), "y": value(1), "z": value(2) }));
        }
        prop_assert_eq!(landed(Decode::Csv, "", None, body.as_bytes()), Ok(json!(expected).to_string()));
    }
}
