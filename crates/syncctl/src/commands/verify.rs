//! `syncctl verify`: whether a store holds what its ledger says. What is compared with what is the store's own business
//! (`store::Reader::verify`).

use std::time::Duration;

use serde_json::json;
use store::{Finding, Verified};

use crate::cli::{OutputKind, VerifyArgs};
use crate::compose;
use crate::context::Context;
use crate::exit::{Exit, Outcome};
use crate::plan_file;
use crate::terminal::{Paint, Patience, clean, count, counted, to_stdout};

/// Findings that programs get.
const MOST: usize = 100_000;

pub(super) fn verify(args: &VerifyArgs, context: &Context) -> Outcome {
    let plan = plan_file::load_quietly(&args.plan, context)?;
    let secrets = plan_file::secrets_of_store(&plan, &args.plan, context)?;
    let run_it = plan_file::command_on("run", &args.plan, context);
    let reader = compose::existing(&plan, &secrets, &run_it)?;
    let mut patience = Patience::new(Duration::from_secs(1), context);
    let most = match args.output {
        OutputKind::Human => args.limit,
        OutputKind::Json => MOST,
    };
    let verified = reader.verify(plan.name.as_str(), most, &mut |table, rows| {
        patience.say(|| format!("{}: {} counted", clean(table), counted(rows, "row")));
    })?;
    match args.output {
        OutputKind::Human => {
            let (name, store) = (plan.name.as_str(), plan.store.to_string());
            to_stdout(&text(&verified, name, &store, Paint(context.stdout_colour)));
        }
        OutputKind::Json => {
            let object = json!({
                "plan": plan.name,
                "store": plan.store.to_string(),
                "verified": verified.total() == 0,
                "wrong": verified.total(),
                "counts": verified.counts,
                "findings": verified.findings,
                "tables": verified.tables,
            });
            to_stdout(&format!("{object:#}\n"));
        }
    }
    Ok(if verified.total() == 0 { Exit::Complete } else { Exit::No })
}

fn text(verified: &Verified, plan: &str, store: &str, paint: Paint) -> String {
    let rows: u64 = verified.tables.iter().map(|table| table.rows).sum();
    let requests: u64 = verified.tables.iter().map(|table| table.requests).sum();
    let looked = format!(
        "{} in {}, of {}",
        counted(rows, "row"),
        counted(verified.tables.len() as u64, "table"),
        counted(requests, "request")
    );
    let head = format!("{} in {}", paint.bold(&clean(plan)), clean(store));
    if verified.total() == 0 {
        return format!(
            "{head}: {}\n{looked}: the store holds what its ledger says\n",
            paint.green("all is well")
        );
    }
    let wrong = counted(verified.total(), "thing");
    let is = if verified.total() == 1 { "is" } else { "are" };
    let mut out = format!("{head}: {}\n{looked}\n\n", paint.red(&format!("{wrong} {is} wrong")));
    for finding in &verified.findings {
        out.push_str(&format!("  {}\n", line(finding)));
    }
    let hidden = verified.total() - verified.findings.len() as u64;
    if hidden > 0 {
        let kinds = verified.counts.iter().map(|(kind, number)| format!("{} {kind}", count(*number)));
        let kinds = kinds.collect::<Vec<_>>().join(", ");
        out.push_str(&format!("  and {} more ({kinds} in all); --limit names more\n", count(hidden)));
    }
    out
}

fn line(finding: &Finding) -> String {
    let table = finding.table.as_ref().map(|table| format!("table {}: ", clean(table))).unwrap_or_default();
    format!("{table}{}", clean(&finding.text))
}
