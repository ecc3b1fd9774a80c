//! What is wrong with an answer.

use entities::{Failure, FailureClass, FailureKind};

/// What is wrong with an answer. Small, since it is the error of every step of the scanner.
#[derive(Debug, PartialEq)]
pub(in crate::reading) enum Trouble {
    /// The text breaks JSON's rules at a byte offset.
    Syntax { at: usize, why: &'static str },
    /// The answer lacks what the plan points at.
    Missing(Box<str>),
    /// A key on the way to the records stands twice, and the last counts: not for one pass.
    Repeated,
    /// Records are arrays and nothing names their values.
    Unnamed,
    /// A record has more or fewer values than there are names.
    Uneven { record: usize, values: usize, columns: usize },
    /// Too many different fields for that many records.
    TooWide { records: usize, fields: usize },
    /// More text than a batch can address.
    TooLong,
    /// A record that cannot stay the bytes that came.
    NoLine,
}

impl Trouble {
    pub(super) fn syntax(at: usize, why: &'static str) -> Self {
        Trouble::Syntax { at, why }
    }

    pub(super) fn missing(message: String) -> Self {
        Trouble::Missing(message.into())
    }

    /// For people.
    pub(in crate::reading) fn failure(self) -> Failure {
        let failure = |kind, message: String| Failure::new(FailureClass::Permanent, kind, message);
        match self {
            Trouble::Syntax { at, why } => {
                failure(FailureKind::Decode, format!("the answer is not JSON: {why} at byte {at}"))
            }
            Trouble::Missing(message) => failure(FailureKind::Missing, message.into())
                .help("correct the path, or add `?` where the answer may lack it"),
            Trouble::Repeated => failure(FailureKind::Decode, "a key stands twice".to_owned()),
            Trouble::Unnamed => failure(FailureKind::Decode, "the records are arrays".to_owned())
                .help("name the values with `columns`"),
            Trouble::Uneven { record, values, columns } => failure(
                FailureKind::Decode,
                format!(
                    "record {record} does not fit `columns`: number of values {values}, of columns {columns}"
                ),
            ),
            Trouble::TooWide { records, fields } => failure(
                FailureKind::Decode,
                format!("the records differ too much: {fields} fields in {records} records"),
            )
            .help("rebuild the records with `map`"),
            Trouble::TooLong => failure(FailureKind::BodyTooLarge, "the answer is over 4 GiB".to_owned())
                .help("ask for smaller pages"),
            // Whoever asks for lines goes the ordinary way then.
            Trouble::NoLine => failure(FailureKind::Decode, "the records are no lines".to_owned()),
        }
    }
}
