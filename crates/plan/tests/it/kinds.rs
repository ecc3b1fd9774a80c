//! Every kind of auth, foreach, reading and writing: what of it arrives in the plan.

use std::time::Duration;

use entities::{
    Auth, AuthStyle, Body, ColumnType, Decode, Deleted, Encoding, Grant, Hash, JwtAlgorithm, KeyPlace,
    Method, Mode, OnAction, Over, PaginateBy, ParamPlace, Redirects, SchemaPolicy, Step, SyncPlan, TaskSpec,
    TextPolicy, Which,
};
use plan::load;
use serde_json::{Value, json};

use crate::World;

const KINDS: &str = include_str!("../valid/kinds.toml");

fn kinds() -> SyncPlan {
    let loaded =
        load("kinds.toml", KINDS, &World, &[]).unwrap_or_else(|found| panic!("{}", found.render(false)));
    assert_eq!(loaded.warnings, []);
    loaded.plan
}

fn task<'p>(plan: &'p SyncPlan, name: &str) -> &'p TaskSpec {
    let found = plan.tasks.iter().find(|task| task.name == name);
    found.unwrap_or_else(|| panic!("no task {name}"))
}

fn auth<'p>(plan: &'p SyncPlan, endpoint: &str) -> &'p Auth {
    let found = plan.endpoints.iter().find(|found| found.name == endpoint);
    &found.unwrap_or_else(|| panic!("no endpoint {endpoint}")).auth
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn tokens_from_a_token_endpoint() {
    let plan = kinds();
    let Auth::OAuth2(client) = auth(&plan, "client") else { panic!() };
    assert_eq!(client.grant, Grant::ClientCredentials);
    assert_eq!(&*client.token_url.source, "https://auth.example.com/token");
    assert_eq!(&*client.client_id.source, "{{ secrets.id }}");
    assert_eq!(client.client_secret.as_ref().map(|text| &*text.source), Some("{{ secrets.secret }}"));
    assert_eq!(client.scope.as_ref().map(|text| &*text.source), Some("read"));
    assert_eq!((client.auth_style, client.params[0].0.as_str()), (AuthStyle::Basic, "audience"));
    assert_eq!(client.at.line, 15);
    let Auth::OAuth2(refresh) = auth(&plan, "refresh") else { panic!() };
    let Grant::RefreshToken(token) = &refresh.grant else { panic!() };
    assert_eq!(&*token.source, "{{ secrets.secret }}");
    assert_eq!((refresh.auth_style, &refresh.client_secret), (AuthStyle::Body, &None));
    assert_eq!(&*refresh.token_url.source, "/token");
}

#[test]
fn tokens_of_a_login() {
    let plan = kinds();
    let Auth::Login(login) = auth(&plan, "session") else { panic!() };
    assert_eq!((login.method, &*login.path.source), (Method::Post, "/session"));
    assert!(matches!(&login.body, Body::Json(_)));
    assert_eq!(login.headers[0].0, "X-App");
    assert_eq!(&*login.token.source, ".data.token");
    assert_eq!(login.place, KeyPlace::Cookie("sid".to_owned()));
    assert_eq!((&*login.value.source, login.expires), ("{{ token }}", Some(seconds(3_600))));
}

#[test]
fn signatures() {
    let plan = kinds();
    let Auth::Hmac(hmac) = auth(&plan, "exchange") else { panic!() };
    assert_eq!((hmac.algorithm, hmac.encode), (Hash::Sha256, Encoding::Base64));
    assert_eq!(&*hmac.message.source, "{{ query }}{{ body }}");
    let names = |params: &[(String, entities::TemplateText)]| {
        params.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&hmac.headers), ["X-Key", "X-Nonce"]);
    assert_eq!(names(&hmac.query), ["timestamp", "signature"]);
    let Some(Auth::Hmac(own)) = &task(&plan, "audit").auth else { panic!() };
    assert_eq!((own.algorithm, own.encode), (Hash::Sha512, Encoding::Hex));
    let Auth::Jwt(jwt) = auth(&plan, "signed") else { panic!() };
    assert_eq!((jwt.algorithm, jwt.claims.len(), jwt.header.len()), (JwtAlgorithm::ES256, 3, 1));
}

#[test]
fn what_a_task_is_repeated_over() {
    let plan = kinds();
    let days = task(&plan, "days");
    let Over::Windows { every, from, overlap, .. } = &days.foreach[1].over else { panic!() };
    assert_eq!((*every, &*from.source, *overlap), (Step::Days(1), "{{ cursor }}", seconds(7_200)));
    assert!(days.windows_from_cursor());
    assert_eq!(days.zone.as_deref(), Some("Asia/Shanghai"));
    let rows = |name: &str| match &task(&plan, name).foreach[0].over {
        Over::Rows { file, rows } => (file.clone(), Value::from(rows.to_vec())),
        other => panic!("{other:?}"),
    };
    let csv = json!([{ "symbol": "A", "exchange": "x" }, { "symbol": "B, C", "exchange": "y" }]);
    assert_eq!(rows("quotes"), ("symbols.csv".to_owned(), csv));
    let (_, jsonl) = rows("lots");
    assert_eq!(jsonl.to_string(), r#"[{"symbol":"A","lots":1.50},{"symbol":"B"}]"#, "digits are kept");
    let fills = task(&plan, "fills");
    assert_eq!((fills.batch(), fills.which()), (Some(50), Some(Which::Changed)));
    assert_eq!(fills.sliced().map(|foreach| foreach.name.as_str()).collect::<Vec<_>>(), ["month"]);
    let audit = task(&plan, "audit");
    assert_eq!(
        (audit.batch(), audit.which(), audit.parent()),
        (None, Some(Which::All), plan.spec_named("orders"))
    );
}

#[test]
fn requests_and_pages() {
    let plan = kinds();
    let quotes = task(&plan, "quotes");
    let Body::Raw(body) = &quotes.body else { panic!() };
    assert_eq!(&*body.source, "symbols={{ row.symbol | urlencode }}");
    assert_eq!(quotes.idempotency.as_deref(), Some("Idempotency-Key"));
    let origins = ["https://cdn.example.com".to_owned(), "http://127.0.0.1:8080".to_owned()];
    assert_eq!(quotes.redirects, Redirects::Origins(origins.to_vec()));
    for (name, expected) in [("audit", "page"), ("ledger", "token")] {
        match task(&plan, name).paginate.as_ref().map(|paginate| &paginate.by) {
            Some(PaginateBy::Page { param, place, .. } | PaginateBy::Token { param, place, .. }) => {
                assert_eq!((param.as_str(), *place), (expected, ParamPlace::Path), "{name}");
            }
            other => panic!("{other:?}"),
        }
    }
    let actions: Vec<OnAction> = plan.endpoints[0].on.iter().map(|rule| rule.action).collect();
    assert_eq!(actions, [OnAction::Reauth, OnAction::Split]);
}

#[test]
fn reading_and_writing() {
    let plan = kinds();
    for (name, decode, mode) in [
        ("days", Decode::Auto, Mode::Merge),
        ("quotes", Decode::Csv, Mode::Replace),
        ("lots", Decode::Xml, Mode::Replace),
        ("orders", Decode::Jsonl, Mode::Mirror(Deleted::Mark)),
        ("fills", Decode::Text, Mode::Merge),
        ("audit", Decode::Auto, Mode::Mirror(Deleted::Remove)),
    ] {
        let task = task(&plan, name);
        assert_eq!((task.reading.decode, task.mode), (decode, mode), "{name}");
    }
    let days = task(&plan, "days");
    assert_eq!(days.reading.cap, Some(6_000));
    assert_eq!(days.reading.total.as_ref().map(|total| &*total.source), Some(".count"));
    assert_eq!((days.schema, days.text), (SchemaPolicy::Frozen, TextPolicy::Fail));
    use ColumnType::{Bool, Date, Decimal, Float, Int, Json, Text, Timestamp};
    assert_eq!(
        days.types.iter().map(|(name, kind)| (name.as_str(), *kind)).collect::<Vec<_>>(),
        [
            ("at", Timestamp),
            ("close", Decimal),
            ("ok", Bool),
            ("n", Int),
            ("f", Float),
            ("name", Text),
            ("day", Date),
            ("tags", Json)
        ]
    );
    let cursor = days.cursor.as_ref().unwrap();
    assert_eq!((cursor.field.as_str(), &*cursor.start.source), ("at", "2024-01-01"));
    assert_eq!(
        (cursor.lookback, cursor.granularity),
        (Some(seconds(3 * 86_400)), Some(Duration::from_millis(1)))
    );
}

#[test]
fn a_fingerprint_changes_with_what_starts_a_task_over_and_only_then() {
    let prints = |text: &str| -> Vec<String> {
        match load("kinds.toml", text, &World, &[]) {
            Ok(loaded) => loaded.plan.tasks.iter().map(|task| task.fingerprint.clone()).collect(),
            Err(found) => panic!("{}", found.render(false)),
        }
    };
    let names = ["days", "quotes", "lots", "orders", "fills", "audit", "ledger"];
    let before = prints(KINDS);
    let check = |from: &str, to: &str, changed: &[&str]| {
        assert!(KINDS.contains(from), "{from}");
        let after = prints(&KINDS.replacen(from, to, 1));
        let found: Vec<&str> =
            (0..names.len()).filter(|i| before[*i] != after[*i]).map(|i| names[i]).collect();
        assert_eq!(found, changed, "{from} -> {to}");
    };
    // How it is asked may change …
    check(
        "grant = \"client_credentials\"",
        "grant = \"refresh_token\", refresh_token = \"{{ secrets.id }}\"",
        &[],
    );
    check("algorithm = \"sha512\"", "algorithm = \"sha256\"", &[]);
    check("do = \"split\"", "do = \"fail\"", &[]);
    check("idempotency = \"Idempotency-Key\"\n", "", &[]);
    check("redirects = [\"https://cdn.example.com\", \"http://127.0.0.1:8080/\"]\n", "", &[]);
    check("headers = { Content-Type = \"application/x-www-form-urlencoded\" }\n", "", &[]);
    check("schema = \"frozen\"", "schema = \"evolve\"", &[]);
    check("weight = 2", "weight = 3", &[]);
    check("cost = { most = 3", "cost = { most = 4", &[]);
    check("reserve = \"10%\"", "reserve = \"20%\"", &[]);
    // … what is asked, and what is made of it, may not.
    check("zone = \"Asia/Shanghai\"", "zone = \"UTC\"", &["days"]);
    check("order = \"newest\"\n", "", &["days"]);
    check("overlap = \"2h\"", "overlap = \"3h\"", &["days"]);
    check("to = \"{{ now }}\", overlap", "to = \"{{ today }}\", overlap", &["days"]);
    check("lookback = \"3d\"", "lookback = \"4d\"", &["days"]);
    check("granularity = \"1ms\"", "granularity = \"1s\"", &["days"]);
    check("start = 2024-01-01", "start = 2025-01-01", &["days"]);
    check("cap = 6000", "cap = 6001", &["days"]);
    check("total = \".count\"", "total = \".n\"", &["days"]);
    check("close = \"decimal\"", "close = \"float\"", &["days"]);
    check("text = \"fail\"", "text = \"replace\"", &["days"]);
    check("key = [\"symbol\", \"at\"]", "key = [\"at\", \"symbol\"]", &["days"]);
    check("fields = { symbol", "fields = { name", &["days"]);
    check("body = \"symbols=", "body = \"names=", &["quotes"]);
    check("post = \"/quotes\"", "post = \"/quote\"", &["quotes"]);
    check("decode = \"csv\"", "decode = \"json\"", &["quotes"]);
    // The rows of a file count, not its name.
    check("file = \"symbols.jsonl\"", "file = \"copy.jsonl\"", &[]);
    check("file = \"symbols.jsonl\"", "file = \"changed.jsonl\"", &["lots"]);
    check("recvWindow = 5000", "recvWindow = 6000", &["orders", "fills"]);
    check("deleted = \"mark\"", "deleted = \"remove\"", &["orders"]);
    check("batch = 50", "batch = 51", &["fills"]);
    check("where = \".open\", batch = 50", "batch = 50", &["fills"]);
    check("all = true, where", "where", &["audit"]);
    check("until = \".last == true\"", "until = \".done\"", &["audit"]);
    check("param = \"token\", next = \".next\"", "param = \"token\", next = \".after\"", &["ledger"]);
    check("mode = \"replace\"\n", "mode = \"append\"\n", &["ledger"]);
}

#[test]
fn what_probably_is_a_mistake_is_warned_of() {
    let check = |task: &str, expected: &[(u32, &str)]| {
        let text = format!(
            "[plan]\nname = \"p\"\n[endpoints.a]\nbase_url = \"https://x.example\"\n[tasks.t]\n{task}\n"
        );
        let loaded =
            load("p.toml", &text, &World, &[]).unwrap_or_else(|found| panic!("{}", found.render(false)));
        let found: Vec<(u32, &str)> =
            loaded.warnings.iter().map(|warning| (warning.place.line, warning.code)).collect();
        assert_eq!(found, expected, "{task}");
        assert!(loaded.warnings.iter().all(|warning| warning.help.is_some()), "{task}");
    };
    let day =
        |every: &str| format!("{{ every = \"{every}\", from = \"2024-01-01\", to = \"{{{{ now }}}}\" }}");
    check("get = \"/x\"\nidempotency = \"K\"", &[(7, "useless-idempotency")]);
    check("post = \"/x\"\nidempotency = \"K\"", &[]);
    check("get = \"/x\"\nzone = \"Europe/Berlin\"", &[(7, "unused-zone")]);
    let zoned = |every: &str| {
        format!("get = \"/{{{{ d.start }}}}\"\nforeach = {{ d = {} }}\nzone = \"Europe/Berlin\"", day(every))
    };
    check(&zoned("1 day"), &[]);
    check(&zoned("6h"), &[]);
    check(&zoned("48h"), &[(7, "not-a-day")]);
    check("get = \"/x\"\ncap = 10", &[(7, "cannot-split")]);
    check("get = \"/x\"\non = [{ status = 413, do = \"split\" }]", &[(7, "cannot-split")]);
    check(
        &format!(
            "get = \"/{{{{ d.start }}}}\"\nforeach = {{ d = {} }}\ncap = 10\non = [{{ status = 413, do = \"split\" }}]",
            day("1 day")
        ),
        &[],
    );
    check("get = \"/x\"\nforeach = { s = [1, 2] }", &[(7, "unused")]);
    check("get = \"/x\"\nforeach = { s = [1, 2] }\nmap = \"{id, s: $s}\"", &[]);
    check("get = \"/x\"\nforeach = { s = [1, 2] }\nwhere = \".s == $s\"", &[]);
    check("get = \"/x\"\nforeach = { s = [1, 2] }\nmap = \"{id, s: $status}\"", &[(7, "unused")]);
    check("get = \"/x/{{ r.symbol }}\"\nforeach = { r = { file = \"none.csv\" } }", &[(7, "empty-file")]);
    let cursor = "query = { since = \"{{ cursor }}\" }\nkey = [\"id\"]\ncursor = { field = \"at\", start = \"2024-01-01\"";
    check(&format!("get = \"/x\"\n{cursor}, granularity = \"1s\" }}"), &[(9, "unused-granularity")]);
    check(&format!("get = \"/x\"\n{cursor}, lookback = \"1s\" }}"), &[]);
}
