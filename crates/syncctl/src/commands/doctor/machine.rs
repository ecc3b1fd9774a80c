//! What a plan needs of this machine: secrets, the state directory.

use std::fs;
use std::path::Path;

use entities::{SecretSource, Secrets, SyncPlan};

use super::Check;
use crate::compose;
use crate::context::Context;
use crate::throw_away::ThrowAway;

/// Resolves each secret by itself; those that are there are given back, never shown.
pub(super) fn secrets(plan: &SyncPlan, path: &Path, context: &Context) -> (Vec<Check>, Secrets) {
    let (mut checks, mut secrets) = (Vec::new(), Secrets::default());
    for (name, source) in &plan.secrets {
        let from = from(source);
        let alone = SyncPlan { secrets: [(name.clone(), source.clone())].into(), ..plan.clone() };
        match plan::resolve_secrets(&alone, &context.lookup_for(path)) {
            Ok(found) => {
                let empty = found.0.values().any(|secret| secret.expose().is_empty());
                secrets.0.extend(found.0);
                checks.push(match empty {
                    true => Check::warning(
                        "secrets",
                        name,
                        format!("{from} is empty"),
                        "set it to the credential",
                    ),
                    false => Check::good("secrets", name, format!("set, by {from}")),
                });
            }
            Err(diagnostics) => {
                let why = diagnostics.list.first().map_or("it cannot be had", |first| &first.message);
                checks.push(Check::bad("secrets", name, why, way_out(source)));
            }
        }
    }
    (checks, secrets)
}

fn from(source: &SecretSource) -> String {
    match source {
        SecretSource::Env(name) => format!("the environment variable {name}"),
        SecretSource::File(path) => format!("the file {path}"),
        SecretSource::Command(words) => format!("the command {}", words.first().map_or("", String::as_str)),
        SecretSource::Literal(_) => "the plan itself".to_owned(),
    }
}

fn way_out(source: &SecretSource) -> String {
    match source {
        SecretSource::Env(name) => format!("export {name}=…"),
        SecretSource::File(path) => format!("write the secret into {path}, readable by you alone"),
        SecretSource::Command(words) => format!("run it by hand: {}", words.join(" ")),
        SecretSource::Literal(_) => "write { env = \"NAME\" } and set that variable".to_owned(),
    }
}

/// The directory that budgets are kept in.
pub(super) fn state(context: &Context) -> Vec<Check> {
    const ABOUT: &str = "this machine";
    let Some(directory) = &context.state_dir else {
        let text =
            "neither XDG_STATE_HOME nor HOME is set: what limits still allow is forgotten between runs";
        return vec![Check::warning(ABOUT, "state", text, "set XDG_STATE_HOME to a directory of yours")];
    };
    let shown = directory.display();
    let written = fs::create_dir_all(directory).and_then(|()| ThrowAway::below(directory).map(drop));
    vec![match written {
        Err(error) => Check::bad(
            ABOUT,
            "state",
            format!("cannot write to {shown}: {error}"),
            "make it writable, or set XDG_STATE_HOME to a directory that is",
        ),
        Ok(()) => match compose::budgets(context) {
            Ok(()) => {
                Check::good(ABOUT, "state", format!("{shown} can be written, and its budgets.db is good"))
            }
            Err(why) => Check::bad(
                ABOUT,
                "state",
                why,
                format!("move {shown}/budgets.db away: what was sent lately is forgotten, nothing else"),
            ),
        },
    }]
}
