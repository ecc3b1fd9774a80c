//! Values land as the API gave them: every digit, every character, every name; and what cannot be held is
//! said, never bent and never a panic. What the terminal is shown of them cannot steer it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::Place;
use crate::rows::{row, rows};
use crate::servers::{Verbatim, json_answer};

const HEAD: &str = r#"
[plan]
name = "values"
[endpoints.api]
base_url = "URL"
limits = []
retry = { attempts = 1, backoff = "5ms..10ms" }
"#;

/// Serves a body, fetches it into table `t`, and gives the place and the exit code.
fn land(body: &str, more: &str) -> (Place, i32, String) {
    let bytes = body.as_bytes().to_vec();
    let server = Verbatim::start(move |_| json_answer(&bytes));
    let place = Place::new();
    let plan = format!("{}\n[tasks.t]\nget = \"/t\"\n{more}\n", HEAD.replace("URL", server.url()));
    place.write("plan.toml", &plan);
    let called = place.call(&["run", "plan.toml"]);
    (place, called.code.unwrap(), called.stdout)
}

/// Values of a field `v`, one record each, and what the column holds: type and value.
#[test]
fn numbers_and_texts_keep_every_digit_and_character() {
    let cases: [(&[&str], &[&str]); 26] = [
        (&["9007199254740993"], &["integer|9007199254740993"]),
        (
            &["9223372036854775807", "-9223372036854775808"],
            &["integer|9223372036854775807", "integer|-9223372036854775808"],
        ),
        (&["1000000000000000000000000000000"], &["text|1000000000000000000000000000000"]),
        (&["9223372036854775808"], &["text|9223372036854775808"]),
        (&["1", "1000000000000000000000000000000"], &["text|1", "text|1000000000000000000000000000000"]),
        (&["0.1", "1e3", "2.50"], &["real|0.1", "real|1000.0", "real|2.5"]),
        (&["1", "0.5"], &["real|1.0", "real|0.5"]),
        (&["9007199254740993", "0.5"], &["text|9007199254740993", "text|0.5"]),
        (&["123456789.123456789123456789"], &["text|123456789.123456789123456789"]),
        (&["0.1", "0.30000000000000000001"], &["text|0.1", "text|0.30000000000000000001"]),
        (&["1e400", "-1E+400"], &["text|1e+400", "text|-1e+400"]),
        (&["1e-400", "12.5E-400"], &["text|1e-400", "text|12.5e-400"]),
        // SQLite has no negative zero on disk.
        (&["-0", "-0.0"], &["real|0.0", "real|0.0"]),
        (&["true", "false", "null"], &["integer|1", "integer|0", "null|null"]),
        (&["true", "\"x\"", "7"], &["text|true", "text|x", "text|7"]),
        (&["null", "5"], &["null|null", "integer|5"]),
        (&["\"007\"", "1"], &["text|007", "text|1"]),
        (&["\"\"", "\" \""], &["text|", "text| "]),
        (&["\"a\\u0000b\""], &["text|a\0b"]),
        (&["\"\\ud800x\"", "\"x\\udfff\""], &["text|\u{fffd}x", "text|x\u{fffd}"]),
        (&["\"\\ud83d\\ude00 日本 é\""], &["text|😀 日本 é"]),
        (&["\"\\u202eabc\\u200f\""], &["text|\u{202e}abc\u{200f}"]),
        (&["\"\\u001b[31m\\n\\t\\\\ \\\" ' ; --\""], &["text|\u{1b}[31m\n\t\\ \" ' ; --"]),
        (&["{\"x\":[1, 12345678901234567890123, 0.10]}"], &["text|{\"x\":[1,12345678901234567890123,0.10]}"]),
        (&["[1]", "\"[1]\"", "{}"], &["text|[1]", "text|[1]", "text|{}"]),
        (&["[{\"a\":null}]", "3"], &["text|[{\"a\":null}]", "text|3"]),
    ];
    let bodies: Vec<Vec<u8>> = cases
        .iter()
        .map(|(values, _)| {
            let records: Vec<String> =
                values.iter().enumerate().map(|(n, value)| format!("{{\"n\":{n},\"v\":{value}}}")).collect();
            format!("[{}]", records.join(",")).into_bytes()
        })
        .collect();
    let server = Verbatim::start(move |path| json_answer(&bodies[path[1..].parse::<usize>().unwrap()]));
    let place = Place::new();
    let mut plan = HEAD.replace("URL", server.url());
    for case in 0..cases.len() {
        plan.push_str(&format!("[tasks.t{case}]\nget = \"/{case}\"\n"));
    }
    place.write("plan.toml", &plan);
    // Twice: the second time through a table that exists, and its swap.
    for run in 1..=2 {
        place.call(&["run", "plan.toml", "--progress", "none"]).exits(0);
        for (case, (values, expected)) in cases.iter().enumerate() {
            let found = rows(&place, "values.db", &format!("select typeof(v), v from t{case} order by n"));
            // Spaces within JSON are the answer's own business.
            let found: Vec<String> = found
                .into_iter()
                .map(|value| if value.starts_with("text|{\"x\"") { value.replace(' ', "") } else { value })
                .collect();
            assert_eq!(found, *expected, "run {run}: {values:?}");
        }
    }
}

#[test]
fn half_a_character_is_replaced_and_counted_or_refused() {
    let body = r#"[{"id":1,"v":"a\ud800b\udc00"},{"id":2,"v":"a\u0000b"}]"#;
    let (place, code, stdout) = land(body, "");
    assert_eq!(code, 0, "{stdout}");
    assert!(stdout.contains("2 characters that no text can hold"), "{stdout}");
    assert_eq!(rows(&place, "values.db", "select v from t order by id"), ["a\u{fffd}b\u{fffd}", "a\0b"]);
    let (_, code, stdout) = land(body, "text = \"fail\"\n");
    assert_eq!(code, 1, "{stdout}");
    assert!(stdout.contains("`v` of record 2 holds U+0000, which is no text"), "{stdout}");
}

#[test]
fn names_are_columns_whatever_they_are() {
    let body = r#"[{"select":1,"":2,"A":3,"a":4,"a b":5,"q\"uo'te":6,"é":7,"rowid":8,"_task":9,"_more":10,"order":11,"É":12,"1":13,"x\u0000y":14,"[]":15,"a.b":16,"Table":17}]"#;
    let (place, code, stdout) = land(body, "");
    assert_eq!(code, 0, "{stdout}");
    // Every value is somewhere, each once, and the request's id in `_task`.
    let columns = rows(
        &place,
        "values.db",
        "select source, name from _sync_columns where target = 't' and type <> 'more'",
    );
    let mut values: Vec<i64> = Vec::new();
    for column in &columns {
        let name = column.rsplit_once('|').unwrap().1.replace('"', "\"\"");
        values.push(row(&place, "values.db", &format!("select \"{name}\" from t")).parse().unwrap());
    }
    let more = rows(&place, "values.db", "select name from pragma_table_info('t') where name = '_more'");
    if !more.is_empty() {
        let more = row(&place, "values.db", "select _more from t");
        let object: serde_json::Value = serde_json::from_str(&more).unwrap();
        values.extend(object.as_object().unwrap().values().map(|value| value.as_i64().unwrap()));
    }
    values.sort_unstable();
    assert_eq!(values, (1..=17).collect::<Vec<i64>>(), "{columns:?}");
    for (column, value) in
        [("select", 1), ("a b", 5), ("q\"uo'te", 6), ("é", 7), ("order", 11), ("Table", 17)]
    {
        let name = column.replace('"', "\"\"");
        assert_eq!(
            row(&place, "values.db", &format!("select \"{name}\" from t")),
            value.to_string(),
            "{column}"
        );
    }
    assert_eq!(row(&place, "values.db", "select t._task = r.id from t, _sync_requests r"), "1");
    place.call(&["trace", "plan.toml", "t", "select=1"]).exits(0);
}

/// SQLite knows the row's number by these names; an API may know something else by them.
#[test]
fn names_of_the_rows_number_can_come_later() {
    let second: Arc<AtomicBool> = Arc::default();
    let flag = Arc::clone(&second);
    let server = Verbatim::start(move |_| {
        json_answer(match flag.load(Ordering::SeqCst) {
            false => br#"[{"id":1}]"#,
            true => br#"[{"id":2,"oid":"x","RowId":7,"_rowid_":1.5}]"#,
        })
    });
    let place = Place::new();
    place.write(
        "plan.toml",
        &format!("{}\n[tasks.t]\nget = \"/\"\nkey = [\"id\"]\n", HEAD.replace("URL", server.url())),
    );
    place.call(&["run", "plan.toml"]).exits(0);
    second.store(true, Ordering::SeqCst);
    place.call(&["run", "plan.toml"]).exits(0);
    place.call(&["run", "plan.toml"]).exits(0);
    let found = rows(&place, "values.db", "select id, \"oid\", \"rowid\", \"_rowid_\" from t order by id");
    assert_eq!(found, ["1|null|null|null", "2|x|7|1.5"]);
    place.call(&["trace", "plan.toml", "t", "2"]).exits(0).says("oid");
}

#[test]
fn of_equal_names_the_last_counts() {
    let (place, code, _) = land(r#"[{"v":1,"w":0,"v":2},{"v":"x","v":null}]"#, "");
    assert_eq!(code, 0);
    assert_eq!(rows(&place, "values.db", "select v, w from t"), ["2|0", "null|null"]);
}

#[test]
fn more_fields_than_a_row_can_hold_are_kept() {
    let fields: Vec<String> = (0..5000).map(|n| format!("\"f{n}\":{n}")).collect();
    let (place, code, stdout) =
        land(&format!("[{{{}}},{{}},{{\"f4999\":1,\"f1\":null}}]", fields.join(",")), "");
    assert_eq!(code, 0, "{stdout}");
    assert_eq!(row(&place, "values.db", "select count(*), sum(f0), sum(f7) from t"), "3|0|7");
    assert_eq!(
        rows(&place, "values.db", "select json_extract(_more, '$.f4999') from t order by rowid"),
        ["4999", "null", "1"]
    );
}

#[test]
fn what_cannot_be_held_is_said() {
    let deep = format!("[{{\"v\":{}{}}}]", "[".repeat(100_000), "]".repeat(100_000));
    for (body, more, kind) in [
        (deep.as_str(), "", "decode"),
        ("[{\"id\":1},{\"x\":2}]", "key = [\"id\"]", "record"),
        ("[{\"id\":1},{\"id\":null}]", "key = [\"id\"]", "record"),
        ("[{\"id\":1}] trailing", "", "decode"),
        ("{\"a\":01}", "", "decode"),
        ("[{\"a\":\"\u{1}\"}]", "", "decode"),
        ("nul", "", "decode"),
    ] {
        let (place, code, stdout) = land(body, more);
        let shown: String = body.chars().take(40).collect();
        assert_eq!(code, 1, "{shown}: {stdout}");
        let found = row(&place, "values.db", "select error from _sync_requests");
        assert_eq!(found, kind, "{shown}");
        assert!(stdout.contains("--> plan.toml:"), "{shown}: {stdout}");
    }
}

#[test]
fn what_is_shown_cannot_steer_the_terminal() {
    let name = "n\\u001b[2J\\u202ex";
    let (place, code, stdout) = land(
        &format!(r#"[{{"id":1,"v":"\u001b]0;evil\u0007\u202egnp.exe","{name}":"\r\n\u009b31m"}}]"#),
        "key = [\"id\"]",
    );
    assert_eq!(code, 0);
    let traced = place.call(&["trace", "plan.toml", "t", "1"]).exits(0).says("gnp.exe");
    let status = place.call(&["status", "plan.toml"]).exits(0);
    let wrong = Verbatim::start(|_| {
        crate::servers::answer(
            "400 Bad",
            "content-type: text/plain\r\n",
            "\u{1b}[2J\u{202e}gnp\u{9b}31m\u{7}".as_bytes(),
        )
    });
    place.write(
        "wrong.toml",
        &format!(
            "{}\n[tasks.w]\nget = \"/\u{202e}t\"\n",
            HEAD.replace("URL", wrong.url()).replace("\"values\"", "\"wrong\"")
        ),
    );
    let failed = place.call(&["run", "wrong.toml"]).exits(1);
    for text in [&stdout, &traced.stdout, &status.stdout, &failed.stdout, &failed.stderr] {
        let steering = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
        assert!(!text.contains(steering), "{text:?}");
    }
}
