//! What a column is in PostgreSQL: its type, how a value gets from one type into another, and what a row has room for.

use store::{ColumnType, Room, quoted};

/// The number of a row, in tables whose rows are read back one after the other (see `rows.rs`).
pub(crate) const ROW: &str = "_row";

/// Names that PostgreSQL keeps for itself (<https://www.postgresql.org/docs/current/ddl-system-columns.html>), and ours.
pub(crate) const TAKEN: [&str; 7] = ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid", ROW];

/// A row must fit a page of 8 KiB; what is longer than 24 bytes can be stored elsewhere. Columns that were dropped
/// count among the 1,600 too.
pub(crate) const ROOM: Room = Room { columns: 1580, bytes: 7600, width, name: 63, has_times: true };

fn width(kind: ColumnType) -> usize {
    match kind {
        ColumnType::Bool | ColumnType::Int | ColumnType::Float | ColumnType::Timestamp | ColumnType::Date => {
            8
        }
        ColumnType::Null | ColumnType::Decimal | ColumnType::Text | ColumnType::Json | ColumnType::More => 24,
    }
}

/// The type. A column without values is text, until it is known better.
pub(crate) fn type_of(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Null | ColumnType::Text => "text",
        ColumnType::Bool => "boolean",
        ColumnType::Int => "bigint",
        ColumnType::Float => "double precision",
        ColumnType::Decimal => "numeric",
        ColumnType::Json | ColumnType::More => "jsonb",
        ColumnType::Timestamp => "timestamp with time zone",
        ColumnType::Date => "date",
    }
}

/// SQL for the value of a column that is `from`, as one that is `to`.
pub(crate) fn converted(column: &str, from: ColumnType, to: ColumnType) -> String {
    let name = quoted(column);
    if type_of(from) == type_of(to) {
        return name;
    }
    match to {
        _ if from == ColumnType::Null => format!("NULL::{}", type_of(to)),
        ColumnType::Text => text_of(column, from),
        ColumnType::Decimal if from == ColumnType::Float => format!("({})::numeric", text_of(column, from)),
        to => format!("{name}::{}", type_of(to)),
    }
}

/// SQL for the text of a value, as the other stores write it.
pub(crate) fn text_of(column: &str, kind: ColumnType) -> String {
    let name = quoted(column);
    match kind {
        // PostgreSQL has the same digits, but other thoughts about when there is an exponent, and no `.0`.
        ColumnType::Float => format!(
            "CASE WHEN abs({name}) >= 1e16 OR {name} <> 0 AND abs({name}) < 1e-4
             THEN regexp_replace(replace({name}::text, 'e+', 'e'), 'e(-?)0+([0-9])', 'e\\1\\2')
             WHEN {name} = 0 THEN CASE WHEN {name}::text LIKE '-%' THEN '-0.0' ELSE '0.0' END
             WHEN {name}::text::numeric::text LIKE '%.%' THEN {name}::text::numeric::text
             ELSE {name}::text::numeric::text || '.0' END"
        ),
        // Without the blanks that jsonb puts behind colons and commas: a string is taken over as a whole.
        ColumnType::Json | ColumnType::More => {
            format!("regexp_replace({name}::text, '(\"(?:[^\"\\\\]|\\\\.)*\")|([:,]) ', '\\1\\2', 'g')")
        }
        ColumnType::Timestamp => format!(
            "rtrim(rtrim(to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US'), '0'), '.') || 'Z'"
        ),
        ColumnType::Date => format!("to_char({name}, 'YYYY-MM-DD')"),
        _ => format!("{name}::text"),
    }
}

/// SQL for a value as jsonb.
pub(crate) fn json_of(column: &str, kind: ColumnType) -> String {
    match kind {
        ColumnType::Timestamp | ColumnType::Date => format!("to_jsonb({})", text_of(column, kind)),
        _ => format!("to_jsonb({})", quoted(column)),
    }
}

/// A text in SQL.
pub(crate) fn literal(text: &str) -> String {
    let plain = text.replace('\0', "\u{FFFD}").replace('\'', "''");
    match plain.contains('\\') {
        true => format!("E'{}'", plain.replace('\\', "\\\\")),
        false => format!("'{plain}'"),
    }
}

/// A name of at most 63 bytes; PostgreSQL would cut longer ones, and take two for one.
pub(crate) fn short(name: &str) -> String {
    if name.len() <= 63 {
        return name.to_owned();
    }
    let hash = xxhash_rust::xxh3::xxh3_64(name.as_bytes());
    format!("{}_{hash:016x}", &name[..name.floor_char_boundary(46)])
}
