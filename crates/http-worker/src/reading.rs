//! From an answer to what it means: a [`Landed`], or why there is none.
//!
//! [`Reader`] goes through these in order; nothing here sends anything or reads a clock.

mod classify;
mod condition;

mod document;
mod format;
mod unpack;

mod program;
mod view;

mod decode;
mod fields;
mod stream;

mod link;
mod next_url;
mod paginate;
mod split;
mod total;

mod costs;

mod cells;
mod children;
mod conversion;
mod cursor;
mod unstorable;

pub(crate) mod limit_headers;
pub(crate) mod retry_after;

use std::sync::Mutex;

use entities::{
    Bindings, Child, ColumnType, CursorValue, Decode, Failure, FailureClass, FailureKind, Job, Landed, Next,
    Outcome, Place, RecordBatch, SpecIndex, SyncPlan, TextPolicy, Vars,
};
use expr::Scope;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value};

use self::children::{Offspring, own_parameters};
use self::classify::{Rule, Verdict, classify};
use self::costs::Costs;
use self::cursor::{Cursor, Greatest};
use self::decode::{Decoded, Decoder};
use self::fields::Fields;
use self::paginate::{Came, Paging, counted};
use self::program::Program;
use self::split::Splitter;
use self::stream::Fit;
use self::total::Total;
use self::view::View;
use crate::answer::Answer;

pub(crate) use self::stream::{Streamed, Unfit, unread};
pub(crate) use self::unpack::{Unpacked, gunzip, is_gzip};
pub(crate) use self::view::by_name;

/// Answers up to this many bytes are read where they arrive (about 0.4 ms at 700 MB/s) …
const MOST_READ_HERE: usize = 256 << 10;
/// … and up to this many if that takes longer.
const MOST_INTERPRETED_HERE: usize = 16 << 10;

/// How the answers of one task spec are read, compiled.
pub(crate) struct Reader {
    /// Of the task, then of the endpoint.
    rules: Vec<Rule>,
    decode: Decode,
    /// Bytes that an archive may be unpacked to.
    max_body: u64,
    decoder: Decoder,
    costs: Costs,
    fields: Fields,
    types: Vec<(String, ColumnType)>,
    /// Where `types` and `cap` stand.
    types_at: Place,
    cap_at: Place,
    text: TextPolicy,
    paging: Option<Paging>,
    total: Option<Total>,
    cap: Option<u64>,
    splitter: Splitter,
    cursor: Option<Cursor>,
    offspring: Vec<Offspring>,
    /// What the rows of other tasks' tables bind it to, by the places of its names.
    of_rows: Vec<(usize, Offspring)>,
    /// The query parameters that carry the credential.
    own_parameters: Vec<String>,
    /// Whether its answers can be read in a stream.
    fit: Fit,
}

/// What a page's records amount to in a run, beside themselves.
struct Scene<'s, 'v> {
    job: &'s Job,
    scope: Scope<'s>,
    view: &'s View<'v>,
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
            lines: plan.takes_lines(spec),
            before: Mutex::default(),
        };
        let strands = endpoint.concurrency.saturating_mul(2);
        let total = Total::compile(reading.total.as_ref(), &names)?;
        let in_order = rules.iter().any(Rule::stops) || total.is_some();
        let paging = task
            .paginate
            .as_ref()
            .map(|paginate| Paging::compile(paginate, &names, strands, in_order))
            .transpose()?;
        Ok(Reader {
            rules,
            decode: reading.decode,
            max_body: endpoint.max_body,
            decoder,
            costs: Costs::compile(task, endpoint, &names)?,
            fields: Fields::compile(&reading.fields)?,
            types: task.types.clone(),
            types_at: task.places.types.or(task.path.at),
            cap_at: task.places.cap.or(task.path.at),
            text: task.text,
            paging,
            total,
            cap: reading.cap,
            splitter: Splitter::compile(task, endpoint)?,
            cursor: Cursor::compile(task)?,
            offspring: Offspring::compile(plan, spec)?,
            of_rows: Offspring::of_rows(plan, spec)?,
            own_parameters: own_parameters(plan, spec),
            fit: Fit::of(task, endpoint),
        })
    }

    /// Whether programs are run over its answers.
    pub(crate) fn interprets(&self) -> bool {
        self.decoder.interprets() || self.costs.interpret()
    }

    /// Whether an answer has to be unpacked.
    pub(crate) fn unpacks(&self, body: &[u8]) -> bool {
        unpack::is_packed(body)
    }

    /// Whether an answer is read so soon that nobody needs to be let past.
    pub(crate) fn is_quick(&self, body: &[u8]) -> bool {
        // A jq program or a tree of elements takes many times as long as a pass over JSON.
        let slow = self.interprets() || body.starts_with(b"<");
        let most = if slow { MOST_INTERPRETED_HERE } else { MOST_READ_HERE };
        body.len() <= most && !unpack::is_packed(body)
    }

    /// What an answer means for its task, and what the request did cost, by limit. Failures carry no
    /// request, status or body yet, and are not redacted: the caller adds and does that.
    pub(crate) fn read(
        &self,
        job: &Job,
        globals: &expr::Globals,
        answer: &Answer,
    ) -> (Outcome, Vec<(usize, u32)>) {
        let (vars, bindings) = (&job.context.vars, &job.task.bindings.0);
        let view = View::new(answer, self.decode, self.max_body, vars, bindings);
        let mut costs = None;
        let outcome =
            self.judged(job, globals, answer, &view, || self.land(job, globals, answer, &view, &mut costs));
        (outcome, costs.unwrap_or_else(|| self.costs.read(None, &view)))
    }

    /// What an answer means by its rules; `land`: if it is a good one.
    fn judged(
        &self,
        job: &Job,
        globals: &expr::Globals,
        answer: &Answer,
        view: &View<'_>,
        land: impl FnOnce() -> Result<Landed, Failure>,
    ) -> Outcome {
        match classify(&self.rules, answer, view) {
            Verdict::Good => match land() {
                Ok(landed) => Outcome::Landed(Box::new(landed)),
                Err(failure) => Outcome::Failed(failure),
            },
            Verdict::Skip => {
                let next = self.paging.as_ref().map_or(Next::End, |paging| paging.past(&job.task.page));
                Outcome::Landed(Box::new(nothing(true, next)))
            }
            Verdict::Split(failure) => match self.splitter.halves(job, globals, failure) {
                Ok(halves) => Outcome::Landed(Box::new(nothing(false, Next::Split(halves)))),
                Err(failure) => Outcome::Failed(failure),
            },
            Verdict::Stop => Outcome::Landed(Box::new(nothing(false, Next::End))),
            Verdict::Retry(failure, after) => Outcome::Retry { failure, after },
            Verdict::Wait(failure, how_long) => Outcome::Wait { failure, how_long },
            Verdict::Fail(failure) => Outcome::Failed(failure),
        }
    }

    /// What a row of another task's table binds a name of this spec to, if it wants `all` of them; none
    /// if its `where` leaves the row out. `foreach`: the name's place.
    pub(crate) fn drive(
        &self,
        foreach: usize,
        row: Map<String, Value>,
        vars: &Vars,
    ) -> Result<Option<Bindings>, Failure> {
        match self.of_rows.iter().find(|(at, _)| *at == foreach) {
            Some((_, offspring)) => offspring.drive(row, vars),
            None => {
                let message = "the task is not repeated over all rows of another";
                Err(Failure::new(FailureClass::Bug, FailureKind::Expression, message))
            }
        }
    }

    fn land(
        &self,
        job: &Job,
        globals: &expr::Globals,
        answer: &Answer,
        view: &View<'_>,
        costs: &mut Option<Vec<(usize, u32)>>,
    ) -> Result<Landed, Failure> {
        let bodiless = is_bodiless(answer);
        let mut decoded = if bodiless {
            Decoded::empty()
        } else {
            let fingerprint = self.paging.is_some();
            self.decoder.decode(view, fingerprint).map_err(|failure| self.explained(failure, answer, view))?
        };
        if !bodiless {
            // Here, since whoever has read the records knows where everything else is.
            *costs = Some(self.costs.read(Some(&decoded), view));
        }
        if let Some(capped) = self.capped(job, globals, decoded.received) {
            return capped;
        }
        let next = self.next(job, answer, view, &decoded)?;
        let mut records = std::mem::take(&mut decoded.batch);
        let scene = self.scene(job, globals, view);
        let mut greatest = Greatest::default();
        let texts = view.json_texts();
        let children = self.finish(&mut records, decoded.has_nul, 0, texts, &scene, &mut greatest)?;
        let cursor = self.settle(greatest, &scene)?;
        Ok(Landed { received: decoded.received, records, next, children, cursor, skipped: false })
    }

    fn scene<'s, 'v>(&self, job: &'s Job, globals: &'s expr::Globals, view: &'s View<'v>) -> Scene<'s, 'v> {
        let task = &job.task;
        let scope = Scope {
            globals,
            bindings: &task.bindings.0,
            cursor: task.cursor.as_ref(),
            record: None,
            page: Some(i64::from(task.page.number)),
        };
        Scene { job, scope, view }
    }

    /// What becomes of an answer with as many records as `cap` allows: nothing of it lands.
    fn capped(&self, job: &Job, globals: &expr::Globals, received: u64) -> Option<Result<Landed, Failure>> {
        let cap = self.cap.filter(|cap| received >= *cap)?;
        let message = format!("the answer has {}, and `cap` is {cap}", counted(received));
        let capped = Failure::new(FailureClass::Permanent, FailureKind::Capped, message).at(self.cap_at);
        let halves = self.splitter.halves(job, globals, capped);
        Some(halves.map(|halves| nothing(false, Next::Split(halves))))
    }

    /// How the paging goes on behind an answer.
    fn next(
        &self,
        job: &Job,
        answer: &Answer,
        view: &View<'_>,
        decoded: &Decoded<'_>,
    ) -> Result<Next, Failure> {
        let page = &job.task.page;
        let next = match &self.paging {
            None => Next::End,
            Some(paging) => {
                let secrets = answer.secrets.as_ref().unwrap_or(&job.context.secrets);
                let own = &self.own_parameters;
                let said = paging.listen(page, decoded, view, answer, secrets, own)?;
                let came = Came { received: decoded.received, fingerprint: decoded.fingerprint };
                paging.onward(page, came, said)?
            }
        };
        match &self.total {
            None => Ok(next),
            Some(total) => {
                let declared =
                    if is_bodiless(answer) { None } else { total.declared(page, decoded, view)? };
                total.settle(next, page, decoded.received, declared)
            }
        }
    }

    /// Makes records what they land as, and what they drive. `before`: records of the answer before these;
    /// `texts`: the JSON texts that they came from.
    fn finish<'t>(
        &self,
        records: &mut RecordBatch,
        has_nul: bool,
        before: u64,
        texts: impl Iterator<Item = &'t str>,
        scene: &Scene<'_, '_>,
        greatest: &mut Greatest,
    ) -> Result<Vec<Child>, Failure> {
        let read = records.text.len();
        self.fields.add(records, &scene.scope, scene.view)?;
        if let Some(cursor) = &self.cursor {
            cursor.note(records, &scene.scope, greatest)?;
        }
        let mut children = Vec::new();
        for offspring in &self.offspring {
            offspring.bear(records, scene.scope.bindings, scene.view, &mut children)?;
        }
        // Last, so that cursors and children say what the API said.
        conversion::convert(records, &self.types).map_err(|failure| failure.at(self.types_at))?;
        if !records.lines {
            // Of lines it is known already.
            let has_nul = has_nul || records.text.as_bytes()[read..].contains(&0);
            unstorable::settle(records, self.text, has_nul, before, texts)?;
        }
        Ok(children)
    }

    /// The cursor behind an answer.
    fn settle(&self, greatest: Greatest, scene: &Scene<'_, '_>) -> Result<Option<CursorValue>, Failure> {
        match &self.cursor {
            Some(cursor) => cursor.settle(greatest, &scene.scope, scene.job.context.now),
            None => Ok(None),
        }
    }

    /// An answer that could not be read because it is something that nothing here reads says so itself.
    fn explained(&self, failure: Failure, answer: &Answer, view: &View<'_>) -> Failure {
        if failure.kind != FailureKind::Decode || failure.help.is_some() {
            return failure;
        }
        let said = answer.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = said.split(';').next().unwrap_or_default().trim();
        let other = ["excel", "spreadsheet", "parquet", "pdf", "avro", "protobuf", "msgpack"];
        if other.iter().any(|it| kind.contains(it)) {
            let kind = decode::shortened(kind, 60);
            return failure.help(format!("the answer calls itself {kind}, which is not read"));
        }
        if self.decode == Decode::Auto && !kind.contains("json") && view.json().is_some() {
            let formats = "\"json\", \"jsonl\", \"csv\", \"xml\" or \"text\"";
            return failure.help(format!("say what the answer is: decode = {formats}"));
        }
        failure
    }
}

/// Whether an answer has no body by its status.
fn is_bodiless(answer: &Answer) -> bool {
    answer.body.is_empty() && matches!(answer.status, 204 | 205)
}

/// An empty answer, by a rule.
fn nothing(skipped: bool, next: Next) -> Landed {
    Landed { records: RecordBatch::default(), received: 0, next, children: Vec::new(), cursor: None, skipped }
}

#[cfg(test)]
mod tests;
