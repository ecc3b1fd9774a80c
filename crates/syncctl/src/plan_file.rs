//! Finding and reading a plan's file; when there is none of that name, saying what is there.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use entities::{SecretSource, Secrets, SyncPlan};
use plan::{Diagnostics, Loaded};

use crate::context::Context;
use crate::exit::Problem;
use crate::report::quoted;
use crate::terminal::{clean, say};

/// A plan larger than this is a mistake (a dump, a binary), not a plan.
const LARGEST: u64 = 16 * 1024 * 1024;

/// Reads a plan's text.
pub(crate) fn read(path: &Path) -> Result<String, Problem> {
    let shown = clean(&path.to_string_lossy()).into_owned();
    let unreadable = |why: &str| Problem::wrong(format!("cannot read plan `{shown}`: {why}"));
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(missing(path, &shown)),
        Err(error) => return Err(unreadable(&error.to_string())),
        Ok(metadata) if metadata.is_dir() => {
            let problem = unreadable("it is a directory");
            return Err(match suggestions(path) {
                Some(line) => problem.help(line),
                None => problem,
            });
        }
        Ok(metadata) if metadata.len() > LARGEST => return Err(unreadable("it is larger than 16 MiB")),
        Ok(_) => {}
    }
    let bytes = fs::read(path).map_err(|error| unreadable(&error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| {
        unreadable(&format!("it is not UTF-8 text (byte {})", error.utf8_error().valid_up_to()))
    })
}

/// Reads and checks a plan; its warnings go to stderr.
pub(crate) fn load(
    path: &Path,
    overrides: &[(String, String)],
    context: &Context,
) -> Result<SyncPlan, Problem> {
    let text = read(path)?;
    let lookup = context.lookup_for(path);
    match plan::load(&path.to_string_lossy(), &text, &lookup, overrides) {
        Ok(loaded) => {
            let Loaded { plan, warnings } = loaded;
            if !warnings.is_empty() {
                let warnings = Diagnostics { source: Arc::clone(&plan.source), list: warnings };
                say(warnings.render(context.colour).trim_end(), context);
            }
            Ok(plan)
        }
        Err(diagnostics) => Err(Problem::diagnosed(diagnostics.render(context.colour))),
    }
}

/// As [`load`], for commands that only look at what a plan has landed: they have no use for warnings.
pub(crate) fn load_quietly(path: &Path, context: &Context) -> Result<SyncPlan, Problem> {
    load_quietly_with(path, &[], context)
}

/// As [`load_quietly`], with `--set`.
pub(crate) fn load_quietly_with(
    path: &Path,
    overrides: &[(String, String)],
    context: &Context,
) -> Result<SyncPlan, Problem> {
    let text = read(path)?;
    match plan::load(&path.to_string_lossy(), &text, &context.lookup_for(path), overrides) {
        Ok(loaded) => Ok(loaded.plan),
        Err(diagnostics) => Err(Problem::diagnosed(diagnostics.render(context.colour))),
    }
}

/// The secrets that can be had without running a command, for commands that only ask which budgets are meant:
/// nobody wants a password manager to pop up for that. What cannot be had is left out.
pub(crate) fn secrets_at_hand(plan: &SyncPlan, path: &Path, context: &Context) -> Secrets {
    let lookup = context.lookup_for(path);
    let mut at_hand = Secrets::default();
    for (name, source) in &plan.secrets {
        if matches!(source, SecretSource::Command(_)) {
            continue;
        }
        let alone = SyncPlan { secrets: [(name.clone(), source.clone())].into(), ..plan.clone() };
        at_hand.0.extend(plan::resolve_secrets(&alone, &lookup).unwrap_or_default().0);
    }
    at_hand
}

/// The secrets that a plan's `[store]` names, for commands that read what has landed. Here also commands are run, for
/// without them nothing could be read.
pub(crate) fn secrets_of_store(plan: &SyncPlan, path: &Path, context: &Context) -> Result<Secrets, Problem> {
    plan::resolve_store_secrets(plan, &context.lookup_for(path))
        .map_err(|diagnostics| Problem::diagnosed(diagnostics.render(context.colour)))
}

/// Checks names of tasks that were typed.
pub(crate) fn check_tasks(plan: &SyncPlan, tasks: &[String]) -> Result<(), Problem> {
    for task in tasks {
        if plan.spec_named(task).is_none() {
            let names = plan.tasks.iter().map(|task| task.name.as_str());
            let problem = Problem::wrong(format!("plan {} has no task `{task}`", plan.name));
            return Err(match nearest(task, names.clone()) {
                Some(name) => problem.help(format!("did you mean `{name}`?")),
                None => problem.help(format!("it has {}", names.collect::<Vec<_>>().join(", "))),
            });
        }
    }
    Ok(())
}

/// The tables that were named, or all of a plan's.
pub(crate) fn tables(plan: &SyncPlan, named: &[String]) -> Result<Vec<String>, Problem> {
    let mut known: Vec<String> = Vec::new();
    for task in &plan.tasks {
        if !known.contains(&task.table) {
            known.push(task.table.clone());
        }
    }
    if let Some(stray) = named.iter().find(|name| !known.contains(name)) {
        let problem = Problem::wrong(format!("plan {} has no table `{stray}`", plan.name));
        return Err(match nearest(stray, known.iter().map(String::as_str)) {
            Some(name) => problem.help(format!("did you mean `{name}`?")),
            None => problem.help(format!("it has {}", known.join(", "))),
        });
    }
    Ok(if named.is_empty() { known } else { known.into_iter().filter(|name| named.contains(name)).collect() })
}

/// The command that does `verb` to a plan, as it can be copied.
pub(crate) fn command_on(verb: &str, path: &Path, context: &Context) -> String {
    format!("{} {verb} {}", context.program, quoted(&path.to_string_lossy()))
}

/// Every `*.toml` of a directory, sorted; empty when it cannot be read.
pub(crate) fn plans_in(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut plans: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml") && path.is_file())
        .collect();
    plans.sort();
    plans
}

/// The name most like `wanted`, if one is like it at all.
pub(crate) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|name| (strsim::jaro_winkler(&wanted.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

fn missing(path: &Path, shown: &str) -> Problem {
    let problem = Problem::wrong(format!("there is no plan `{shown}`"));
    let here = known_plans(path);
    let stem =
        |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let stems: Vec<String> = here.iter().map(|path| stem(path)).collect();
    let like = nearest(&stem(path), stems.iter().map(String::as_str))
        .and_then(|name| stems.iter().position(|stem| stem == name));
    let problem = match like {
        Some(index) => problem.help(format!("did you mean `{}`?", clean(&here[index].to_string_lossy()))),
        None => problem,
    };
    match suggestions(path) {
        Some(line) => problem.help(line),
        None => problem.help("a plan is a TOML file; there is none in plans/ here"),
    }
}

fn known_plans(path: &Path) -> Vec<PathBuf> {
    let mut plans = plans_in(Path::new("plans"));
    let beside = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
    if !beside.as_os_str().is_empty() && beside != Path::new("plans") {
        plans.extend(plans_in(beside));
    }
    plans
}

fn suggestions(path: &Path) -> Option<String> {
    const SHOWN: usize = 8;
    let plans = known_plans(path);
    if plans.is_empty() {
        return None;
    }
    let names: Vec<String> =
        plans.iter().take(SHOWN).map(|path| clean(&path.to_string_lossy()).into_owned()).collect();
    let more = plans.len().saturating_sub(SHOWN);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    Some(format!("here are {}{more}", names.join(", ")))
}
