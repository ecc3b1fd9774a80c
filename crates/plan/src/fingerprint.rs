//! The fingerprint of a task spec: what must be the same for an unfinished run to go on.

use entities::{Body, JqText, Over, Paginate, PaginateBy, SizeParam, Step, TaskSpec, ValueTemplate};
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_128;

/// Hex of the XXH3-128 of everything whose change starts the spec over: foreach, request, paginate,
/// reading, mode, key, table, cursor. `names` are the names of all tasks, by index.
pub(crate) fn fingerprint(task: &TaskSpec, names: &[String]) -> String {
    let text = json!({
        "foreach": task.foreach.iter().map(|foreach| json!([foreach.name, over(&foreach.over, names)])).collect::<Vec<_>>(),
        "method": task.method.as_str(),
        "path": &*task.path.source,
        "query": params(&task.query),
        "body": match &task.body {
            Body::Empty => Value::Null,
            Body::Json(body) => json!({ "json": value(body) }),
            Body::Form(form) => json!({ "form": params(form) }),
            Body::Raw(text) => json!({ "raw": &*text.source }),
        },
        "paginate": task.paginate.as_ref().map(paginate),
        "records": jq(task.reading.records.as_ref()),
        "columns": jq(task.reading.columns.as_ref()),
        "map": jq(task.reading.map.as_ref()),
        "where": jq(task.reading.filter.as_ref()),
        "fields": params(&task.reading.fields),
        "decode": format!("{:?}", task.reading.decode),
        "total": jq(task.reading.total.as_ref()),
        "cap": task.reading.cap,
        "types": task.types.iter().map(|(name, kind)| json!([name, format!("{kind:?}")])).collect::<Vec<_>>(),
        "text": format!("{:?}", task.text),
        "zone": task.zone,
        "table": task.table,
        "key": task.key,
        "mode": task.mode.as_str(),
        "cursor": task.cursor.as_ref().map(|cursor| json!([
            cursor.field,
            &*cursor.start.source,
            cursor.lookback.map(|lookback| lookback.as_nanos().to_string()),
            cursor.granularity.map(|granularity| granularity.as_nanos().to_string()),
        ])),
    });
    format!("{:032x}", xxh3_128(text.to_string().as_bytes()))
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
            "which": format!("{which:?}"),
        }),
        // A file that changed is another file.
        Over::Rows { file: _, rows } => {
            let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
            json!({ "rows": format!("{:032x}", xxh3_128(text.as_bytes())) })
        }
    }
}

fn paginate(paginate: &Paginate) -> Value {
    let place = |place: &entities::ParamPlace| format!("{place:?}");
    let size = |size: &Option<SizeParam>| size.as_ref().map(|size| json!([size.param, size.value]));
    let by = match &paginate.by {
        PaginateBy::Page { param, place: at, start, size: asked, pages, total } => {
            json!(["page", param, place(at), start, size(asked), jq(pages.as_ref()), jq(total.as_ref())])
        }
        PaginateBy::Offset { param, place: at, start, size: asked, total } => {
            json!(["offset", param, place(at), start, size(asked), jq(total.as_ref())])
        }
        PaginateBy::Token { param, place: at, size: asked, next } => {
            json!(["token", param, place(at), size(asked), &*next.source])
        }
        PaginateBy::Url { next } => json!(["url", &*next.source]),
        PaginateBy::Link { rel } => json!(["link", rel]),
    };
    json!([by, jq(paginate.until.as_ref()), paginate.max_pages])
}
