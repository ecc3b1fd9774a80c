//! Plans as data: wrong ones with their diagnostics, right ones with what they mean, and noise.

mod invalid;
mod noise;
mod secrets;
mod valid;

use plan::Lookup;

/// An outside world with a few things in it.
struct World;

impl Lookup for World {
    fn env(&self, name: &str) -> Option<String> {
        match name {
            "SET" => Some("from the environment".to_owned()),
            "NUMBER" => Some("7".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    fn file(&self, path: &str) -> Result<String, String> {
        if path == "token.txt" { Ok("from a file\n".to_owned()) } else { Err("no such file".to_owned()) }
    }

    fn command(&self, argv: &[String]) -> Result<String, String> {
        if argv == ["op", "read", "x"] {
            Ok("from a command\r\n".to_owned())
        } else {
            Err("exit status 1".to_owned())
        }
    }
}
