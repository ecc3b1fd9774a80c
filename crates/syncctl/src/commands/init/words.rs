//! A command line as a POSIX shell (and bash's `$'…'`) splits it. Nothing is run and nothing looked
//! up: `$NAME` stays a reference, and whatever else a shell would work out is an error. (The crates
//! that split words know neither `$'…'`, which browsers write, nor references.)

/// Opens a reference to something that is known only when a plan runs; two characters that Unicode
/// keeps out of texts.
pub(super) const OPEN: char = '\u{fdd0}';
/// Closes a reference.
pub(super) const CLOSE: char = '\u{fdd1}';

const COMMAND: &str = "a command within it (`$(…)` or backquotes) would have to be run; put its output there";

/// A command, split.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) words: Vec<String>,
    /// Whether more followed: `| jq`, `> file`, another line.
    pub(super) more: bool,
}

/// Splits the first command of a text. `$NAME` becomes `OPEN $NAME CLOSE`.
pub(super) fn split(text: &str) -> Result<Words, String> {
    if text.contains([OPEN, CLOSE, '\0']) {
        return Err("it holds characters that are not text".to_owned());
    }
    let mut splitter = Splitter { rest: text, word: None };
    let mut words = Vec::new();
    while let Some(c) = splitter.rest.chars().next() {
        let starts_word = splitter.word.is_none();
        match c {
            '\n' if starts_word && words.is_empty() => splitter.skip(1),
            '\n' => break,
            '|' | ';' | '&' | '<' | '>' if starts_word => break,
            '#' if starts_word => {
                let end = splitter.rest.find('\n').unwrap_or(splitter.rest.len());
                splitter.skip(end);
            }
            c if c.is_whitespace() => {
                splitter.skip(c.len_utf8());
                words.extend(splitter.end_word()?);
            }
            _ => splitter.part(c)?,
        }
    }
    words.extend(splitter.end_word()?);
    Ok(Words { words, more: !splitter.rest.trim().is_empty() })
}

struct Splitter<'t> {
    rest: &'t str,
    /// Bytes, since `$'\xc3\xa9'` writes one character as two.
    word: Option<Vec<u8>>,
}

impl Splitter<'_> {
    /// A part of a word that begins with `c`.
    fn part(&mut self, c: char) -> Result<(), String> {
        match c {
            '\\' => {
                self.skip(1);
                self.escaped();
            }
            '\'' => {
                let inside = self.rest[1..].split_once('\'').ok_or_else(|| open("'"))?.0;
                self.push(inside);
                self.skip(inside.len() + 2);
            }
            '"' => {
                self.skip(1);
                self.double()?;
            }
            '$' if self.rest.starts_with("$'") => {
                self.skip(2);
                self.ansi_c()?;
            }
            '$' if self.rest.starts_with("$\"") => self.skip(1),
            '$' => self.dollar()?,
            '`' => return Err(COMMAND.to_owned()),
            c => {
                let text = &self.rest[..c.len_utf8()];
                self.push(text);
                self.skip(text.len());
            }
        }
        Ok(())
    }

    /// What follows a backslash outside of quotes.
    fn escaped(&mut self) {
        if let Some(end) = line_end(self.rest) {
            return self.skip(end);
        }
        let length = self.rest.chars().next().map_or(0, char::len_utf8);
        let text = &self.rest[..length];
        self.push(text);
        self.skip(length);
    }

    fn double(&mut self) -> Result<(), String> {
        self.push("");
        loop {
            let special = self.rest.find(['"', '\\', '$', '`']).ok_or_else(|| open("\""))?;
            let text = &self.rest[..special];
            self.push(text);
            self.skip(special);
            match self.rest.as_bytes()[0] {
                b'"' => {
                    self.skip(1);
                    return Ok(());
                }
                b'$' => self.dollar()?,
                b'`' => return Err(COMMAND.to_owned()),
                _ => {
                    self.skip(1);
                    // Within double quotes a backslash is itself before most characters.
                    if !self.rest.starts_with(['"', '\\', '$', '`']) && line_end(self.rest).is_none() {
                        self.push("\\");
                    }
                    self.escaped();
                }
            }
        }
    }

    /// `$NAME`, `${NAME}`, or a dollar that is only one.
    fn dollar(&mut self) -> Result<(), String> {
        let behind = &self.rest[1..];
        if behind.starts_with('(') {
            return Err(COMMAND.to_owned());
        }
        let (name, length) = match behind.strip_prefix('{') {
            Some(inside) => {
                let name = inside.split_once('}').ok_or_else(|| open("${"))?.0;
                if !is_variable(name) {
                    return Err("a `${…}` in it is more than a variable; put its value there".to_owned());
                }
                (name, name.len() + 3)
            }
            None => {
                let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let name = &behind[..behind.find(|c| !word(c)).unwrap_or(behind.len())];
                (name, name.len() + 1)
            }
        };
        if is_variable(name) {
            self.push(&format!("{OPEN}${name}{CLOSE}"));
            self.skip(length);
        } else {
            self.push("$");
            self.skip(1);
        }
        Ok(())
    }

    /// The rest of `$'…'` (bash manual, ANSI-C Quoting).
    fn ansi_c(&mut self) -> Result<(), String> {
        self.push("");
        loop {
            let special = self.rest.find(['\'', '\\']).ok_or_else(|| open("$'"))?;
            let text = &self.rest[..special];
            self.push(text);
            let quote = self.rest[special..].starts_with('\'');
            self.skip(special + 1);
            if quote {
                return Ok(());
            }
            let kind = self.rest.chars().next().ok_or_else(|| open("$'"))?;
            self.skip(kind.len_utf8());
            match kind {
                'n' => self.push("\n"),
                't' => self.push("\t"),
                'r' => self.push("\r"),
                'a' => self.push("\x07"),
                'b' => self.push("\x08"),
                'e' | 'E' => self.push("\x1b"),
                'f' => self.push("\x0c"),
                'v' => self.push("\x0b"),
                'x' => {
                    let value = self.digits(16, 2);
                    self.push_byte(value);
                }
                '0'..='7' => {
                    let more = self.rest.chars().take(2).take_while(|c| c.is_digit(8)).count();
                    let digits = format!("{kind}{}", &self.rest[..more]);
                    self.skip(more);
                    self.push_byte(u32::from_str_radix(&digits, 8).unwrap_or(0));
                }
                'u' => self.unicode(4)?,
                'U' => self.unicode(8)?,
                other => self.push(other.encode_utf8(&mut [0; 4])),
            }
        }
    }

    /// Up to `most` hexadecimal digits, as one character. Browsers write UTF-16: a pair is one character.
    fn unicode(&mut self, most: usize) -> Result<(), String> {
        let mut code = self.digits(16, most);
        if (0xd800..0xdc00).contains(&code) && self.rest.starts_with("\\u") {
            self.skip(2);
            let low = self.digits(16, 4);
            if (0xdc00..0xe000).contains(&low) {
                code = 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00);
            }
        }
        let wrong = || "a `\\u` in it names no character".to_owned();
        let c = char::from_u32(code).filter(|c| !matches!(*c, OPEN | CLOSE | '\0')).ok_or_else(wrong)?;
        self.push(c.encode_utf8(&mut [0; 4]));
        Ok(())
    }

    fn digits(&mut self, radix: u32, most: usize) -> u32 {
        let digits = self.rest.chars().take(most).take_while(|c| c.is_digit(radix)).count();
        let value = u32::from_str_radix(&self.rest[..digits], radix).unwrap_or(0);
        self.skip(digits);
        value
    }

    fn push(&mut self, text: &str) {
        self.word.get_or_insert_default().extend_from_slice(text.as_bytes());
    }

    /// The lowest eight bits, as bash takes them.
    fn push_byte(&mut self, value: u32) {
        self.word.get_or_insert_default().push(value.to_le_bytes()[0]);
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    fn end_word(&mut self) -> Result<Option<String>, String> {
        match self.word.take().map(String::from_utf8) {
            None => Ok(None),
            Some(Ok(word)) if word.contains('\0') => Err("it holds a NUL character".to_owned()),
            Some(Ok(word)) => Ok(Some(word)),
            Some(Err(_)) => Err("a `$'…'` in it is not UTF-8 text".to_owned()),
        }
    }
}

fn open(quote: &str) -> String {
    format!("a quote that begins with {quote} does not end")
}

/// The length of a line end.
fn line_end(rest: &str) -> Option<usize> {
    if rest.starts_with("\r\n") { Some(2) } else { rest.starts_with('\n').then_some(1) }
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_a_shell() {
        let check = |text: &str, expected: &[&str], more: bool| {
            let found = split(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let shown: Vec<String> =
                found.words.iter().map(|word| word.replace(OPEN, "<").replace(CLOSE, ">")).collect();
            assert_eq!(
                (shown, found.more),
                (expected.iter().map(|word| (*word).to_owned()).collect(), more),
                "{text}"
            );
        };
        check("curl  https://x.example/a", &["curl", "https://x.example/a"], false);
        check("curl 'a b' \"c d\" e\\ f", &["curl", "a b", "c d", "e f"], false);
        check("curl 'a'\\''b' \"\\\"q\\\" \\n\"", &["curl", "a'b", "\"q\" \\n"], false);
        check("curl \\\n  -s \\\r\n x", &["curl", "-s", "x"], false);
        check("\n# users\ncurl x\ncurl y", &["curl", "x"], true);
        check("curl x | jq .", &["curl", "x"], true);
        check("curl x>y", &["curl", "x>y"], false);
        check("curl x > y", &["curl", "x"], true);
        check("curl https://x/?a=1&b=2", &["curl", "https://x/?a=1&b=2"], false);
        check("curl \"B $A ${B_1}\" '$A' $5 \\$A", &["curl", "B <$A> <$B_1>", "$A", "$5", "$A"], false);
        check("curl $'a\\'b\\u0021\\x41\\101\\n\\xc3\\xa9' ''", &["curl", "a'b!AA\n\u{e9}", ""], false);
        check("curl $'\\ud83d\\ude00'", &["curl", "\u{1f600}"], false);
        check("", &[], false);
    }

    #[test]
    fn what_only_a_shell_could_know_is_an_error() {
        let check = |text: &str, expected: &str| {
            let found = split(text).unwrap_err();
            assert!(found.contains(expected), "{text}: {found}");
        };
        check("curl 'x", "does not end");
        check("curl \"x", "does not end");
        check("curl $'x", "does not end");
        check("curl $'x\\", "does not end");
        check("curl ${x", "does not end");
        check("curl \"$(cat token)\"", "would have to be run");
        check("curl `cat token`", "would have to be run");
        check("curl ${x:-y}", "more than a variable");
        check("curl $'\\xff'", "not UTF-8");
        check("curl $'\\ud800'", "names no character");
        check("curl $'\\0'", "NUL");
        check("curl \u{fdd0}", "not text");
    }
}
