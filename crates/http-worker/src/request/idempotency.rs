//! The key of a request that stays the same however often it is sent
//! (draft-ietf-httpapi-idempotency-key-header): on retries, and after a resume.

use entities::Job;
use xxhash_rust::xxh3::Xxh3;

/// A key for the request of `job`: of its plan, run, spec, bindings and page, and of nothing that
/// differs from one sending to the next.
pub(super) fn key(job: &Job) -> String {
    let context = &job.context;
    let spec = context.plan.spec(job.task.spec);
    let bindings = serde_json::to_string(&job.task.bindings).unwrap_or_default();
    let position = serde_json::to_string(&job.task.page.position).unwrap_or_default();
    let mut hash = Xxh3::new();
    // The run by its number and its beginning: numbers begin anew with a new store.
    let run = format!("{} {}", context.run.0, context.now.0);
    for part in [context.plan.name.0.as_ref(), run.as_str(), spec.name.as_str(), &bindings, &position] {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    format!("{:032x}", hash.digest128())
}
