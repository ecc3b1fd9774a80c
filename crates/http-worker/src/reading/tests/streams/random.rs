//! Documents that nobody would write, read from a file in parts of any size.

use proptest::prelude::*;

use super::*;
use crate::reading::{format, stream};

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "(null|true|-1|1\\.50|12345678901234567890)",
        "\"[a-z{}\\[\\], \u{e9}\u{1F600}]{0,12}\"",
        Just(r#""\"]\\,\ud83d\ude00\u005b""#.to_owned()),
    ];
    let space = "( |\n|\t)?";
    leaf.prop_recursive(3, 16, 4, move |inner| {
        prop_oneof![
            prop::collection::vec((space, inner.clone()), 0..4).prop_map(|items| {
                let items: Vec<String> = items.into_iter().map(|(space, item)| space + &item).collect();
                format!("[{}]", items.join(","))
            }),
            prop::collection::vec((space, "(data|items|a|\\\\u0061)", inner), 0..4).prop_map(|fields| {
                let fields: Vec<String> =
                    fields.iter().map(|(space, name, value)| format!("\"{name}\":{space}{value}")).collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    })
}

proptest! {
    /// Any document, whole or with a byte that is another or gone: read from a file as in memory, or not at all.
    #[test]
    fn any_document_is_read_alike(
        before in json(), records in prop::collection::vec(json(), 0..6), after in json(),
        records_at in "(\\.|\\.data|\\.data\\.items|\\.data\\[\\])",
        part in 1usize..40, part_records in 1usize..4,
        harm in prop::option::of((0usize..1000, prop::option::of("[{}\\[\\],:\"\\\\ 1x]"))),
    ) {
        let list = format!("[{}]", records.join(" ,\n"));
        let mut body = match records_at.as_str() {
            "." => list,
            ".data.items" => format!("{{\"x\":{before},\"data\":{{\"y\":{after},\"items\":{list}}},\"z\":{after}}}"),
            _ => format!("{{\"x\":{before},\"data\":{list},\"z\":{after}}}"),
        }
        .into_bytes();
        let whole = harm.is_none();
        if let Some((at, byte)) = harm {
            let at = at % body.len();
            match byte {
                Some(byte) => body[at] = byte.as_bytes()[0],
                None => { body.remove(at); }
            }
        }
        let case = Case {
            body: body.clone().into(),
            ..Case::new(task(|task| task.reading.records = jq(&records_at)), "")
        };
        let (streamed, expected) = both(case, &tiny(part, part_records));
        let shown = String::from_utf8_lossy(&body).into_owned();
        match (streamed, expected) {
            (Err(_), _) => {}
            (Ok(streamed), expected) if whole => prop_assert_eq!(streamed, expected, "{}", shown),
            // Of several things that are wrong another may be told first.
            (Ok(Ok(streamed)), expected) => prop_assert_eq!(Ok(streamed), expected, "{}", shown),
            (Ok(Err(_)), expected) => prop_assert!(expected.is_err(), "{}: {:?}", shown, expected),
        }
    }

    /// However the bytes are cut into chunks, the same stands where.
    #[test]
    fn chunks_do_not_matter(text in "[\"\\\\{}\\[\\],:ad \n\r1]{0,60}", cuts in prop::collection::vec(0usize..60, 0..6), csv: bool) {
        let format = if csv { format::Format::Csv { delimiter: b',' } } else { format::Format::Json };
        let body = if csv { text } else { format!("{{\"a\":[{text}") };
        let way = ["a".to_owned()];
        let look = |cuts: &[usize]| {
            let mut survey = stream::Survey::begin(format, &way, &tiny(8, 3));
            let mut at = 0;
            let mut cuts: Vec<usize> = cuts.iter().copied().filter(|cut| *cut < body.len()).collect();
            cuts.sort_unstable();
            for cut in cuts.into_iter().chain([body.len()]) {
                survey.look(&body.as_bytes()[at..cut])?;
                at = cut;
            }
            survey.end()
        };
        prop_assert_eq!(look(&cuts), look(&[]));
        let bytes: Vec<usize> = (0..body.len()).collect();
        prop_assert_eq!(look(&bytes), look(&[]));
    }
}
