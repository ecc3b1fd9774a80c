//! Where in a plan's text something was said, so that any later failure can point at it.

use serde::{Deserialize, Serialize};

/// A range of a plan's source text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Byte offset of the first character.
    pub start: u32,
    /// Byte offset behind the last character.
    pub end: u32,
    /// Line, from 1; 0 if unknown.
    pub line: u32,
    /// Column in characters, from 1; 0 if unknown.
    pub column: u32,
}

impl Place {
    /// This place, or another if it is not known.
    #[must_use]
    pub fn or(self, other: Place) -> Place {
        if self == Place::default() { other } else { self }
    }
}

/// The text of a plan as it was read, and the name it is shown under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceText {
    /// The path as the user gave it, or another name to show.
    pub name: String,
    /// The whole text.
    pub text: String,
}

impl SourceText {
    /// `name:line:column` of a place, the form editors and terminals can jump to.
    pub fn locate(&self, place: Place) -> String {
        if place.line == 0 {
            self.name.clone()
        } else {
            format!("{}:{}:{}", self.name, place.line, place.column)
        }
    }

    /// The source line a place starts on, without its line end.
    pub fn line(&self, place: Place) -> &str {
        self.text.lines().nth(place.line.saturating_sub(1) as usize).unwrap_or("")
    }
}
