//! From an answer to what it means: a [`Landed`], or why there is none.
//!
//! [`Reader`] goes through these in order; nothing here sends anything or reads a clock.

mod classify;

mod program;
mod view;

mod decode;
mod fields;

mod link;
mod next_url;
mod paginate;

mod cells;
mod children;
mod cursor;

mod retry_after;

use std::sync::Mutex;

use entities::{
    CursorSpec, Failure, FailureKind, Job, Landed, Next, Outcome, RecordBatch, SpecIndex, SyncPlan,
};
use expr::Scope;
use http::header::CONTENT_TYPE;

use self::children::{Offspring, key_parameter};
use self::classify::{Rule, Verdict, classify};
use self::decode::{Decoded, Decoder};
use self::fields::Fields;
use self::paginate::{Came, Paging};
use self::program::Program;
use self::view::View;
use crate::answer::Answer;

/// How the answers of one task spec are read, compiled.
pub(crate) struct Reader {
    /// Of the task, then of the endpoint.
    rules: Vec<Rule>,
    decoder: Decoder,
    fields: Fields,
    paging: Option<Paging>,
    cursor: Option<CursorSpec>,
    offspring: Vec<Offspring>,
    /// The query parameter that carries the API key.
    key_parameter: Option<String>,
}

impl Reader {
    /// Compiles the reading, paging and rules of a spec, and what its records drive.
    pub(crate) fn compile(plan: &SyncPlan, spec: SpecIndex) -> Result<Reader, Failure> {
        let task = plan.spec(spec);
        let endpoint = plan.endpoint_of(spec);
        let names: Vec<&str> = task.foreach.iter().map(|foreach| foreach.name.as_str()).collect();
        let rules = task
            .on
            .iter()
            .chain(&endpoint.on)
            .map(|rule| Rule::compile(rule, &names))
            .collect::<Result<Vec<_>, _>>()?;
        let reading = &task.reading;
        let decoder = Decoder {
            records: Program::compile_some("records", reading.records.as_ref(), &names)?,
            columns: Program::compile_some("columns", reading.columns.as_ref(), &names)?,
            map: Program::compile_some("map", reading.map.as_ref(), &names)?,
            filter: Program::compile_some("where", reading.filter.as_ref(), &names)?,
            before: Mutex::default(),
        };
        let strands = endpoint.concurrency.saturating_mul(2);
        let stops = rules.iter().any(Rule::stops);
        let paging = task
            .paginate
            .as_ref()
            .map(|paginate| Paging::compile(paginate, &names, strands, stops))
            .transpose()?;
        Ok(Reader {
            rules,
            decoder,
            fields: Fields::compile(&reading.fields)?,
            paging,
            cursor: task.cursor.clone(),
            offspring: Offspring::compile(plan, spec)?,
            key_parameter: key_parameter(plan, spec),
        })
    }

    /// Whether a jq program runs over the records: reading takes many times as long.
    pub(crate) fn interprets(&self) -> bool {
        self.decoder.interprets()
    }

    /// What an answer means for its task. Failures carry no request, status or body yet, and are
    /// not redacted: the caller adds and does that.
    pub(crate) fn read(&self, job: &Job, globals: &expr::Globals, answer: &Answer) -> Outcome {
        let view = View::new(answer, &job.context.vars, &job.task.bindings.0);
        match classify(&self.rules, answer, &view) {
            Verdict::Good => match self.land(job, globals, answer, &view) {
                Ok(landed) => Outcome::Landed(Box::new(landed)),
                Err(failure) => Outcome::Failed(failure),
            },
            Verdict::Skip => {
                let next = self.paging.as_ref().map_or(Next::End, |paging| paging.past(&job.task.page));
                Outcome::Landed(Box::new(nothing(true, next)))
            }
            Verdict::Stop => Outcome::Landed(Box::new(nothing(false, Next::End))),
            Verdict::Retry(failure, after) => Outcome::Retry { failure, after },
            Verdict::Wait(failure, how_long) => Outcome::Wait { failure, how_long },
            Verdict::Fail(failure) => Outcome::Failed(failure),
        }
    }

    fn land(
        &self,
        job: &Job,
        globals: &expr::Globals,
        answer: &Answer,
        view: &View<'_>,
    ) -> Result<Landed, Failure> {
        let task = &job.task;
        let bodiless = answer.body.is_empty() && matches!(answer.status, 204 | 205);
        let mut decoded = if bodiless {
            Decoded::empty()
        } else {
            view.text()
                .and_then(|text| self.decoder.decode(text, view, self.paging.is_some()))
                .map_err(|failure| explained(failure, answer))?
        };
        let next = match &self.paging {
            None => Next::End,
            Some(paging) => {
                let key = self.key_parameter.as_deref();
                let said = paging.listen(&task.page, &decoded, view, answer, &job.context.secrets, key)?;
                let came = Came { received: decoded.received, fingerprint: decoded.fingerprint };
                paging.onward(&task.page, came, said)?
            }
        };
        let mut records = std::mem::take(&mut decoded.batch);
        let scope = Scope {
            globals,
            bindings: &task.bindings.0,
            cursor: task.cursor.as_ref(),
            record: None,
            page: Some(i64::from(task.page.number)),
        };
        self.fields.add(&mut records, &scope)?;
        let cursor = match &self.cursor {
            Some(spec) => cursor::greatest(spec, &records)?,
            None => None,
        };
        let mut children = Vec::new();
        for offspring in &self.offspring {
            offspring.bear(&records, &task.bindings.0, view, &mut children)?;
        }
        Ok(Landed { received: decoded.received, records, next, children, cursor, skipped: false })
    }
}

/// An answer that could not be read because it is something else than JSON says so itself.
fn explained(failure: Failure, answer: &Answer) -> Failure {
    let said = answer.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = said.split(';').next().unwrap_or_default().trim();
    let other = ["csv", "xml", "jsonl", "ndjson", "json-seq", "zip", "excel", "parquet", "pdf"];
    if failure.kind == FailureKind::Decode
        && failure.help.is_none()
        && other.iter().any(|it| kind.contains(it))
    {
        let kind = decode::shortened(kind, 60);
        return failure.help(format!("the answer calls itself {kind}, and only JSON is read so far"));
    }
    failure
}

/// An empty answer, by a rule.
fn nothing(skipped: bool, next: Next) -> Landed {
    Landed { records: RecordBatch::default(), received: 0, next, children: Vec::new(), cursor: None, skipped }
}

#[cfg(test)]
mod tests;
