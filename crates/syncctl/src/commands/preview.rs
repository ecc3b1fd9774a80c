//! `syncctl preview`: one page of each task, fetched as a run would, shown and thrown away.

use entities::{Failure, Secrets, SpecIndex, SyncPlan, TaskSpec};
use serde_json::{Value, json};

use crate::cli::{OutputKind, PreviewArgs};
use crate::context::Context;
use crate::exit::{Exit, Outcome, Problem};
use crate::grid;
use crate::look::{self, Look, Looked, PageSeen};
use crate::plan_file;
use crate::report::{Excerpt, FailedRequest};
use crate::running::runtime;
use crate::terminal::{Paint, clean, counted, duration, say, to_stdout};

pub(super) fn preview(args: &PreviewArgs, context: &Context) -> Outcome {
    let plan = plan_file::load(&args.plan, &args.set, context)?;
    plan_file::check_tasks(&plan, &args.tasks)?;
    let secrets = plan::resolve_secrets(&plan, &context.lookup_for(&args.plan))
        .map_err(|diagnostics| Problem::diagnosed(diagnostics.render(context.colour)))?;
    let runtime = runtime()?;
    let looked = runtime.block_on(Box::pin(look::look(&plan, &secrets, args.tasks.clone(), context)));
    runtime.shutdown_timeout(std::time::Duration::from_millis(100));
    let looked = looked?;
    let shown = Shown {
        plan: &plan,
        looked: &looked,
        rows: args.rows,
        width: context.width,
        excerpt: Excerpt { plan: &plan, secrets: &secrets, paint: Paint(context.stdout_colour) },
    };
    match args.output {
        OutputKind::Human => to_stdout(&shown.text()),
        OutputKind::Json => to_stdout(&format!("{:#}\n", shown.object())),
    }
    let exit = Exit::of(looked.report.state);
    match exit {
        Exit::LongWait => {
            say("a limit asks for a longer wait than a preview has patience for; nothing was kept", context)
        }
        Exit::Broken => {
            let why = looked.report.reason.as_deref().unwrap_or("the system failed");
            say(&clean(why), context);
        }
        _ => {}
    }
    Ok(exit)
}

/// What a task's look amounts to.
enum Verdict<'l> {
    /// It has rows.
    Rows(&'l PageSeen),
    /// It was answered well, and there are none: why.
    Empty(&'l PageSeen, String),
    /// It failed.
    Failed(&'l Failure),
    /// It made no request: why.
    NotAsked(String),
}

struct Shown<'a> {
    plan: &'a SyncPlan,
    looked: &'a Looked,
    rows: usize,
    width: usize,
    excerpt: Excerpt<'a>,
}

impl Shown<'_> {
    /// The tasks that were to be looked at, in the plan's order.
    fn specs(&self) -> impl Iterator<Item = (&TaskSpec, Option<&Look>, Verdict<'_>)> {
        let wanted = |index: &SpecIndex| self.looked.report.tasks.contains_key(&self.plan.spec(*index).name);
        self.plan.spec_indices().filter(wanted).map(|index| {
            let look = self.looked.looks.get(&index);
            (self.plan.spec(index), look, self.verdict(index, look))
        })
    }

    fn verdict<'l>(&self, index: SpecIndex, look: Option<&'l Look>) -> Verdict<'l> {
        match look {
            Some(Look { failure: Some(failure), .. }) => Verdict::Failed(failure),
            Some(Look { page: Some(page), .. }) if page.records.rows > 0 => Verdict::Rows(page),
            Some(Look { page: Some(page), .. }) => Verdict::Empty(page, self.why_empty(index, page)),
            _ => Verdict::NotAsked(self.why_not_asked(index)),
        }
    }

    fn why_empty(&self, index: SpecIndex, page: &PageSeen) -> String {
        let reading = &self.plan.spec(index).reading;
        match (&reading.records, &reading.filter) {
            _ if page.skipped => "a rule of `on` skips this answer".to_owned(),
            _ if page.split => "the answer was cut off: a run would ask for it again in halves".to_owned(),
            (_, Some(filter)) if page.received > 0 => {
                format!(
                    "`where = {:?}` holds for none of {}",
                    filter.source,
                    counted(page.received, "record")
                )
            }
            (Some(records), _) => format!("`records = {:?}` finds none in the answer", records.source),
            _ => "the answer is an empty list".to_owned(),
        }
    }

    fn why_not_asked(&self, index: SpecIndex) -> String {
        let spec = self.plan.spec(index);
        let Some(parent) = spec.parent() else { return "`foreach` yields nothing to ask for".to_owned() };
        let name = &self.plan.spec(parent).name;
        match self.looked.looks.get(&parent) {
            None => format!("{name} made no request"),
            Some(Look { failure: Some(_), .. }) => format!("{name} failed"),
            Some(Look { page: Some(page), .. }) if page.records.rows == 0 => format!("{name} has no rows"),
            Some(_) => format!("none of the rows of {name} drives it"),
        }
    }

    fn text(&self) -> String {
        let paint = self.excerpt.paint;
        let mut out = format!(
            "{}: one request a task at most, cursors at their start. Nothing is landed: this is thrown away.\n",
            paint.bold(self.plan.name.as_str())
        );
        for (number, (spec, look, verdict)) in self.specs().enumerate() {
            out.push_str(&format!("\n{}", paint.bold(&clean(&spec.name))));
            if let Some(seen) = look.and_then(|look| look.seen.as_ref()) {
                let took = duration(seen.answered.since(seen.sent));
                out.push_str(&format!("  {} → {} in {took}", clean(&seen.request), seen.status));
            }
            out.push('\n');
            match verdict {
                Verdict::Rows(page) => out.push_str(&self.page(spec, page)),
                Verdict::Empty(page, why) => {
                    let head = format!("NO ROWS: {}", clean(&why));
                    out.push_str(&format!("  {}{}\n", paint.yellow(&head), more(page)));
                    if !page.skipped && !page.split {
                        out.push_str(&self.excerpt.snippet(place_of_emptiness(spec, page)));
                    }
                }
                Verdict::Failed(failure) => {
                    out.push_str(&format!("  {}\n", paint.red("FAILED")));
                    let failed = FailedRequest { task: spec.name.clone(), failure: failure.clone() };
                    out.push_str(&self.excerpt.failure(number + 1, &failed));
                }
                Verdict::NotAsked(why) => {
                    out.push_str(&format!("  {}\n", paint.yellow(&format!("NOT ASKED: {}", clean(&why)))));
                }
            }
        }
        out
    }

    fn page(&self, spec: &TaskSpec, page: &PageSeen) -> String {
        let paint = self.excerpt.paint;
        let rows = page.records.all_rows();
        let head = match page.received == rows {
            true => counted(rows, "row"),
            false => format!("{} of {}", counted(rows, "row"), counted(page.received, "record")),
        };
        let columns = counted(page.records.columns.len() as u64, "column");
        let mut out = format!(
            "  {head}, {columns}{}; lands in {} ({})\n",
            more(page),
            clean(&spec.table),
            spec.mode.as_str()
        );
        let types = grid::types(&page.records, spec);
        out.push_str(&grid::grid(&page.records, &types, self.rows, self.width, self.excerpt.secrets, paint));
        if let Some((field, count)) = list_inside(spec, page) {
            let hint = format!(
                "the answer is one object, and `{0}` in it is a list of {1}: should it be records = \".{0}[]\"?",
                clean(&field),
                counted(count, "object")
            );
            out.push_str(&format!("  {}\n", paint.yellow(&hint)));
        }
        out
    }

    fn object(&self) -> Value {
        let task = |(spec, look, verdict): (&TaskSpec, Option<&Look>, Verdict<'_>)| {
            let (state, page, why, failure) = match verdict {
                Verdict::Rows(page) => ("rows", Some(page), None, None),
                Verdict::Empty(page, why) => ("empty", Some(page), Some(why), None),
                Verdict::Failed(failure) => ("failed", None, None, Some(failure)),
                Verdict::NotAsked(why) => ("not_asked", None, Some(why), None),
            };
            let seen = look.and_then(|look| look.seen.as_ref());
            let types = page.map(|page| grid::types(&page.records, spec));
            json!({
                "task": spec.name,
                "table": spec.table,
                "mode": spec.mode.as_str(),
                "state": state,
                "why": why,
                "request": seen.map(|seen| &seen.request).or(failure.and_then(|failure| failure.request.as_ref())),
                "status": seen.map(|seen| seen.status),
                "received": page.map(|page| page.received),
                "rows": page.map(|page| page.records.all_rows()),
                "more_pages": page.map(|page| page.more),
                "columns": page.zip(types).map(|(page, types)| {
                    let columns = page.records.columns.iter().zip(types);
                    columns.map(|(name, kind)| json!({"name": &**name, "type": kind})).collect::<Vec<_>>()
                }),
                "records": page.map(|page| grid::objects(&page.records, self.rows, self.excerpt.secrets)),
                "failure": failure,
            })
        };
        json!({
            "plan": self.plan.name,
            "landed": 0,
            "tasks": self.specs().map(task).collect::<Vec<_>>(),
        })
    }
}

fn more(page: &PageSeen) -> &'static str {
    if page.more { ", more pages follow" } else { "" }
}

/// What of the plan made the answer empty.
fn place_of_emptiness(spec: &TaskSpec, page: &PageSeen) -> entities::Place {
    let reading = &spec.reading;
    let filter = reading.filter.as_ref().filter(|_| page.received > 0);
    filter.or(reading.records.as_ref()).map_or(spec.path.at, |text| text.at)
}

/// The field of a lone object that looks like the list that was meant, and how many it holds.
fn list_inside(spec: &TaskSpec, page: &PageSeen) -> Option<(String, u64)> {
    let reading = &spec.reading;
    let as_it_came = reading.records.is_none() && reading.map.is_none() && reading.columns.is_none();
    if !as_it_came || page.received != 1 || page.records.rows != 1 {
        return None;
    }
    let object = grid::objects(&page.records, 1, &Secrets::default()).pop()?;
    let lists = object.as_object()?.iter().filter_map(|(name, value)| {
        let list = value.as_array().filter(|list| !list.is_empty() && list.iter().all(Value::is_object))?;
        Some((name.clone(), list.len() as u64))
    });
    lists.max_by_key(|(_, count)| *count)
}
