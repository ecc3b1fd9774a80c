//! The issue tracker: numbered issues in every pagination style, projects, comments, and `since=`.
//! An issue is a pure function of (seed, number), so nothing is stored.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::LINK;
use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::answer::{self, Answer, refusal, with_header};
use crate::ask::Ask;
use crate::mount::Mount;
use crate::random::draw;

const DEFAULT_RECORDS: u64 = 2000;
const DEFAULT_SIZE: u64 = 100;
const LARGEST_SIZE: u64 = 1000;
/// 2024-01-01T00:00:00Z.
const EPOCH: i64 = 1_704_067_200;
/// Issue n + 1 is updated so long after issue n, give or take; in seconds.
const STEP: i64 = 600;

const PEOPLE: [&str; 6] = ["ada", "brian", "chen-li", "dörte", "émile", "farah"];
const LABELS: [&str; 6] =
    ["bug", "docs", "good first issue", "performance", "needs \\\"repro\\\"", "won't fix"];
const SUBJECTS: [&str; 6] = ["Crash", "Wrong total", "Slow start", "Missing page", "Typo", "Timeout ⏱"];
const PLACES: [&str; 5] =
    ["in the importer", "after a restart", "on empty input", "with 日本語 names", "at 100 %"];
const KEYS: [&str; 8] = ["atlas", "borealis", "cobalt", "delta", "ember", "fathom", "granite", "harbor"];

/// Answers a request below `/tracker`.
pub(crate) fn answer(mount: &Mount, ask: &Ask<'_>) -> Answer {
    let outcome = match ask.segments().as_slice() {
        ["_grow"] if ask.method == Method::POST => ask.number("by", 1).map(|by| {
            mount.grow(by);
            answer::json(json!({ "records": mount.records(DEFAULT_RECORDS) }).to_string())
        }),
        ["projects"] => Ok(projects(mount)),
        ["projects", project, "issues"] => issues_of(mount, ask, project),
        ["projects", project, "issues", number, "comments"] => comments(mount, ask, project, number),
        [style] => listing(mount, ask, style, None),
        [style @ ("by-page" | "by-page-bare"), page] => listing(mount, ask, style, Some(page)),
        _ => return missing(),
    };
    outcome.unwrap_or_else(|problem| refusal(StatusCode::BAD_REQUEST, &problem))
}

/// The issues a request is about: `first, first + step, …`, `count` of them.
#[derive(Clone, Copy)]
struct Selection {
    first: u64,
    step: u64,
    count: u64,
}

/// One page of a numbered listing.
struct Page {
    number: u64,
    size: u64,
    pages: u64,
}

fn listing(mount: &Mount, ask: &Ask<'_>, style: &str, in_path: Option<&str>) -> Result<Answer, String> {
    let all = Selection { first: 1, step: 1, count: mount.records(DEFAULT_RECORDS) }.since(mount, ask)?;
    let total = all.count;
    match style {
        "by-page" => {
            let page = Page::of(ask, in_path, total)?;
            let meta = json!({
                "page": page.number, "per_page": page.size, "pages": page.pages, "total": total
            });
            Ok(envelope(mount, all, page.offset(), page.size, "meta", &meta))
        }
        "by-page-bare" => {
            let page = Page::of(ask, in_path, total)?;
            Ok(answer::json(array(mount, all, page.offset(), page.size)))
        }
        "by-link" => linked(mount, ask, all),
        "by-url" => {
            let page = Page::of(ask, None, total)?;
            let next =
                (page.number < page.pages).then(|| ask.url_with("page", &(page.number + 1).to_string()));
            Ok(envelope(mount, all, page.offset(), page.size, "links", &json!({ "next": next })))
        }
        "by-offset" => {
            let (offset, limit) = (ask.number("offset", 0)?, size(ask, "limit")?);
            let mut out = br#"{"data":"#.to_vec();
            out.extend(array(mount, all, offset, limit));
            out.extend(format!(r#","total":{total},"offset":{offset},"limit":{limit}}}"#).into_bytes());
            Ok(answer::json(out))
        }
        "by-token" => {
            let limit = size(ask, "limit")?;
            let offset = ask.param("cursor").map_or(Ok(0), |token| from_token(&token))?;
            let end = offset.saturating_add(limit);
            let next = (end < total).then(|| to_token(end));
            Ok(envelope(mount, all, offset, limit, "meta", &json!({ "next": next })))
        }
        "by-keyset" => {
            let (after, limit) = (ask.number("after", 0)?, size(ask, "limit")?);
            // Step 1: the numbers up to `after` are those before the offset.
            let offset = (after + 1).saturating_sub(all.first);
            let mut out = br#"{"data":"#.to_vec();
            out.extend(array(mount, all, offset, limit));
            out.push(b'}');
            Ok(answer::json(out))
        }
        _ => Ok(missing()),
    }
}

fn projects(mount: &Mount) -> Answer {
    let count = mount.options.projects;
    let all = Selection { first: 1, step: 1, count: mount.records(DEFAULT_RECORDS) };
    let list: Vec<Value> = (0..count)
        .map(|index| {
            let issues = all.of_project(index, count).count;
            json!({ "id": index + 1, "key": project_key(index), "name": project_key(index).to_uppercase(), "issues": issues })
        })
        .collect();
    answer::json(Value::from(list).to_string())
}

fn issues_of(mount: &Mount, ask: &Ask<'_>, project: &str) -> Result<Answer, String> {
    let count = mount.options.projects;
    let Some(index) = (0..count).find(|index| project_key(*index) == project) else {
        return Ok(missing());
    };
    let all = Selection { first: 1, step: 1, count: mount.records(DEFAULT_RECORDS) };
    linked(mount, ask, all.of_project(index, count).since(mount, ask)?)
}

fn comments(mount: &Mount, ask: &Ask<'_>, project: &str, number: &str) -> Result<Answer, String> {
    let known = number.parse().ok().filter(|number| (1..=mount.records(DEFAULT_RECORDS)).contains(number));
    let Some(issue) = known.filter(|issue| project_key((issue - 1) % mount.options.projects) == project)
    else {
        return Ok(missing());
    };
    let seed = mount.options.seed;
    let list: Vec<Value> = (1..=comment_count(seed, issue))
        .map(|index| {
            let dice = draw(seed, 100 + index, issue);
            json!({
                "id": issue * 10 + index,
                "issue": issue,
                "author": pick(&PEOPLE, dice),
                "body": format!("{} {}?", pick(&SUBJECTS, dice >> 8), pick(&PLACES, dice >> 16)),
                "created_at": instant(updated(seed, issue) - 1000 + 100 * index as i64),
            })
        })
        .collect();
    let page = Page::of(ask, None, list.len() as u64)?;
    let start = usize::try_from(page.offset()).unwrap_or(usize::MAX).min(list.len());
    let end = start.saturating_add(page.size as usize).min(list.len());
    Ok(page.link(ask, answer::json(json!(list[start..end]).to_string())))
}

fn linked(mount: &Mount, ask: &Ask<'_>, selection: Selection) -> Result<Answer, String> {
    let page = Page::of(ask, None, selection.count)?;
    Ok(page.link(ask, answer::json(array(mount, selection, page.offset(), page.size))))
}

impl Selection {
    /// Those of one project: every `projects`-th issue.
    fn of_project(self, index: u64, projects: u64) -> Selection {
        let count = self.count.saturating_sub(index).div_ceil(projects);
        Selection { first: index + 1, step: projects, count }
    }

    /// Those updated at or after `since`; numbers and times grow together, so they are the last ones.
    fn since(self, mount: &Mount, ask: &Ask<'_>) -> Result<Selection, String> {
        let Some(since) = ask.param("since") else {
            return Ok(self);
        };
        let since: Timestamp =
            since.parse().map_err(|_| format!("`since` is not an RFC 3339 time: {since:?}"))?;
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            let at = updated(mount.options.seed, self.first + middle * self.step);
            // A fraction of a second after the update is after it.
            if at < since.as_second() || (at == since.as_second() && since.subsec_nanosecond() > 0) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(Selection { first: self.first + low * self.step, step: self.step, count: self.count - low })
    }
}

impl Page {
    fn of(ask: &Ask<'_>, in_path: Option<&str>, total: u64) -> Result<Page, String> {
        let number = match in_path {
            Some(text) => text.parse().map_err(|_| format!("page {text:?} is not a whole number"))?,
            None => ask.number("page", 1)?,
        };
        if number == 0 {
            return Err("pages are counted from 1".to_owned());
        }
        let size = size(ask, "per_page")?;
        Ok(Page { number, size, pages: total.div_ceil(size).max(1) })
    }

    fn offset(&self) -> u64 {
        (self.number - 1).saturating_mul(self.size)
    }

    /// Adds the `Link` header of RFC 8288, as far as there is something to link to.
    fn link(&self, ask: &Ask<'_>, response: Answer) -> Answer {
        let url = |page: u64| ask.url_with("page", &page.to_string());
        let mut links = Vec::new();
        if self.number > 1 {
            links.push(format!("<{}>; rel=\"prev\"", url(self.number - 1)));
        }
        if self.number < self.pages {
            links.push(format!("<{}>; rel=\"next\"", url(self.number + 1)));
            links.push(format!("<{}>; rel=\"last\"", url(self.pages)));
        }
        if links.is_empty() { response } else { with_header(response, LINK, &links.join(", ")) }
    }
}

fn size(ask: &Ask<'_>, name: &str) -> Result<u64, String> {
    match ask.number(name, DEFAULT_SIZE)? {
        0 => Err(format!("`{name}` must be at least 1")),
        size => Ok(size.min(LARGEST_SIZE)),
    }
}

fn envelope(mount: &Mount, all: Selection, offset: u64, limit: u64, key: &str, value: &Value) -> Answer {
    let mut out = br#"{"data":"#.to_vec();
    out.extend(array(mount, all, offset, limit));
    out.extend(format!(r#","{key}":{value}}}"#).into_bytes());
    answer::json(out)
}

fn array(mount: &Mount, all: Selection, offset: u64, limit: u64) -> Vec<u8> {
    let mut out = vec![b'['];
    let end = offset.saturating_add(limit).min(all.count);
    for index in offset.min(end)..end {
        if out.len() > 1 {
            out.push(b',');
        }
        write_issue(&mut out, mount, all.first + index * all.step);
    }
    out.push(b']');
    out
}

fn write_issue(out: &mut Vec<u8>, mount: &Mount, number: u64) {
    let seed = mount.options.seed;
    let dice = draw(seed, 1, number);
    let more = draw(seed, 2, number);
    let updated_at = updated(seed, number);
    let closed = dice.is_multiple_of(3);
    let labels: Vec<String> =
        (0..more % 3).map(|at| format!("\"{}\"", pick(&LABELS, more >> (8 + 8 * at)))).collect();
    let points =
        if more.is_multiple_of(5) { "null".to_owned() } else { (more >> 40).rem_euclid(14).to_string() };
    let closed_at = if closed { format!("\"{}\"", instant(updated_at)) } else { "null".to_owned() };
    // Writing to a Vec cannot fail.
    let _ = write!(
        out,
        concat!(
            r#"{{"id":{number},"number":{number},"project":"{project}","title":"{subject} {place}","state":"{state}","#,
            r#""author":"{author}","labels":[{labels}],"body":"{subject} {place}.\nSeen {times} times.","points":{points},"#,
            r#""ratio":0.{ratio:04},"locked":{locked},"comments":{comments},"created_at":"{created}","#,
            r#""updated_at":"{updated}","closed_at":{closed_at}}}"#
        ),
        number = number,
        project = project_key((number - 1) % mount.options.projects),
        subject = pick(&SUBJECTS, dice >> 8),
        place = pick(&PLACES, dice >> 16),
        state = if closed { "closed" } else { "open" },
        author = pick(&PEOPLE, dice >> 24),
        labels = labels.join(","),
        times = (dice >> 32) % 100,
        points = points,
        ratio = (dice >> 40) % 10_000,
        locked = more & 64 == 0,
        comments = comment_count(seed, number),
        created = instant(updated_at - (more % 900_000) as i64),
        updated = instant(updated_at),
        closed_at = closed_at,
    );
}

fn comment_count(seed: u64, issue: u64) -> u64 {
    draw(seed, 3, issue) % 4
}

/// Seconds since 1970; grows with the number.
fn updated(seed: u64, number: u64) -> i64 {
    let number_of_seconds = i64::try_from(number).unwrap_or(i64::MAX).saturating_mul(STEP);
    EPOCH.saturating_add(number_of_seconds).saturating_add((draw(seed, 4, number) % 500) as i64)
}

fn instant(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or(Timestamp::MAX)
}

fn project_key(index: u64) -> String {
    let name = KEYS[(index % KEYS.len() as u64) as usize];
    if index < KEYS.len() as u64 { name.to_owned() } else { format!("{name}-{}", index / KEYS.len() as u64) }
}

pub(crate) fn pick<'a>(from: &[&'a str], dice: u64) -> &'a str {
    from[(dice % 251) as usize % from.len()]
}

fn to_token(offset: u64) -> String {
    URL_SAFE_NO_PAD.encode(format!("after:{offset}"))
}

fn from_token(token: &str) -> Result<u64, String> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.and_then(|text| text.strip_prefix("after:")?.parse().ok())
        .ok_or_else(|| "`cursor` is not one that this API gave".to_owned())
}

fn missing() -> Answer {
    refusal(StatusCode::NOT_FOUND, "no such thing in the tracker; GET / lists the routes")
}
