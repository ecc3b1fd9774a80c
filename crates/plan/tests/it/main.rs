//! Plans as data: wrong ones with their diagnostics, right ones with what they mean, and noise.

mod accepted;
mod changes;
mod credentials;
mod denied;
mod excesses;
mod format;
mod held;
mod hostile;
mod invalid;
mod kinds;
mod limits;
mod noise;
mod private_addresses;
mod schedule;
mod secrets;
mod stores;
mod valid;

use plan::Lookup;

/// An outside world with a few things in it.
struct World;

impl Lookup for World {
    fn env(&self, name: &str) -> Result<Option<String>, String> {
        Ok(match name {
            "SET" => Some("from the environment".to_owned()),
            "NUMBER" => Some("7".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        })
    }

    fn file(&self, path: &str) -> Result<String, String> {
        let text = match path {
            "token.txt" => "from a file\n",
            "symbols.csv" => "symbol,exchange\nA,x\n\"B, C\",y\n",
            "changed.jsonl" => "{\"symbol\": \"A\"}\n",
            "symbols.jsonl" | "copy.jsonl" => "{\"symbol\": \"A\", \"lots\": 1.50}\n\n{\"symbol\": \"B\"}\n",
            "none.csv" => "symbol,exchange\n",
            "empty.csv" => "",
            "ragged.csv" => "symbol,exchange\nA,x\n\nB\n",
            "twice.csv" => "symbol,symbol\nA,B\n",
            "broken.jsonl" => "{\"symbol\": \"A\"}\n{\"symbol\":\n",
            "numbers.jsonl" => "1\n2\n",
            _ => return Err("no such file".to_owned()),
        };
        Ok(text.to_owned())
    }

    fn command(&self, argv: &[String]) -> Result<String, String> {
        if argv == ["op", "read", "x"] {
            Ok("from a command\r\n".to_owned())
        } else {
            Err("exit status 1".to_owned())
        }
    }
}
