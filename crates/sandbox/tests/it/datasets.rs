//! Every listing yields each record exactly once, whatever the style.

use serde_json::{Value, json};

use crate::client::{get, post, sandbox, send};

const RECORDS: u64 = 257;

fn numbers(items: &Value) -> Vec<u64> {
    items.as_array().unwrap().iter().map(|item| item["number"].as_u64().unwrap()).collect()
}

/// `next` gives the request after a page: from the path and the answer to the next path, or none.
async fn check_style(first: &str, next: impl Fn(&str, &crate::client::Got) -> Option<String>) {
    let sandbox = sandbox().await;
    let mut seen = Vec::new();
    let mut path = Some(format!("/tracker;records={RECORDS}{first}"));
    while let Some(now) = path {
        let got = get(&sandbox, &now).await;
        assert_eq!(got.status, 200, "{now}");
        let json = got.json();
        seen.extend(numbers(json.get("data").unwrap_or(&json)));
        path = next(&now, &got);
    }
    assert_eq!(seen, (1..=RECORDS).collect::<Vec<_>>(), "{first}");
}

fn replaced(path: &str, name: &str, value: &str) -> String {
    let (before, query) = path.split_once('?').unwrap();
    let kept: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with(&format!("{name}="))).collect();
    format!("{before}?{}&{name}={value}", kept.join("&"))
}

fn local(url: &str) -> String {
    let rest = url.strip_prefix("http://127.0.0.1:").unwrap();
    rest[rest.find('/').unwrap()..].to_owned()
}

#[tokio::test]
async fn pagination_by_numbers() {
    check_style("/by-page?per_page=20&page=1", |path, got| {
        let meta = &got.json()["meta"];
        let page = meta["page"].as_u64().unwrap();
        assert_eq!(meta["total"], RECORDS);
        (page < meta["pages"].as_u64().unwrap()).then(|| replaced(path, "page", &(page + 1).to_string()))
    })
    .await;
    check_style("/by-page-bare?per_page=50&page=1", |path, got| {
        let page: u64 = path.rsplit('=').next().unwrap().parse().unwrap();
        (got.json().as_array().unwrap().len() == 50).then(|| replaced(path, "page", &(page + 1).to_string()))
    })
    .await;
    check_style("/by-offset?limit=30&offset=0", |path, got| {
        let json = got.json();
        let end = json["offset"].as_u64().unwrap() + json["data"].as_array().unwrap().len() as u64;
        (end < json["total"].as_u64().unwrap()).then(|| replaced(path, "offset", &end.to_string()))
    })
    .await;
}

#[tokio::test]
async fn pagination_by_what_the_answer_says() {
    check_style("/by-token?limit=40", |path, got| {
        got.json()["meta"]["next"].as_str().map(|token| replaced(path, "cursor", token))
    })
    .await;
    check_style("/by-url?per_page=100", |_, got| got.json()["links"]["next"].as_str().map(local)).await;
    check_style("/by-link?per_page=100", |_, got| {
        let links = got.header("link").to_owned();
        let next = links.split(", ").find(|link| link.ends_with("rel=\"next\""))?;
        Some(local(next.trim_start_matches('<').split('>').next().unwrap()))
    })
    .await;
    check_style("/by-keyset?limit=64", |path, got| {
        let last = numbers(&got.json()["data"]).last().copied()?;
        Some(replaced(path, "after", &last.to_string()))
    })
    .await;
}

#[tokio::test]
async fn paging_in_a_body_a_form_a_header_and_the_path() {
    let sandbox = sandbox().await;
    let mut seen = Vec::new();
    let mut cursor = Value::Null;
    loop {
        let body = json!({ "page": { "cursor": cursor, "limit": 100 } }).to_string();
        let json = post(&sandbox, "/tracker;records=257/by-token", &body).await.json();
        seen.extend(numbers(&json["data"]));
        cursor = json["meta"]["next"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(seen, (1..=257).collect::<Vec<_>>());

    let path = "/tracker;records=257/by-page";
    let by_body = post(&sandbox, path, r#"{"page":3,"per_page":10}"#).await.json();
    assert_eq!(numbers(&by_body["data"]), (21..=30).collect::<Vec<_>>());
    let by_form = send(&sandbox, "POST", path, &[], "page=3&per_page=10").await.unwrap().json();
    let by_header =
        send(&sandbox, "GET", path, &[("page", "3"), ("per_page", "10")], "").await.unwrap().json();
    let by_path = get(&sandbox, "/tracker;records=257/by-page/3?per_page=10").await.json();
    assert_eq!((&by_form, &by_header, &by_path), (&by_body, &by_body, &by_body));
}

#[tokio::test]
async fn projects_issues_and_comments_fit_together() {
    let sandbox = sandbox().await;
    let base = "/tracker;records=103;projects=4";
    let projects = get(&sandbox, &format!("{base}/projects")).await.json();
    let mut issues = Vec::new();
    for project in projects.as_array().unwrap() {
        let key = project["key"].as_str().unwrap();
        let list = get(&sandbox, &format!("{base}/projects/{key}/issues")).await.json();
        assert_eq!(project["issues"].as_u64().unwrap() as usize, list.as_array().unwrap().len());
        for issue in list.as_array().unwrap() {
            assert_eq!(issue["project"], key);
            issues.push(issue["number"].as_u64().unwrap());
        }
        let issue = &list[0];
        let comments =
            get(&sandbox, &format!("{base}/projects/{key}/issues/{}/comments", issue["number"])).await;
        assert_eq!(comments.json().as_array().unwrap().len() as u64, issue["comments"].as_u64().unwrap());
    }
    issues.sort_unstable();
    assert_eq!(issues, (1..=103).collect::<Vec<_>>());
    for wrong in ["/projects/nowhere/issues", "/projects/atlas/issues/2/comments", "/by-magic"] {
        assert_eq!(get(&sandbox, &format!("{base}{wrong}")).await.status, 404, "{wrong}");
    }
    for wrong in [
        "/by-page?page=x",
        "/by-page?page=0",
        "/by-token?cursor=zzz",
        "/by-offset?limit=0",
        "/by-page?since=x",
    ] {
        assert_eq!(get(&sandbox, &format!("{base}{wrong}")).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn since_takes_what_changed_and_grown_records_come_after() {
    let sandbox = sandbox().await;
    let base = "/tracker;records=50";
    let all = get(&sandbox, &format!("{base}/by-page-bare")).await.json();
    let times: Vec<&str> =
        all.as_array().unwrap().iter().map(|item| item["updated_at"].as_str().unwrap()).collect();
    assert!(times.is_sorted());
    let recent = get(&sandbox, &format!("{base}/by-page?since={}", times[39])).await.json();
    assert_eq!(numbers(&recent["data"]), (40..=50).collect::<Vec<_>>());
    post(&sandbox, &format!("{base}/_grow?by=3"), "").await;
    let recent = get(&sandbox, &format!("{base}/by-page?since={}", times[49])).await.json();
    assert_eq!(numbers(&recent["data"]), [50, 51, 52, 53]);
    post(&sandbox, "/_reset", "").await;
    let reset = get(&sandbox, &format!("{base}/by-page")).await.json();
    assert_eq!(reset["meta"]["total"], 50);
}

#[tokio::test]
async fn the_market_has_each_bar_once_in_all_three_forms() {
    let sandbox = sandbox().await;
    let base = "/market;records=203;symbols=4";
    let expected: Vec<u64> = (1..=203).collect();

    let mut tabled = Vec::new();
    let mut offset = 0;
    loop {
        let body = json!({
            "api_name": "daily", "token": "t", "fields": "no,trade_date,close",
            "params": { "ts_code": "", "offset": offset, "limit": 50 }
        });
        let json = post(&sandbox, base, &body.to_string()).await.json();
        assert_eq!(
            (&json["code"], &json["data"]["fields"]),
            (&json!(0), &json!(["no", "trade_date", "close"]))
        );
        let items = json["data"]["items"].as_array().unwrap();
        tabled.extend(items.iter().map(|row| row[0].as_u64().unwrap()));
        offset += items.len();
        if json["data"]["has_more"] == false {
            break;
        }
    }
    tabled.sort_unstable();
    assert_eq!(tabled, expected);

    let (mut drawn, mut listed) = (Vec::new(), Vec::new());
    let instruments = get(&sandbox, &format!("{base}/instruments")).await.json();
    for instrument in instruments.as_array().unwrap() {
        let symbol = instrument["symbol"].as_str().unwrap();
        let mut from = 0;
        loop {
            let path = format!("{base}/candles?symbol={symbol}&interval=1d&startTime={from}&limit=20");
            let candles = get(&sandbox, &path).await.json();
            let Some(last) = candles.as_array().unwrap().last() else { break };
            from = last[0].as_i64().unwrap() + 1;
            drawn.extend(candles.as_array().unwrap().iter().map(|candle| candle[8].as_u64().unwrap()));
        }
        // Half-open windows that meet.
        for (from, to) in [("2023-01-01", "2023-02-01"), ("2023-02-01T00:00:00Z", "2024-01-01T00:00:00Z")] {
            let bars = get(&sandbox, &format!("{base}/bars/{symbol}?from={from}&to={to}")).await.json();
            listed.extend(bars.as_array().unwrap().iter().map(|bar| bar["no"].as_u64().unwrap()));
        }
    }
    drawn.sort_unstable();
    listed.sort_unstable();
    assert_eq!((drawn, listed), (expected.clone(), expected));
}

#[tokio::test]
async fn the_table_api_filters_by_date_and_fails_in_a_200() {
    let sandbox = sandbox().await;
    for (params, rows) in [
        (json!({ "trade_date": "20230103" }), 20),
        (json!({ "trade_date": "20230107" }), 0),
        (json!({ "start_date": "20230102", "end_date": "20230108", "ts_code": "000001.SZ" }), 5),
        (json!({ "start_date": "20230106", "end_date": "20230109", "ts_code": "000001.SZ,000002.SH" }), 4),
    ] {
        let body = json!({ "api_name": "daily", "token": "t", "params": params }).to_string();
        let json = post(&sandbox, "/market", &body).await.json();
        assert_eq!(json["data"]["items"].as_array().unwrap().len(), rows, "{params}");
    }
    for (body, code) in [
        (r#"{"api_name":"daily","token":"wrong"}"#, 2002),
        (r#"{"api_name":"weekly","token":"right"}"#, 40101),
        (r#"{"api_name":"daily","token":"right","fields":"nope"}"#, 40001),
        ("no json", 40001),
        (r#"{"api_name":"stock_basic","token":"right"}"#, 0),
    ] {
        let got = post(&sandbox, "/market;token=right/", body).await;
        assert_eq!((got.status, &got.json()["code"]), (200, &json!(code)), "{body}");
    }
}

#[tokio::test]
async fn bench_pages_are_numbered_through() {
    let sandbox = sandbox().await;
    let mut seen = Vec::new();
    for page in 1..=5 {
        let json = get(&sandbox, &format!("/bench;pages=4;size=30/pages?page={page}")).await.json();
        assert_eq!((&json["meta"]["page"], &json["meta"]["pages"]), (&json!(page), &json!(4)));
        for record in json["data"].as_array().unwrap() {
            assert_eq!(record.as_object().unwrap().len(), 15);
            assert_eq!(record["ref"], format!("R{:012}", record["id"].as_u64().unwrap()));
            seen.push(record["id"].as_u64().unwrap());
        }
    }
    assert_eq!(seen, (1..=120).collect::<Vec<_>>());
    for number in [0, 7, 123_456_789] {
        let got = get(&sandbox, &format!("/bench/small/{number}")).await;
        assert_eq!((got.body.len(), got.json()["id"].as_u64()), (1024, Some(number)));
    }
}
