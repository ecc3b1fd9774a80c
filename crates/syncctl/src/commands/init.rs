//! `syncctl init`: a plan to begin with, from the built-in example or from a curl command.

mod curl;
mod plan_text;
mod request;
mod secrets;
mod words;

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::Path;

use plan::Lookup;

use self::plan_text::{endpoint_name, plan_text};
use self::secrets::Secrets;
use crate::cli::InitArgs;
use crate::context::Context;
use crate::exit::{Exit, Outcome, Problem};
use crate::terminal::{clean, to_stderr};

/// More than this on stdin is no command.
const LONGEST_COMMAND: u64 = 1 << 20;

pub(super) fn init(args: &InitArgs, context: &Context) -> Outcome {
    let file = args.file.to_string_lossy();
    // Before anything is asked of stdin.
    if !args.force && args.file.exists() {
        return Err(there_already(&file));
    }
    let name = plan_name(&args.file);
    let draft = match args.from_curl.as_deref() {
        None => example(name.as_deref().unwrap_or("first"), &file),
        Some("-") => from_curl(&stdin()?, name.as_deref(), &file)?,
        Some(command) => from_curl(command, name.as_deref(), &file)?,
    };
    write(&args.file, &draft.text, args.force)?;
    to_stderr(&next_steps(&draft, &file, &context.program));
    Ok(Exit::Complete)
}

/// A plan that is about to be written.
#[derive(Debug)]
struct Draft {
    text: String,
    /// What has to be set before it can run, and where the value stood.
    environment: Vec<(String, String)>,
    notes: Vec<String>,
}

fn example(name: &str, file: &str) -> Draft {
    let file = if file.chars().any(char::is_control) { "PLAN" } else { file };
    let text = include_str!("init/sandbox.toml").replace("@NAME@", name).replace("@FILE@", file);
    Draft { text, environment: Vec::new(), notes: Vec::new() }
}

/// The plan of a curl command. What it gives back is valid, or an error says what is not understood.
fn from_curl(command: &str, name: Option<&str>, file: &str) -> Result<Draft, Problem> {
    let not_understood = |why: String| {
        Problem::wrong(format!("cannot make a plan of the curl command: {why}"))
            .help("quote the whole command: --from-curl 'curl …', or pipe it into --from-curl -")
    };
    let curl = curl::parse(command).map_err(not_understood)?;
    let mut secrets = Secrets::new(&endpoint_name(&host_of(&curl.url)));
    let request = request::request(curl, &mut secrets).map_err(not_understood)?;
    let default_name = endpoint_name(&request.host);
    let text = plan_text(name.unwrap_or(&default_name), file, &request, &mut secrets);
    if let Err(diagnostics) = plan::load(file, &text, &Nowhere, &[]) {
        let first = diagnostics.list.first().map(|first| clean(&first.message).into_owned());
        return Err(not_understood(
            first.unwrap_or_else(|| "what it says is no request of a plan".to_owned()),
        ));
    }
    let environment = secrets.list.into_iter().map(|secret| (secret.env, secret.from)).collect();
    Ok(Draft { text, environment, notes: request.notes })
}

/// The host of what may be a URL, to name things after before it is read.
fn host_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    host.split(':').next().unwrap_or_default().to_ascii_lowercase()
}

/// The name that a file gives its plan; none if it says nothing.
fn plan_name(file: &Path) -> Option<String> {
    let stem = file.file_stem()?.to_string_lossy().to_lowercase();
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    let name: String = stem.chars().map(|c| if good(c) { c } else { '-' }).take(64).collect();
    let name = name.trim_matches('-');
    (!name.is_empty() && name != "plan").then(|| name.to_owned())
}

fn stdin() -> Result<String, Problem> {
    let mut text = String::new();
    let mut input = std::io::stdin().lock().take(LONGEST_COMMAND);
    match input.read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(error) => Err(Problem::wrong(format!("cannot read the curl command from stdin: {error}"))),
    }
}

fn write(path: &Path, text: &str, force: bool) -> Result<(), Problem> {
    let shown = clean(&path.to_string_lossy()).into_owned();
    let written = match force {
        true => fs::write(path, text),
        false => OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)
            .and_then(|mut file| file.write_all(text.as_bytes())),
    };
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => there_already(&shown),
        ErrorKind::NotFound => {
            Problem::wrong(format!("cannot write `{shown}`: its directory does not exist"))
                .help("create the directory first")
        }
        _ => Problem::wrong(format!("cannot write `{shown}`: {error}")),
    })
}

fn there_already(file: &str) -> Problem {
    Problem::wrong(format!("`{}` is there already", clean(file)))
        .help("name another file, or overwrite it with --force")
}

fn next_steps(draft: &Draft, file: &str, program: &str) -> String {
    let file = clean(file);
    let mut out = format!("wrote {file}\n");
    for note in &draft.notes {
        out.push_str(&format!("left out: {}\n", clean(note)));
    }
    out.push_str("next:\n");
    for (variable, from) in &draft.environment {
        let was = match from.starts_with('$') {
            true => "as the command has it".to_owned(),
            false => format!("it was {}; it is not in the plan", clean(from)),
        };
        out.push_str(&format!("  export {variable}=…    {was}\n"));
    }
    out.push_str(&format!("  {program} preview {file}    look at the first rows, and land nothing\n"));
    out.push_str(&format!("  {program} run {file}        fetch"));
    out
}

/// A plan that was just made reads nothing from outside.
struct Nowhere;

impl Lookup for Nowhere {
    fn env(&self, _: &str) -> Result<Option<String>, String> {
        Ok(None)
    }

    fn file(&self, _: &str) -> Result<String, String> {
        Err("not read".to_owned())
    }

    fn command(&self, _: &[String]) -> Result<String, String> {
        Err("not run".to_owned())
    }
}

#[cfg(test)]
mod tests;
