//! Values of each kind as each type.

use proptest::prelude::*;

use super::super::cells::record_of;
use super::super::decode::batch_of;
use super::*;

/// `value` is JSON; the result is the cell as it is then.
fn converted_as(kind: ColumnType, value: &str) -> Result<String, String> {
    let mut batch = batch_of(&format!(r#"[{{"id":"é","v":{value}}}]"#));
    convert(&mut batch, &[("v".to_owned(), kind), ("absent".to_owned(), kind)])
        .map_err(|failure| failure.message)?;
    assert_eq!(record_of(&batch, 0)["id"], "é");
    Ok(match batch.row(0)[1] {
        Cell::Null => "null".to_owned(),
        Cell::Bool(value) => format!("bool {value}"),
        Cell::Int(value) => format!("int {value}"),
        Cell::Float(value) => format!("float {value:?}"),
        Cell::Number(span) => format!("number {}", batch.text_of(span)),
        Cell::Text(span) => format!("text {}", batch.text_of(span)),
        Cell::Json(span) => format!("json {}", batch.text_of(span)),
    })
}

#[test]
fn what_fits() {
    use ColumnType::{Bool, Date, Decimal, Float, Int, Json, Text, Timestamp};
    for (kind, value, expected) in [
        (Bool, "true", "bool true"),
        (Bool, "0", "bool false"),
        (Bool, r#""Yes""#, "bool true"),
        (Bool, r#""f""#, "bool false"),
        (Bool, "null", "null"),
        (Bool, r#""""#, "null"),
        (Int, "9007199254740993", "int 9007199254740993"),
        (Int, r#""9007199254740993""#, "int 9007199254740993"),
        (Int, r#"" -007 ""#, "int -7"),
        (Int, "2.0", "int 2"),
        (Int, r#""1e3""#, "int 1000"),
        (Float, "1", "float 1.0"),
        (Float, r#""0.1""#, "float 0.1"),
        (Float, r#"".5""#, "float 0.5"),
        (Float, "0.1000000000000000055511", "float 0.1"),
        (Float, "-0", "float -0.0"),
        (Decimal, r#""1.50""#, "number 1.50"),
        (Decimal, r#""0012.00""#, "number 12.00"),
        (Decimal, r#""1e3""#, "float 1000.0"),
        (Decimal, r#""12345678901234567890.12345""#, "number 12345678901234567890.12345"),
        (Decimal, r#""1000000000000000000000000000000""#, "number 1000000000000000000000000000000"),
        (Decimal, r#""+1.""#, "int 1"),
        (Decimal, "1e400", "number 1e+400"),
        (Decimal, r#""1e400""#, "number 1e+400"),
        (Decimal, "7", "int 7"),
        (Text, "7", "text 7"),
        (Text, "1e3", "text 1000.0"),
        (Text, "0.1", "text 0.1"),
        (Text, "12345678901234567890", "text 12345678901234567890"),
        (Text, "true", "text true"),
        (Text, r#"{"a":1}"#, r#"text {"a":1}"#),
        (Text, r#""""#, "text "),
        (Timestamp, r#""2024-01-02T03:04:05Z""#, "text 2024-01-02T03:04:05Z"),
        (Timestamp, r#""2024-01-02T03:04:05.678+08:00""#, "text 2024-01-01T19:04:05.678Z"),
        (Timestamp, r#""2024-01-02T03:04:05""#, "text 2024-01-02T03:04:05Z"),
        (Timestamp, r#""2024-01-02 03:04:05""#, "text 2024-01-02T03:04:05Z"),
        (Timestamp, r#""2024-01-02""#, "text 2024-01-02T00:00:00Z"),
        (Timestamp, r#""20240102""#, "text 2024-01-02T00:00:00Z"),
        (Timestamp, "20240102", "text 2024-01-02T00:00:00Z"),
        (Timestamp, "1704067200", "text 2024-01-01T00:00:00Z"),
        (Timestamp, r#""1704067200""#, "text 2024-01-01T00:00:00Z"),
        (Timestamp, "1704067200.25", "text 2024-01-01T00:00:00.25Z"),
        (Timestamp, "1704067200123", "text 2024-01-01T00:00:00.123Z"),
        (Timestamp, "0", "text 1970-01-01T00:00:00Z"),
        (Timestamp, "-1", "text 1969-12-31T23:59:59Z"),
        (Date, r#""2024-01-02""#, "text 2024-01-02"),
        (Date, r#""20240102""#, "text 2024-01-02"),
        (Date, "20240102", "text 2024-01-02"),
        (Date, r#""2024-01-02T23:00:00Z""#, "text 2024-01-02"),
        (Date, r#""2024-01-02T23:00:00-05:00""#, "text 2024-01-02"),
        (Date, r#""2024-01-02 23:00:00""#, "text 2024-01-02"),
        (Json, r#"{"a":1}"#, r#"json {"a":1}"#),
        (Json, r#""x""#, r#"json "x""#),
        (Json, r#""12""#, r#"json "12""#),
        (Json, r#""[1, 2]""#, "json [1,2]"),
        (Json, r#""[1,""#, r#"json "[1,""#),
        (Json, "1.5", "json 1.5"),
        (Json, "12345678901234567890", "json 12345678901234567890"),
        (Json, "true", "json true"),
        (Json, "null", "null"),
    ] {
        assert_eq!(converted_as(kind, value).as_deref(), Ok(expected), "{kind:?} {value}");
    }
}

#[test]
fn what_does_not_fit_is_named() {
    use ColumnType::{Bool, Date, Decimal, Float, Int, Timestamp};
    for (kind, value, expected) in [
        (Bool, "2", "`v` is 2, which is not a bool"),
        (Bool, r#""maybe""#, r#"`v` is "maybe", which is not a bool"#),
        (Int, "1.5", "`v` is 1.5, which is not an int"),
        (Int, "9223372036854775808", "`v` is 9223372036854775808, which is not an int"),
        (Int, "true", "`v` is true, which is not an int"),
        (Int, r#""1,234""#, r#"`v` is "1,234", which is not an int"#),
        (Float, "1e400", "`v` is 1e+400, which is not a float"),
        (Float, r#""NaN""#, r#"`v` is "NaN", which is not a float"#),
        (Decimal, r#""12 EUR""#, r#"`v` is "12 EUR", which is not a decimal"#),
        (Decimal, r#""-""#, r#"`v` is "-", which is not a decimal"#),
        (Decimal, "[1]", "`v` is [1], which is not a decimal"),
        (Timestamp, r#""soon""#, r#"`v` is "soon", which is not a timestamp"#),
        (Timestamp, "20240102093000", "`v` is 20240102093000, which is not a timestamp"),
        (Timestamp, "1704067200123456", "`v` is 1704067200123456, which is not a timestamp"),
        (Timestamp, "true", "`v` is true, which is not a timestamp"),
        (Date, r#""2024-02-30""#, r#"`v` is "2024-02-30", which is not a date"#),
        (Date, "1704067200", "`v` is 1704067200, which is not a date"),
        (Date, r#""02/01/2024""#, r#"`v` is "02/01/2024", which is not a date"#),
    ] {
        assert_eq!(converted_as(kind, value).unwrap_err(), expected, "{kind:?}");
    }
    let long = format!("\"{}\"", "é".repeat(500));
    assert!(converted_as(Int, &long).unwrap_err().chars().count() < 120);
}

proptest! {
    #[test]
    fn any_text_is_converted(text in "[-+0-9.eET: Zé/]{0,24}") {
        use ColumnType::{Bool, Date, Decimal, Float, Int, Json, Text, Timestamp};
        let value = Value::from(text).to_string();
        for kind in [Bool, Int, Float, Decimal, Text, Timestamp, Date, Json] {
            let _ = converted_as(kind, &value);
        }
    }

    #[test]
    fn a_decimal_keeps_its_digits(digits in "[1-9][0-9]{0,30}\\.[0-9]{1,31}") {
        let mut batch = batch_of(&format!(r#"[{{"v":"{digits}"}}]"#));
        convert(&mut batch, &[("v".to_owned(), ColumnType::Decimal)]).unwrap();
        prop_assert_eq!(value_of(&batch, batch.row(0)[0]).to_string(), digits);
    }
}
