//! What the twelve do not show: requests that are signed, other formats, rows that vanish, totals that lie.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::{Called, Place, finished, repository};
use crate::rows::rows;
use crate::servers::Practice;

const HEAD: &str = r#"
[plan]
name = "beside"
[secrets]
key = SECRET
[endpoints.api]
base_url = "URL"
limits = []
retry = { attempts = 8, backoff = "5ms..50ms" }
"#;

struct Ground {
    place: Place,
    practice: Practice,
    segment: &'static str,
}

impl Ground {
    /// `secret` is TOML: where the key comes from.
    fn new(segment: &'static str, secret: &str, rest: &str) -> Ground {
        let (place, practice) = (Place::new(), Practice::start());
        let head = HEAD.replace("URL", &practice.url(segment)).replace("SECRET", secret);
        place.write("plan.toml", &format!("{head}{rest}"));
        Ground { place, practice, segment }
    }

    fn call(&self) -> Called {
        let mut command = self.place.command(&["run", "plan.toml", "--progress", "none"]);
        command
            .env("HEX_KEY", "practice-secret-of-at-least-32-bytes")
            .env("RAW_KEY", "//79/AABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhs=");
        finished(command)
    }

    /// The table holds the sandbox's rows, as texts: formats have different types.
    #[track_caller]
    fn holds(&self, table: &str, columns: &str) {
        let truth = self.practice.ask("GET", &format!("/{}/_expected", self.segment));
        let expected: BTreeSet<String> = truth[table]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| columns.split(", ").map(|column| text(&row[column])).collect::<Vec<_>>().join("|"))
            .collect();
        let select = |column: &str| format!("ifnull({column}, '')");
        let select: Vec<String> = columns.split(", ").map(select).collect();
        let sql = format!("select {} from \"{table}\"", select.join(", "));
        let landed = rows(&self.place, "beside.db", &sql);
        assert_eq!(landed.iter().collect::<BTreeSet<_>>(), expected.iter().collect(), "{table}");
        assert_eq!(landed.len(), expected.len(), "{table}");
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        // The store's way to write a number: 0.50 is 0.5.
        Value::Number(number) if !number.is_i64() => format!("{:?}", number.as_f64().unwrap()),
        other => other.to_string(),
    }
}

/// The signature is over the query as it is sent, which holds the time.
const BY_QUERY: &str = r#"
[endpoints.api.auth.hmac]
algorithm = "sha256"
key       = "{{ secrets.key }}"
message   = "{{ query }}{{ body }}"
encode    = "hex"
headers   = { X-MBX-APIKEY = "practice" }
query     = { timestamp = "{{ timestamp_ms }}", signature = "{{ signature }}" }
[tasks.trades]
get   = "/api/v3/trades"
query = { symbol = "BTC USDT", limit = 5 }
key   = ["id"]
"#;

/// The key and what is signed are bytes that are no text.
const BY_HEADER: &str = r#"
[endpoints.api.auth.hmac]
algorithm = "sha512"
key       = "{{ secrets.key | base64_decode }}"
message   = "{{ path }}{{ (nonce ~ body) | sha256('raw') }}"
encode    = "base64"
headers   = { API-Key = "practice", API-Sign = "{{ signature }}" }
[tasks.trades]
post = "/0/private/trades"
form = { nonce = "{{ nonce }}", pair = "XBT/USD" }
key  = ["id"]
"#;

const BY_JWT: &str = r#"
[endpoints.api.auth.jwt]
algorithm = "ALGORITHM"
key       = "{{ secrets.key }}"
claims    = { iss = "practice", exp = "{{ (now | epoch) + 60 }}" }
[tasks.trades]
get = "/jwt/ALGORITHM/trades"
key = ["id"]
"#;

fn check_signed(secret: &str, rest: &str) {
    // A request that is signed anew is another one to the sandbox, which may fail it again.
    for segment in ["signed", "signed;errors=10;resets=5"] {
        let ground = Ground::new(segment, secret, rest);
        ground.call().exits(0);
        ground.holds("trades", "id, price, at");
    }
}

#[test]
fn signed_as_binance_wants_it() {
    check_signed(r#"{ env = "HEX_KEY" }"#, BY_QUERY);
}

#[test]
fn signed_as_kraken_wants_it() {
    check_signed(r#"{ env = "RAW_KEY" }"#, BY_HEADER);
}

#[test]
fn tokens_minted_here() {
    let pem = |name: &str| {
        let path = repository().join("crates/sandbox/src/shapes/signed").join(name);
        format!("{{ file = {:?} }}", path.to_str().unwrap())
    };
    for (algorithm, secret) in
        [("HS256", r#"{ env = "HEX_KEY" }"#.to_owned()), ("RS256", pem("rsa.pem")), ("ES256", pem("ec.pem"))]
    {
        check_signed(&secret, &BY_JWT.replace("ALGORITHM", algorithm));
    }
}

#[test]
fn a_wrong_key_is_said_to_be_one() {
    let ground = Ground::new("signed", r#"{ env = "RAW_KEY" }"#, BY_QUERY);
    let called = ground.call().exits(1);
    let shown = format!("{}{}", called.stdout, called.stderr);
    assert!(shown.contains("401") && !shown.contains("AABAgMEBQYH"), "{shown}");
}

#[test]
fn one_report_in_every_format() {
    let plain = "map = '{id, name, amount, note, updated_at}'";
    for (name, more) in [
        ("report.json", plain),
        ("report.jsonl", plain),
        ("report.csv", plain),
        ("report.csv.gz", "decode = \"csv\""),
        ("report.zip", "decode = \"csv\""),
        (
            "report.xml",
            "records = \".report.row[]\"\nmap = '{id: .[\"@id\"], name, amount, note, updated_at}'",
        ),
    ] {
        let task = format!("[tasks.report]\nget = \"/{name}\"\nkey = [\"id\"]\n{more}\n");
        let ground = Ground::new("formats", r#"{ env = "HEX_KEY" }"#, &task);
        ground.call().exits(0);
        println!("{name}");
        // Amounts are compared as numbers, whatever their type; the rest is text.
        ground.holds("report", "id, name, note, updated_at");
        let sum = rows(&ground.place, "beside.db", "select cast(sum(amount * 100 + 0.0) as int) from report");
        let truth = ground.practice.ask("GET", "/formats/_expected");
        let amounts = truth["report"].as_array().unwrap().iter().map(|row| row["amount"].as_f64().unwrap());
        let expected = amounts.map(|amount| (amount * 100.0).round()).sum::<f64>();
        assert!((sum[0].parse::<f64>().unwrap() - expected).abs() <= 1.0, "{name}: {sum:?} {expected}");
    }
}

const ITEMS: &str = r#"
[tasks.items]
get      = "/items"
paginate = { by = "offset", param = "offset", size = { param = "limit", value = 10 }, total = ".total" }
records  = ".items[]"
key      = ["id"]
"#;

#[test]
fn a_mirror_loses_what_vanished() {
    let secret = r#"{ env = "HEX_KEY" }"#;
    let ground = Ground::new("catalog", secret, &format!("{ITEMS}mode = \"mirror\"\n"));
    for _ in 0..2 {
        ground.call().exits(0);
        ground.holds("items", "id, name");
        ground.practice.ask("POST", "/catalog/_grow");
    }
    ground.call().exits(0);
    ground.holds("items", "id, name");
}

#[test]
fn a_mirror_marks_what_vanished() {
    let secret = r#"{ env = "HEX_KEY" }"#;
    let ground = Ground::new("catalog", secret, &format!("{ITEMS}mode = \"mirror\"\ndeleted = \"mark\"\n"));
    ground.call().exits(0);
    let ids = |condition: &str| -> BTreeSet<String> {
        rows(&ground.place, "beside.db", &format!("select id from items where {condition}"))
            .into_iter()
            .collect()
    };
    let before = ids("_deleted_at is null");
    ground.practice.ask("POST", "/catalog/_grow");
    ground.call().exits(0);
    let truth = ground.practice.ask("GET", "/catalog/_expected");
    let there: BTreeSet<String> =
        truth["items"].as_array().unwrap().iter().map(|row| row["id"].to_string()).collect();
    assert_eq!(ids("_deleted_at is null"), there);
    let gone: BTreeSet<String> = before.difference(&there).cloned().collect();
    assert!(!gone.is_empty());
    assert_eq!(ids("_deleted_at is not null"), gone);
}

/// 60 items are there, 63 are said to be; or one more with every page.
#[test]
fn fewer_than_the_source_says_is_a_failure() {
    for path in ["short-total", "growing-total"] {
        let task = format!(
            "[tasks.items]\nget = \"/{path}\"\npaginate = {{ by = \"token\", param = \"offset\", next = \"if (.items | length) == 10 then (.items[-1].id) else null end\", size = {{ param = \"limit\", value = 10 }} }}\nrecords = \".items[]\"\nkey = [\"id\"]\ntotal = \".total\"\n"
        );
        let ground = Ground::new("catalog", r#"{ env = "HEX_KEY" }"#, &task);
        let called = ground.call().exits(1);
        assert!(called.stdout.contains("60") && called.stdout.contains("items"), "{}", called.stdout);
    }
    let honest = ITEMS.replace(", total = \".total\"", "") + "total = \".total\"\n";
    let ground = Ground::new("catalog", r#"{ env = "HEX_KEY" }"#, &honest);
    ground.call().exits(0);
    ground.holds("items", "id, name");
}
