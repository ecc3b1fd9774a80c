//! `[secrets]`: where each comes from, and fetching them when a run needs them.

use std::collections::BTreeMap;
use std::ops::Range;

use entities::{Secret, SecretSource, Secrets, StoreTarget, SyncPlan, TemplateText};
use expr::Template;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::Diagnostics;
use crate::findings::Findings;
use crate::held::is_mask;
use crate::item::Item;
use crate::load::{Lookup, why_and_help};
use crate::vars::check_name;

/// What `[secrets]` declares.
#[derive(Debug, Default)]
pub(crate) struct DeclaredSecrets {
    /// Every name, and where it is declared.
    pub(crate) names: BTreeMap<String, Range<usize>>,
    /// The sources; a name whose source is wrong is missing here.
    pub(crate) sources: BTreeMap<String, SecretSource>,
}

/// Reads `[secrets]`; fetches nothing.
pub(crate) fn secrets(item: Option<&Item<'_>>) -> DeclaredSecrets {
    let mut declared = DeclaredSecrets::default();
    let example = "[secrets] with one `name = { env = \"…\" }` a line";
    for (name, item) in item.and_then(|item| item.entries(example)).unwrap_or_default() {
        declared.names.insert(name.to_owned(), item.key_span.clone());
        check_name("secret", name, &item);
        if let Some(source) = source(&item) {
            declared.sources.insert(name.to_owned(), source);
        }
    }
    declared
}

fn source(item: &Item<'_>) -> Option<SecretSource> {
    let example = "{ env = \"NAME\" }, { file = \"path\" } or { command = [\"program\", \"argument\"] }";
    if let DeValue::String(text) = item.get() {
        if text.contains("{{") {
            item.wrong(
                "template-in-secrets",
                format!("{} is a template, but secrets are not evaluated", item.what),
                "would not be evaluated",
                format!("write {example}"),
            );
            return None;
        }
        item.findings.hide(item.span());
        if refuse_mask(item.findings, item.span(), &item.what, text) {
            return None;
        }
        item.findings.push(
            item.findings
                .error("literal-secret", item.span(), format!("{} is written into the plan", item.what))
                .warning()
                .label("whoever reads the plan reads the secret")
                .help(format!("write {example}")),
        );
        return item.template().map(|text: TemplateText| SecretSource::Literal(text));
    }
    let mut section = item.section(example)?;
    let (env, file, command) = (section.take("env"), section.take("file"), section.take("command"));
    // Variables have one: whoever expects it here is told why not.
    let default = section.take_unlisted("default");
    let misspelt = section.finish() > 0;
    if let Some(default) = default {
        default.findings.hide(default.span());
        default.findings.push(
            default
                .findings
                .error("secret-default", default.key_span.clone(), "a secret has no `default`")
                .label("would stand in the plan, for all to read")
                .help("remove it, and set the environment variable where the plan runs"),
        );
    }
    match (env, file, command) {
        (None, None, None) if misspelt => None,
        (Some(env), None, None) => {
            let name = env.string()?;
            if name.is_empty() || name.contains(['=', '\0']) {
                env.wrong(
                    "bad-name",
                    format!("`{name}` cannot name an environment variable"),
                    "",
                    "write its name: { env = \"API_TOKEN\" }",
                );
                return None;
            }
            Some(SecretSource::Env(name.to_owned()))
        }
        (None, file, command) if file.is_some() != command.is_some() => {
            if let Some(file) = file {
                return Some(SecretSource::File(file.string()?.to_owned()));
            }
            let command = command?;
            if let DeValue::String(line) = command.get() {
                let words: Vec<&str> = line.split_whitespace().collect();
                let help = format!("write each word by itself: command = {}", serde_json::Value::from(words));
                command.expected("a list of a program and its arguments", Some(help));
                return None;
            }
            let argv: Vec<String> = command.strings()?.into_iter().map(|(text, _)| text.to_owned()).collect();
            if argv.is_empty() {
                command.wrong(
                    "empty",
                    "`command` is empty",
                    "expected a program",
                    "write command = [\"program\", \"argument\"]",
                );
                return None;
            }
            Some(SecretSource::Command(argv))
        }
        _ => {
            item.wrong(
                "secret-source",
                format!("{} must say exactly one of `env`, `file` and `command`", item.what),
                "where does it come from?",
                format!("write {example}"),
            );
            None
        }
    }
}

/// Refuses what a server shows in place of a secret: nothing is held that it could stand for. Whether it did.
pub(crate) fn refuse_mask(findings: &Findings, span: Range<usize>, what: &str, text: &str) -> bool {
    let masked = is_mask(text);
    if masked {
        findings.push(
            findings
                .error(
                    "masked-secret",
                    span,
                    format!("{what} is what is shown in a secret's place, not the secret"),
                )
                .label("nothing but asterisks")
                .help(
                    "write the secret itself, or better where it comes from: { env = \"NAME\" } in [secrets]",
                ),
        );
    }
    masked
}

/// Fetches every secret of a plan. Errors point at the plan's line and say what to export.
///
/// # Errors
/// All secrets that cannot be had, at once. No value appears in them.
pub fn resolve_secrets(plan: &SyncPlan, lookup: &dyn Lookup) -> Result<Secrets, Diagnostics> {
    resolve(plan, lookup, |_| true)
}

/// Fetches only the secrets that `[store]` names: for whoever reads what has landed, and asks no API.
///
/// # Errors
/// As [`resolve_secrets`].
pub fn resolve_store_secrets(plan: &SyncPlan, lookup: &dyn Lookup) -> Result<Secrets, Diagnostics> {
    let StoreTarget::Postgres(target) = &plan.store else { return Ok(Secrets::default()) };
    // One that does not parse was never loaded.
    let template = Template::compile(&target.url).ok();
    let names = template.as_ref().map(|template| template.names()).into_iter().flatten();
    let names: Vec<&str> = names.map(|name| name.strip_prefix("secrets.").unwrap_or(name)).collect();
    // `secrets[…]` may be any.
    resolve(plan, lookup, |name| names.contains(&name) || names.contains(&"secrets"))
}

fn resolve(
    plan: &SyncPlan,
    lookup: &dyn Lookup,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Secrets, Diagnostics> {
    let findings = Findings::new(plan.source.clone());
    let mut secrets = Secrets::default();
    for (name, source) in plan.secrets.iter().filter(|(name, _)| is_wanted(name)) {
        match fetch(name, source, lookup) {
            Ok(value) => {
                secrets.0.insert(name.clone(), Secret::new(value));
            }
            Err((message, label, help)) => {
                let span = declaration(&plan.source.text, name);
                findings.push(findings.error("secret", span, message).label(label).help(help));
            }
        }
    }
    if findings.has_errors() { Err(findings.into_diagnostics()) } else { Ok(secrets) }
}

fn fetch(name: &str, source: &SecretSource, lookup: &dyn Lookup) -> Result<String, (String, String, String)> {
    let (value, from) = match source {
        SecretSource::Literal(text) => (text.source.to_string(), "the plan".to_owned()),
        SecretSource::Env(variable) => {
            let read = lookup.env(variable).map_err(|error| {
                let (why, help) = why_and_help(&error, "let whoever runs the plan allow it");
                (
                    format!("secret `{name}`: cannot read environment variable `{variable}`: {why}"),
                    "may not be read".to_owned(),
                    help,
                )
            })?;
            let value = read.ok_or_else(|| {
                (
                    format!("secret `{name}`: environment variable `{variable}` is not set"),
                    "not set".to_owned(),
                    format!("export {variable}=…"),
                )
            })?;
            (value, format!("environment variable `{variable}`"))
        }
        SecretSource::File(path) => {
            let value = lookup.file(path).map_err(|error| {
                let (why, help) = why_and_help(&error, "create the file, or correct its path");
                (format!("secret `{name}`: cannot read `{path}`: {why}"), "cannot be read".to_owned(), help)
            })?;
            (without_line_end(value), format!("file `{path}`"))
        }
        SecretSource::Command(argv) => {
            let program = argv.first().map_or("", String::as_str);
            let value = lookup.command(argv).map_err(|error| {
                let (why, help) = why_and_help(&error, format!("run it by hand: {}", argv.join(" ")));
                // One that may not be run did not fail.
                let denied = error.contains('\n');
                let (verb, label) = if denied {
                    ("cannot be run", "may not be run")
                } else {
                    ("failed", "this command failed")
                };
                (format!("secret `{name}`: `{program}` {verb}: {why}"), label.to_owned(), help)
            })?;
            (without_line_end(value), format!("`{program}`"))
        }
    };
    if value.is_empty() {
        return Err((
            format!("secret `{name}`: {from} gives nothing"),
            "empty".to_owned(),
            match source {
                SecretSource::Env(name) => format!("export {name}=…"),
                _ => "make it give the secret".to_owned(),
            },
        ));
    }
    Ok(value)
}

fn without_line_end(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

/// Where `[secrets].name` stands: the plan keeps no place for it, its text does.
fn declaration(text: &str, name: &str) -> Range<usize> {
    DeTable::parse(text)
        .ok()
        .and_then(|table| {
            let secrets = table.get_ref().get("secrets")?.get_ref().as_table()?;
            Some(secrets.get(name)?.span())
        })
        .unwrap_or(0..0)
}
