//! The arguments of curl: what a request is made of, what is left out, and what a plan cannot do.
//! Not what becomes of it in a plan.

use super::words;

/// A request as curl's arguments say it, before any of it is interpreted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Curl {
    pub(super) url: String,
    /// `-X`, in upper case.
    pub(super) method: Option<String>,
    /// `Name: value`, in order; a name without a value was to be taken out.
    pub(super) headers: Vec<(String, String)>,
    pub(super) data: Vec<Data>,
    /// `--url-query`
    pub(super) query: Vec<String>,
    /// `-G`
    pub(super) data_in_query: bool,
    /// `-u`
    pub(super) user: Option<String>,
    /// What was left out and why, one line each; no values.
    pub(super) notes: Vec<String>,
}

/// One piece of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Data {
    /// `-d`: joined with `&`.
    Text(String),
    /// `--data-urlencode`: a name (may be empty) and what is still to be encoded.
    Encode(String, String),
    /// `--json`
    Json(String),
}

/// What an option does.
#[derive(Clone, Copy)]
enum Does {
    Header,
    Data,
    DataRaw,
    DataUrlencode,
    Json,
    User,
    Request,
    Url,
    UrlQuery,
    Cookie,
    Agent,
    Referer,
    Bearer,
    Get,
    /// Nothing that matters to a plan.
    Nothing,
    /// As nothing, with a value.
    NothingWith,
    /// Left out, and this is said.
    Note(&'static str),
    /// As a note, with a value.
    NoteWith(&'static str),
    /// A plan cannot do it.
    Refused(&'static str),
}

use Does::{Note, NoteWith, Nothing, NothingWith, Refused};

const REDIRECTS: &str = "redirects within the origin are followed; `redirects` lists others";
const TIMES: &str = "see `timeout` of the endpoint";
const RETRIES: &str = "see `retry` of the endpoint";
const PROXIES: &str = "proxies are taken from the environment (https_proxy)";
const CERTIFICATES: &str = "certificates are always checked, against those of the system";
const CLIENT_CERTIFICATES: &str = "client certificates are nothing a plan can say";
const SIGN_IN: &str = "a plan does not know this way to sign in";
const UPLOAD: &str = "a plan reads and uploads nothing";
const READS: &str = "a plan reads with GET or POST";
const FILES: &str = "put what the file says into the command";

/// curl's options: short, long, what it does.
const OPTIONS: &[(char, &str, Does)] = &[
    ('H', "header", Does::Header),
    ('d', "data", Does::Data),
    ('\0', "data-ascii", Does::Data),
    ('\0', "data-binary", Does::Data),
    ('\0', "data-raw", Does::DataRaw),
    ('\0', "data-urlencode", Does::DataUrlencode),
    ('\0', "json", Does::Json),
    ('u', "user", Does::User),
    ('X', "request", Does::Request),
    ('\0', "url", Does::Url),
    ('\0', "url-query", Does::UrlQuery),
    ('b', "cookie", Does::Cookie),
    ('A', "user-agent", Does::Agent),
    ('e', "referer", Does::Referer),
    ('\0', "oauth2-bearer", Does::Bearer),
    ('G', "get", Does::Get),
    ('F', "form", Refused(UPLOAD)),
    ('\0', "form-string", Refused(UPLOAD)),
    ('T', "upload-file", Refused(UPLOAD)),
    ('I', "head", Refused(READS)),
    ('K', "config", Refused(FILES)),
    ('\0', "variable", Refused(FILES)),
    ('n', "netrc", Refused("write -u with the user of that file")),
    ('\0', "netrc-file", Refused("write -u with the user of that file")),
    (':', "next", Refused("make a plan of one request first, and add a task for the other")),
    ('r', "range", Refused("a plan reads whole answers")),
    ('C', "continue-at", Refused("a plan reads whole answers")),
    ('z', "time-cond", Refused("use a `cursor` to fetch only what is new")),
    ('\0', "digest", Refused(SIGN_IN)),
    ('\0', "ntlm", Refused(SIGN_IN)),
    ('\0', "negotiate", Refused(SIGN_IN)),
    ('\0', "anyauth", Refused(SIGN_IN)),
    ('\0', "aws-sigv4", Refused(SIGN_IN)),
    ('\0', "unix-socket", Refused("a plan speaks to hosts")),
    ('L', "location", Note(REDIRECTS)),
    ('\0', "location-trusted", Note(REDIRECTS)),
    ('k', "insecure", Note(CERTIFICATES)),
    ('\0', "cacert", NoteWith(CERTIFICATES)),
    ('\0', "capath", NoteWith(CERTIFICATES)),
    ('\0', "ca-native", Nothing),
    ('E', "cert", NoteWith(CLIENT_CERTIFICATES)),
    ('\0', "cert-type", NoteWith(CLIENT_CERTIFICATES)),
    ('\0', "key", NoteWith(CLIENT_CERTIFICATES)),
    ('\0', "key-type", NoteWith(CLIENT_CERTIFICATES)),
    ('\0', "pass", NoteWith(CLIENT_CERTIFICATES)),
    ('x', "proxy", NoteWith(PROXIES)),
    ('U', "proxy-user", NoteWith(PROXIES)),
    ('\0', "proxy-header", NoteWith(PROXIES)),
    ('\0', "noproxy", NoteWith(PROXIES)),
    ('\0', "socks5", NoteWith(PROXIES)),
    ('\0', "socks5-hostname", NoteWith(PROXIES)),
    ('m', "max-time", NoteWith(TIMES)),
    ('\0', "connect-timeout", NoteWith(TIMES)),
    ('y', "speed-time", NoteWith(TIMES)),
    ('Y', "speed-limit", NoteWith(TIMES)),
    ('\0', "retry", NoteWith(RETRIES)),
    ('\0', "retry-delay", NoteWith(RETRIES)),
    ('\0', "retry-max-time", NoteWith(RETRIES)),
    ('\0', "retry-all-errors", Note(RETRIES)),
    ('\0', "retry-connrefused", Note(RETRIES)),
    ('\0', "rate", NoteWith("see `limits` of the endpoint")),
    ('\0', "limit-rate", NoteWith("see `limits` of the endpoint")),
    ('\0', "resolve", NoteWith("hosts are looked up as usual")),
    ('\0', "connect-to", NoteWith("hosts are looked up as usual")),
    ('\0', "interface", NoteWith("hosts are reached as usual")),
    ('\0', "max-redirs", NothingWith),
    ('\0', "compressed", Nothing),
    ('\0', "basic", Nothing),
    ('s', "silent", Nothing),
    ('S', "show-error", Nothing),
    ('v', "verbose", Nothing),
    ('i', "include", Nothing),
    ('\0', "show-headers", Nothing),
    ('f', "fail", Nothing),
    ('\0', "fail-with-body", Nothing),
    ('\0', "fail-early", Nothing),
    ('N', "no-buffer", Nothing),
    ('#', "progress-bar", Nothing),
    ('\0', "no-progress-meter", Nothing),
    ('g', "globoff", Nothing),
    ('q', "disable", Nothing),
    ('Z', "parallel", Nothing),
    ('O', "remote-name", Nothing),
    ('J', "remote-header-name", Nothing),
    ('R', "remote-time", Nothing),
    ('\0', "create-dirs", Nothing),
    ('\0', "path-as-is", Nothing),
    ('\0', "tcp-nodelay", Nothing),
    ('\0', "no-keepalive", Nothing),
    ('\0', "no-alpn", Nothing),
    ('\0', "ssl-reqd", Nothing),
    ('0', "http1.0", Nothing),
    ('\0', "http1.1", Nothing),
    ('\0', "http2", Nothing),
    ('\0', "http2-prior-knowledge", Nothing),
    ('\0', "http3", Nothing),
    ('1', "tlsv1", Nothing),
    ('\0', "tlsv1.2", Nothing),
    ('\0', "tlsv1.3", Nothing),
    ('4', "ipv4", Nothing),
    ('6', "ipv6", Nothing),
    ('o', "output", NothingWith),
    ('\0', "output-dir", NothingWith),
    ('w', "write-out", NothingWith),
    ('D', "dump-header", NothingWith),
    ('c', "cookie-jar", NothingWith),
    ('\0', "stderr", NothingWith),
    ('\0', "trace", NothingWith),
    ('\0', "trace-ascii", NothingWith),
    ('\0', "keepalive-time", NothingWith),
    ('\0', "ciphers", NothingWith),
    ('\0', "tls-max", NothingWith),
];

impl Does {
    fn takes_value(self) -> bool {
        !matches!(self, Does::Get | Nothing | Note(_) | Refused(_))
    }
}

/// What a text that is a curl command asks for. The error says what is not understood.
pub(super) fn parse(text: &str) -> Result<Curl, String> {
    let words::Words { words, more } = words::split(text)?;
    let mut words = words.into_iter().skip_while(|word| word == "$" || is_assignment(word));
    let program = words.next().ok_or("there is no command")?;
    let name = program.rsplit(['/', '\\']).next().unwrap_or(&program);
    if !matches!(name, "curl" | "curl.exe") {
        return Err("it does not begin with `curl`".to_owned());
    }
    let mut curl = Curl::default();
    let mut urls = Vec::new();
    while let Some(word) = words.next() {
        if let Some(long) = word.strip_prefix("--") {
            let (_, name, does) = *OPTIONS
                .iter()
                .find(|(_, name, _)| *name == long)
                .ok_or_else(|| format!("the option `--{}` is not known; leave it out", shown(long)))?;
            let value =
                if does.takes_value() { Some(value_of(&format!("--{name}"), words.next())?) } else { None };
            curl.take(&format!("--{name}"), does, value.unwrap_or_default(), &mut urls)?;
        } else if word.len() > 1 && word.starts_with('-') {
            curl.short(&word[1..], &mut words, &mut urls)?;
        } else if word.starts_with('^') {
            return Err("it is written for Windows' command prompt; copy it as cURL (bash)".to_owned());
        } else {
            urls.push(word);
        }
    }
    if more {
        curl.notes.push("what followed the command (a pipe, a file, another command)".to_owned());
    }
    let mut urls = urls.into_iter();
    curl.url = urls.next().ok_or("there is no URL")?;
    if urls.next().is_some() {
        return Err(
            "there are several URLs (or a value that is not quoted); a plan is made of one".to_owned()
        );
    }
    Ok(curl)
}

impl Curl {
    /// A group of short options: `-sSL`, `-XPOST`, `-H 'A: b'`.
    fn short(
        &mut self,
        group: &str,
        words: &mut impl Iterator<Item = String>,
        urls: &mut Vec<String>,
    ) -> Result<(), String> {
        let mut rest = group;
        while let Some(letter) = rest.chars().next() {
            rest = &rest[letter.len_utf8()..];
            let shown = format!("-{}", shown(&letter.to_string()));
            let (_, _, does) = *OPTIONS
                .iter()
                .find(|(short, _, _)| *short == letter && letter != '\0')
                .ok_or_else(|| format!("the option `{shown}` is not known; leave it out"))?;
            if does.takes_value() {
                let value = if rest.is_empty() { value_of(&shown, words.next())? } else { rest.to_owned() };
                return self.take(&shown, does, value, urls);
            }
            self.take(&shown, does, String::new(), urls)?;
        }
        Ok(())
    }

    fn take(
        &mut self,
        option: &str,
        does: Does,
        value: String,
        urls: &mut Vec<String>,
    ) -> Result<(), String> {
        match does {
            Does::Header => self.header(&value)?,
            Does::Data => self.data.push(Data::Text(not_a_file(option, value)?)),
            Does::DataRaw => self.data.push(Data::Text(value)),
            Does::DataUrlencode => self.data.push(to_encode(option, &value)?),
            Does::Json => self.data.push(Data::Json(not_a_file(option, value)?)),
            Does::User => self.user = Some(value),
            Does::Request => self.method = Some(value.to_ascii_uppercase()),
            Does::Url => urls.push(value),
            Does::UrlQuery => self.query.push(value),
            Does::Cookie if value.contains('=') => self.headers.push(("Cookie".to_owned(), value)),
            Does::Cookie => self.notes.push(format!("{option}: cookies of a file are not read")),
            Does::Agent => self.headers.push(("User-Agent".to_owned(), value)),
            Does::Referer => self.headers.push(("Referer".to_owned(), value)),
            Does::Bearer => self.headers.push(("Authorization".to_owned(), format!("Bearer {value}"))),
            Does::Get => self.data_in_query = true,
            Nothing | NothingWith => {}
            Note(why) | NoteWith(why) => self.notes.push(format!("{option}: {why}")),
            Refused(why) => return Err(format!("`{option}` cannot become part of a plan: {why}")),
        }
        Ok(())
    }

    fn header(&mut self, line: &str) -> Result<(), String> {
        if line.starts_with('@') {
            return Err(format!("headers of a file are not read: {FILES}"));
        }
        // `Name;` is a header without a value, `Name:` takes one out that curl would send.
        let (name, value) = match (line.split_once(':'), line.strip_suffix(';')) {
            (Some(("", pseudo)), _) => return self.pseudo_header(pseudo),
            (Some((name, value)), _) => (name, value.trim()),
            (None, Some(name)) => (name, ""),
            (None, None) => return Err("a header has no `:` between name and value".to_owned()),
        };
        if !(value.is_empty() && line.ends_with(':')) {
            self.headers.push((name.trim().to_owned(), value.to_owned()));
        }
        Ok(())
    }

    /// `:authority: x`: browsers show HTTP/2's pseudo headers; the URL says the same.
    fn pseudo_header(&mut self, line: &str) -> Result<(), String> {
        if line.contains(':') { Ok(()) } else { Err("a header has no name".to_owned()) }
    }
}

fn value_of(option: &str, value: Option<String>) -> Result<String, String> {
    value.ok_or_else(|| format!("`{option}` is the last word, and needs a value"))
}

fn not_a_file(option: &str, value: String) -> Result<String, String> {
    if value.starts_with('@') {
        return Err(format!("`{option}` names a file, which is not read: {FILES}"));
    }
    Ok(value)
}

/// curl's manual, `--data-urlencode`: `content`, `=content`, `name=content`, `@file`, `name@file`.
fn to_encode(option: &str, value: &str) -> Result<Data, String> {
    let (name, content) = match value.find(['=', '@']) {
        Some(at) if value[at..].starts_with('@') => {
            return Err(format!("`{option}` names a file, which is not read: {FILES}"));
        }
        Some(at) => (&value[..at], &value[at + 1..]),
        None => ("", value),
    };
    Ok(Data::Encode(name.to_owned(), content.to_owned()))
}

/// `TOKEN=x` before a command.
fn is_assignment(word: &str) -> bool {
    let is_name =
        |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    word.split_once('=').is_some_and(|(name, _)| is_name(name))
}

/// As much of an option as can be its name: what follows may be a secret.
fn shown(text: &str) -> String {
    text.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.')).take(30).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_become_parts_of_a_request() {
        let curl = parse(
            "TOKEN=x /usr/bin/curl -sSLXpost 'https://x.example/a?b=1' -H 'A: b:c' --header 'Accept:' -H 'E;' -d a=1 \
             --data-raw '@x' --data-urlencode 'q=a b' -ume:pw -H ':authority: x.example' -A agent | jq",
        )
        .unwrap();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(curl.url, "https://x.example/a?b=1");
        assert_eq!(curl.method.as_deref(), Some("POST"));
        assert_eq!(curl.headers, [pair("A", "b:c"), pair("E", ""), pair("User-Agent", "agent")]);
        assert_eq!(
            curl.data,
            [
                Data::Text("a=1".to_owned()),
                Data::Text("@x".to_owned()),
                Data::Encode("q".to_owned(), "a b".to_owned())
            ]
        );
        assert_eq!(curl.user.as_deref(), Some("me:pw"));
        assert_eq!(curl.notes.len(), 2, "{:?}", curl.notes);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let check = |text: &str, expected: &str| {
            let found = parse(text).unwrap_err();
            assert!(found.contains(expected), "{text}: {found}");
        };
        check("", "no command");
        check("wget https://x.example", "does not begin with `curl`");
        check("curl", "no URL");
        check("curl -s", "no URL");
        check("curl https://x.example b", "several URLs");
        check("curl https://x.example --frobnicate", "`--frobnicate` is not known");
        check("curl https://x.example -sW", "`-W` is not known");
        check("curl https://x.example -H", "needs a value");
        check("curl https://x.example -H x", "no `:`");
        check("curl https://x.example -d @body.json", "names a file");
        check("curl https://x.example --data-urlencode a@b", "names a file");
        check("curl https://x.example -F a=b", "uploads nothing");
        check("curl -I https://x.example", "GET or POST");
        check("curl --digest https://x.example", "this way to sign in");
        check("curl ^\"https://x.example^\"", "copy it as cURL (bash)");
    }
}
