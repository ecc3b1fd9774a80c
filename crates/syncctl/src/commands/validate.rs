//! `syncctl validate`: plans are read and checked; nothing is fetched, no secret is resolved.

use std::path::{Path, PathBuf};

use plan::Diagnostics;
use serde_json::{Value, json};

use crate::cli::{FormatKind, ValidateArgs};
use crate::context::Context;
use crate::exit::{Exit, Outcome, Problem};
use crate::plan_file;
use crate::terminal::{Paint, clean, counted, to_stderr, to_stdout};

pub(super) fn validate(args: &ValidateArgs, context: &Context) -> Outcome {
    let paths = match args.plans.as_slice() {
        [] => every_plan_here()?,
        given => given.to_vec(),
    };
    let mut wrong = 0u64;
    let mut warnings = 0u64;
    let mut objects = Vec::new();
    for path in &paths {
        let checked = check(path, context);
        wrong += u64::from(!checked.valid);
        warnings += checked.warnings;
        match args.format {
            FormatKind::Human => to_stdout(&checked.human(path, context)),
            FormatKind::Github => to_stdout(&checked.github),
            FormatKind::Json => objects.push(checked.json(path)),
        }
    }
    if args.format == FormatKind::Json {
        to_stdout(&format!("{:#}\n", json!({"valid": wrong == 0, "plans": objects})));
    }
    let summary = summary(paths.len() as u64, wrong, warnings);
    match args.format {
        FormatKind::Human => to_stdout(&format!("{summary}\n")),
        FormatKind::Github | FormatKind::Json => to_stderr(&summary),
    }
    Ok(if wrong == 0 { Exit::Complete } else { Exit::Wrong })
}

fn every_plan_here() -> Result<Vec<PathBuf>, Problem> {
    let plans = plan_file::plans_in(Path::new("plans"));
    if plans.is_empty() {
        return Err(Problem::wrong("there is no plans/*.toml here")
            .help("name the plans to check: syncctl validate PLAN…"));
    }
    Ok(plans)
}

/// What there is to say about one file, in every format.
struct Checked {
    valid: bool,
    warnings: u64,
    human: String,
    github: String,
    diagnostics: Value,
}

fn check(path: &Path, context: &Context) -> Checked {
    let text = match plan_file::read(path) {
        Ok(text) => text,
        Err(problem) => return unreadable(path, &problem, context),
    };
    let name = path.to_string_lossy();
    let (valid, diagnostics) = match plan::load(&name, &text, &context.lookup_for(path), &[]) {
        Ok(loaded) => (true, Diagnostics { source: loaded.plan.source, list: loaded.warnings }),
        Err(diagnostics) => (false, diagnostics),
    };
    Checked {
        valid,
        warnings: diagnostics.warnings() as u64,
        human: diagnostics.render(context.stdout_colour),
        github: diagnostics.github(),
        diagnostics: diagnostics.json(),
    }
}

fn unreadable(path: &Path, problem: &Problem, context: &Context) -> Checked {
    let paint = Paint(context.stdout_colour);
    let text = clean(&problem.text);
    let help = problem.help.join("; ");
    let mut human = format!("{} {text}\n", paint.red("error:"));
    for line in &problem.help {
        human.push_str(&format!("  {} {}\n", paint.bold("help:"), clean(line)));
    }
    Checked {
        valid: false,
        warnings: 0,
        human,
        github: format!("::error title=unreadable::{}\n", text.replace('%', "%25")),
        diagnostics: json!([{
            "severity": "error", "code": "unreadable", "message": problem.text, "file": path.to_string_lossy(),
            "line": 0, "column": 0, "start": 0, "end": 0, "label": null, "help": help,
        }]),
    }
}

impl Checked {
    fn human(&self, path: &Path, context: &Context) -> String {
        let paint = Paint(context.stdout_colour);
        if !self.valid {
            return format!("{}\n", self.human.trim_end());
        }
        let ok = format!("{} {}\n", paint.green("ok"), clean(&path.to_string_lossy()));
        if self.human.trim().is_empty() { ok } else { format!("{}\n{ok}", self.human.trim_end()) }
    }

    fn json(&self, path: &Path) -> Value {
        json!({"plan": path.to_string_lossy(), "valid": self.valid, "diagnostics": self.diagnostics})
    }
}

fn summary(plans: u64, wrong: u64, warnings: u64) -> String {
    let warnings = if warnings == 0 { String::new() } else { format!(", {}", counted(warnings, "warning")) };
    match wrong {
        0 => format!(
            "{} valid{warnings}",
            if plans == 1 { "1 plan is".to_owned() } else { format!("all {plans} plans are") }
        ),
        wrong => format!("{wrong} of {} wrong{warnings}", counted(plans, "plan")),
    }
}
