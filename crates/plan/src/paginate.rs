//! `paginate`: how the next page is asked for.

use entities::{JqText, Paginate, PaginateBy, ParamPlace, SizeParam};

use crate::item::Item;
use crate::reader::{Section, suggest_or_list};

const EXAMPLE: &str = "paginate = { by = \"page\", param = \"page\" }";
const KINDS: [&str; 5] = ["page", "offset", "token", "url", "link"];

/// Reads `paginate`.
pub(crate) fn paginate(item: &Item<'_>) -> Option<Paginate> {
    let mut section = item.section(EXAMPLE)?;
    let by = section.need("by", "\"page\", \"offset\", \"token\", \"url\" or \"link\"");
    let until = section.take("until");
    let max_pages = section.take("max_pages");
    let kind = match by {
        None => None,
        Some(by) => kind(&by),
    };
    let kind = match kind {
        Some("page") => page(&mut section),
        Some("offset") => offset(&mut section),
        Some("token") => token(&mut section),
        Some("url") => {
            section.need("next", "\".links.next\"").map(|item| item.jq().map(|next| PaginateBy::Url { next }))
        }
        Some("link") => Some(link(&mut section)),
        _ => {
            // Without a kind nobody can say which of the keys are wrong.
            for key in ["param", "in", "start", "size", "pages", "total", "next", "rel"] {
                let _ = section.take(key);
            }
            None
        }
    };
    finish(section, item);
    Some(Paginate {
        by: kind??,
        until: until.and_then(|item| item.jq()),
        max_pages: max_pages
            .and_then(|item| item.integer_in(1, i64::from(u32::MAX)))
            .and_then(|pages| u32::try_from(pages).ok()),
        at: item.findings.place(item.key_span.clone()),
    })
}

fn kind(by: &Item<'_>) -> Option<&'static str> {
    let text = by.string()?;
    let kind = KINDS.into_iter().find(|kind| *kind == text);
    if kind.is_none() {
        by.wrong(
            "unknown-paginate",
            format!("`{text}` is not a kind of paging"),
            "unknown kind",
            match text {
                "cursor" | "keyset" => "did you mean `token`?".to_owned(),
                "header" => "did you mean `link`?".to_owned(),
                _ => suggest_or_list(text, KINDS.into_iter(), "kinds"),
            },
        );
    }
    kind
}

fn page(section: &mut Section<'_>) -> Option<Option<PaginateBy>> {
    let param = param(section, Some("page"));
    let (place, size) = (place(section), size(section));
    let start = section.take("start").and_then(|item| item.integer()).unwrap_or(1);
    let (pages_item, total_item) = (section.take("pages"), section.take("total"));
    if let (Some(pages), Some(total)) = (&pages_item, &total_item) {
        let findings = section.findings;
        findings.push(
            findings
                .error(
                    "total-twice",
                    total.key_span.clone(),
                    "`paginate` says twice how much there is: by `pages` and by `total`",
                )
                .label("also says where the pages end")
                .also(findings.place(pages.key_span.clone()), "said here")
                .help("keep one: `pages` if the answer has both, as it needs no size of a page"),
        );
    }
    let (pages, total) = (pages_item.and_then(|item| item.jq()), total_item.and_then(|item| item.jq()));
    Some(Some(PaginateBy::Page { param: param?, place: place?, start, size, pages, total }))
}

fn offset(section: &mut Section<'_>) -> Option<Option<PaginateBy>> {
    let param = param(section, Some("offset"));
    let (place, size) = (place(section), size(section));
    let start = section.take("start").and_then(|item| item.integer_in(0, i64::MAX)).unwrap_or(0);
    let total = jq(section, "total");
    Some(Some(PaginateBy::Offset { param: param?, place: place?, start, size, total }))
}

fn token(section: &mut Section<'_>) -> Option<Option<PaginateBy>> {
    let param = param(section, None);
    let (place, size) = (place(section), size(section));
    let next = section.need("next", "\".meta.next\"").and_then(|item| item.jq());
    Some(Some(PaginateBy::Token { param: param?, place: place?, size, next: next? }))
}

fn link(section: &mut Section<'_>) -> Option<PaginateBy> {
    let rel = match section.take("rel") {
        Some(item) => item.string()?.to_owned(),
        None => "next".to_owned(),
    };
    Some(PaginateBy::Link { rel })
}

fn param(section: &mut Section<'_>, default: Option<&str>) -> Option<String> {
    let item = match default {
        Some(default) => match section.take("param") {
            Some(item) => item,
            None => return Some(default.to_owned()),
        },
        None => section.need("param", "\"cursor\"")?,
    };
    name(&item)
}

fn name(item: &Item<'_>) -> Option<String> {
    let text = item.string()?;
    if text.is_empty() {
        item.wrong(
            "empty",
            format!("{} is empty", item.what),
            "expected a name",
            "write the name of the API's parameter",
        );
        return None;
    }
    Some(text.to_owned())
}

fn place(section: &mut Section<'_>) -> Option<ParamPlace> {
    let Some(item) = section.take("in") else { return Some(ParamPlace::Query) };
    match item.string()? {
        "query" => Some(ParamPlace::Query),
        "json" => Some(ParamPlace::Json),
        "form" => Some(ParamPlace::Form),
        "header" => Some(ParamPlace::Header),
        "path" => Some(ParamPlace::Path),
        other => {
            let places = ["query", "json", "form", "header", "path"];
            item.wrong(
                "unknown-place",
                format!("`{other}` is no place for a parameter"),
                "unknown place",
                suggest_or_list(other, places.into_iter(), "places"),
            );
            None
        }
    }
}

fn size(section: &mut Section<'_>) -> Option<SizeParam> {
    let item = section.take("size")?;
    let mut section = item.section("size = { param = \"per_page\", value = 100 }")?;
    let param = section.need("param", "\"per_page\"").and_then(|item| name(&item));
    let value = section.need("value", "100").and_then(|item| item.integer_in(1, i64::MAX));
    section.finish();
    Some(SizeParam { param: param?, value: u64::try_from(value?).ok()? })
}

fn jq(section: &mut Section<'_>, key: &'static str) -> Option<JqText> {
    section.take(key).and_then(|item| item.jq())
}

/// What is left over: keys of another kind of paging get a better message than unknown ones.
fn finish(mut section: Section<'_>, item: &Item<'_>) {
    let others = [
        ("param", "only `page`, `offset` and `token` send a parameter"),
        ("in", "only `page`, `offset` and `token` send a parameter"),
        ("size", "write the size into `query` instead"),
        ("start", "only `page` and `offset` count"),
        ("pages", "only by = \"page\" knows a number of pages"),
        ("total", "only `page` and `offset` count; `until` can end any kind"),
        ("next", "only `token` and `url` read the next position from the answer"),
        ("rel", "only by = \"link\" reads the Link header"),
    ];
    let known: Vec<&'static str> = section.known().to_vec();
    for (key, help) in others {
        if known.contains(&key) {
            continue;
        }
        if let Some(value) = section.take_unlisted(key) {
            item.findings.push(
                item.findings
                    .error(
                        "wrong-paginate-key",
                        value.key_span.clone(),
                        format!("`{key}` does not go with this kind of paging"),
                    )
                    .label("has no meaning here")
                    .help(help),
            );
        }
    }
    section.finish();
}
