//! The fingerprint of a task spec: what must be the same for an unfinished run to go on.

use entities::{
    Body, ColumnType, Decode, Deleted, Endpoint, JqText, Mode, Order, Over, Paginate, PaginateBy, ParamPlace,
    SizeParam, Step, TaskSpec, TextPolicy, ValueTemplate, Which,
};
use serde_json::{Value, json};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// Hex of the XXH3-128 of everything whose change starts the spec over: foreach (with the rows of
/// its file), zone and order, request, paginate, reading, table, key, mode, partition, types, text and cursor. Not of
/// headers, auth, limits, cost, weight, retry, time-outs, redirects, idempotency, `on` and `schema`: they change
/// how an answer is had, not what was asked and what it became. `names` are those of all tasks.
///
/// What is written here is stable: it must not depend on how something is called in this code.
pub(crate) fn fingerprint(task: &TaskSpec, endpoint: Option<&Endpoint>, names: &[String]) -> String {
    let mut text = json!({
        "foreach": task.foreach.iter().map(|foreach| json!([foreach.name, over(&foreach.over, names)])).collect::<Vec<_>>(),
        "zone": task.zone,
        "method": task.method.as_str(),
        "path": &*task.path.source,
        "query": params(&task.query),
        "always": endpoint.map(|endpoint| params(&endpoint.query)),
        "body": match &task.body {
            Body::Empty => Value::Null,
            Body::Json(body) => json!({ "json": value(body) }),
            Body::Form(form) => json!({ "form": params(form) }),
            Body::Raw(text) => json!({ "raw": &*text.source }),
        },
        "paginate": task.paginate.as_ref().map(paginate),
        "decode": decode(task.reading.decode),
        "records": jq(task.reading.records.as_ref()),
        "columns": jq(task.reading.columns.as_ref()),
        "map": jq(task.reading.map.as_ref()),
        "where": jq(task.reading.filter.as_ref()),
        "fields": params(&task.reading.fields),
        "total": jq(task.reading.total.as_ref()),
        "cap": task.reading.cap,
        "table": task.table,
        "key": task.key,
        "mode": mode(task.mode),
        "types": task.types.iter().map(|(name, kind)| json!([name, column_type(*kind)])).collect::<Vec<_>>(),
        "text": match task.text { TextPolicy::Replace => "replace", TextPolicy::Fail => "fail" },
        "cursor": task.cursor.as_ref().map(|cursor| json!([
            cursor.field,
            &*cursor.start.source,
            cursor.lookback.map(|lookback| lookback.as_nanos().to_string()),
            cursor.granularity.map(|granularity| granularity.as_nanos().to_string()),
        ])),
    });
    // Only where it is said: what was there before it must not start over.
    if task.order == Order::Newest {
        text["order"] = json!("newest");
    }
    if let Some(partition) = &task.partition {
        text["partition"] = json!(partition);
    }
    format!("{:032x}", xxh3_128(text.to_string().as_bytes()))
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Mirror(Deleted::Mark) => "mirror, mark",
        other => other.as_str(),
    }
}

fn decode(decode: Decode) -> &'static str {
    match decode {
        Decode::Auto => "auto",
        Decode::Json => "json",
        Decode::Jsonl => "jsonl",
        Decode::Csv => "csv",
        Decode::Xml => "xml",
        Decode::Text => "text",
    }
}

fn column_type(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Bool => "bool",
        ColumnType::Int => "int",
        ColumnType::Float => "float",
        ColumnType::Decimal => "decimal",
        ColumnType::Text => "text",
        ColumnType::Timestamp => "timestamp",
        ColumnType::Date => "date",
        ColumnType::Json => "json",
    }
}

fn place(place: ParamPlace) -> &'static str {
    match place {
        ParamPlace::Query => "query",
        ParamPlace::Json => "json",
        ParamPlace::Form => "form",
        ParamPlace::Header => "header",
        ParamPlace::Path => "path",
    }
}

fn jq(text: Option<&JqText>) -> Option<&str> {
    text.map(|text| &*text.source)
}

fn params(params: &[(String, ValueTemplate)]) -> Value {
    params.iter().map(|(name, item)| json!([name, value(item)])).collect()
}

fn value(template: &ValueTemplate) -> Value {
    match template {
        ValueTemplate::Plain(plain) => plain.clone(),
        ValueTemplate::Text(text) => Value::from(&*text.source),
        ValueTemplate::List(items) => items.iter().map(value).collect(),
        ValueTemplate::Map(entries) => {
            entries.iter().map(|(name, item)| (name.clone(), value(item))).collect()
        }
    }
}

fn over(over: &Over, names: &[String]) -> Value {
    match over {
        Over::List(list) => json!({ "list": value(list) }),
        Over::Range { from, to, step } => json!({ "range": [from, to, step] }),
        Over::Windows { every, from, to, overlap } => {
            let every = match every {
                Step::Months(count) => format!("{count} months"),
                Step::Days(count) => format!("{count} days"),
                Step::Fixed(duration) => format!("{} ns", duration.as_nanos()),
            };
            json!({ "windows": [every, &*from.source, &*to.source, overlap.as_nanos().to_string()] })
        }
        Over::Records { task, filter, batch, which } => json!({
            "task": names.get(task.0 as usize),
            "where": jq(filter.as_ref()),
            "batch": batch,
            "all": *which == Which::All,
        }),
        // A file that changed is another file; one that moved is not.
        Over::Rows { file: _, rows } => {
            let mut hash = Xxh3::new();
            for row in rows.iter() {
                hash.update(row.to_string().as_bytes());
                hash.update(b"\n");
            }
            json!({ "rows": format!("{:032x}", hash.digest128()) })
        }
    }
}

fn paginate(paginate: &Paginate) -> Value {
    let size = |size: &Option<SizeParam>| size.as_ref().map(|size| json!([size.param, size.value]));
    let by = match &paginate.by {
        PaginateBy::Page { param, place: at, start, size: asked, pages, total } => {
            json!(["page", param, place(*at), start, size(asked), jq(pages.as_ref()), jq(total.as_ref())])
        }
        PaginateBy::Offset { param, place: at, start, size: asked, total } => {
            json!(["offset", param, place(*at), start, size(asked), jq(total.as_ref())])
        }
        PaginateBy::Token { param, place: at, size: asked, next } => {
            json!(["token", param, place(*at), size(asked), &*next.source])
        }
        PaginateBy::Url { next } => json!(["url", &*next.source]),
        PaginateBy::Link { rel } => json!(["link", rel]),
    };
    json!([by, jq(paginate.until.as_ref()), paginate.max_pages])
}
