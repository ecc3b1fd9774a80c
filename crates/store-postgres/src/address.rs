//! Where the database is: the plan's connection string, with what we add to it. It holds the password, and is never shown.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use entities::{PostgresTarget, Secrets};
use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// Who is to be trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trust {
    /// `sslrootcert`: a file of certificates, instead of the platform's.
    pub root_certificates: Option<PathBuf>,
}

/// A database and a schema of it.
#[derive(Clone)]
pub(crate) struct Address {
    /// What the connection is made by.
    pub config: Config,
    /// Whose certificates are good.
    pub trust: Trust,
    /// The schema.
    pub schema: String,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

/// As errors call it: host, database, schema.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<String> = self
            .config
            .get_hosts()
            .iter()
            .map(|host| match host {
                Host::Tcp(name) => name.clone(),
                #[cfg(unix)]
                Host::Unix(path) => path.display().to_string(),
            })
            .collect();
        let database = self.config.get_dbname().or(self.config.get_user()).unwrap_or("postgres");
        write!(f, "PostgreSQL database `{database}` on {}, schema `{}`", hosts.join(", "), self.schema)
    }
}

impl Address {
    /// The address of a plan's store.
    ///
    /// # Errors
    /// For people, without the connection string.
    pub(crate) fn of(target: &PostgresTarget, secrets: &Secrets) -> Result<Address, String> {
        let url = expr::with_secrets(&target.url, secrets)
            .map_err(|error| format!("the connection string in [store]: {error}"))?;
        let (words, taken) = split_options(url.expose())?;
        let mut config: Config = words.parse().map_err(|error: tokio_postgres::Error| {
            // Its source names an option, never a value.
            let why = std::error::Error::source(&error).map_or(String::new(), |why| format!(": {why}"));
            format!(
                "the connection string in [store] is none{why}; \
                 write postgres://USER:PASSWORD@HOST:5432/DATABASE, special characters of the password as %XX"
            )
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err("the connection string in [store] names no host".to_owned());
        }
        match taken.mode.as_deref() {
            None | Some("prefer" | "allow") => config.ssl_mode(SslMode::Prefer),
            Some("disable") => config.ssl_mode(SslMode::Disable),
            Some("require" | "verify-ca" | "verify-full") => config.ssl_mode(SslMode::Require),
            Some(other) => {
                return Err(format!("`sslmode={other}` in [store]: there are disable, prefer and require"));
            }
        };
        if config.get_application_name().is_none() {
            config.application_name("syncctl");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(10));
        }
        config.keepalives(true);
        config.keepalives_idle(Duration::from_secs(15));
        config.keepalives_interval(Duration::from_secs(5));
        config.keepalives_retries(6);
        config.tcp_user_timeout(Duration::from_secs(60));
        let trust = Trust { root_certificates: taken.root_certificates };
        Ok(Address { config, trust, schema: target.schema.clone() })
    }
}

/// The options that tokio-postgres does not know, or not as we do.
#[derive(Debug, Default, PartialEq, Eq)]
struct Taken {
    mode: Option<String>,
    root_certificates: Option<PathBuf>,
}

impl Taken {
    fn take(&mut self, name: &str, value: &str) -> bool {
        match name {
            "sslmode" => self.mode = Some(value.to_owned()),
            // Of libpq: the platform's, which is what we do by ourselves.
            "sslrootcert" if value == "system" => {}
            "sslrootcert" => self.root_certificates = Some(PathBuf::from(value)),
            _ => return false,
        }
        true
    }
}

/// Takes `sslmode` and `sslrootcert` out of a connection string.
fn split_options(text: &str) -> Result<(String, Taken), String> {
    let mut taken = Taken::default();
    if !text.contains("ssl") {
        return Ok((text.to_owned(), taken));
    }
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        let Some((before, query)) = text.split_once('?') else { return Ok((text.to_owned(), taken)) };
        let mut kept = Vec::new();
        for option in query.split('&') {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let value = percent_decode_str(value)
                .decode_utf8()
                .map_err(|_| format!("`{name}` in the connection string is not UTF-8"))?;
            if !taken.take(name, &value) {
                kept.push(option);
            }
        }
        return Ok((format!("{before}?{}", kept.join("&")), taken));
    }
    // libpq's words: values with blanks stand in single quotes, which only those of other options may have.
    let mut kept = Vec::new();
    for word in words(text) {
        let is_taken = word
            .split_once('=')
            .is_some_and(|(name, value)| taken.take(name.trim(), value.trim().trim_matches('\'')));
        if !is_taken {
            kept.push(word);
        }
    }
    Ok((kept.join(" "), taken))
}

/// `key=value` words, with what stands in quotes in one piece.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut start, mut is_quoted, mut is_escaped) = (0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '\'' => is_quoted = !is_quoted,
            c if c.is_whitespace() && !is_quoted => {
                words.push(&text[start..at]);
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    words.push(&text[start..]);
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_tls_are_taken_out() {
        for (text, rest, mode, root) in [
            ("postgres://u:p@h/d", "postgres://u:p@h/d", None, None),
            ("postgres://u:p@h/d?sslmode=require", "postgres://u:p@h/d?", Some("require"), None),
            (
                "postgres://u@h/d?sslrootcert=%2Fa%20b.pem&connect_timeout=3&sslmode=verify-full",
                "postgres://u@h/d?connect_timeout=3",
                Some("verify-full"),
                Some("/a b.pem"),
            ),
            (
                "host=h  password='a sslmode=x' sslmode=disable sslrootcert='/r.pem'",
                "host=h password='a sslmode=x'",
                Some("disable"),
                Some("/r.pem"),
            ),
            ("host=h sslrootcert=system", "host=h", None, None),
        ] {
            let (found, taken) = split_options(text).unwrap();
            assert_eq!(found, rest, "{text}");
            assert_eq!(taken.mode.as_deref(), mode, "{text}");
            assert_eq!(taken.root_certificates, root.map(PathBuf::from), "{text}");
        }
    }
}
