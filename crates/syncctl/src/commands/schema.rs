//! `syncctl schema`: the JSON Schema of plans, for editors.

use anyhow::Context as _;

use crate::cli::SchemaArgs;
use crate::exit::{Exit, Outcome};
use crate::terminal::{clean, to_stderr, to_stdout};

pub(super) fn schema(args: &SchemaArgs) -> Outcome {
    let text = format!("{:#}\n", plan::format::schema());
    let Some(file) = &args.output else {
        to_stdout(&text);
        return Ok(Exit::Complete);
    };
    let shown = clean(&file.to_string_lossy()).into_owned();
    std::fs::write(file, text).with_context(|| format!("cannot write `{shown}`"))?;
    to_stderr(&format!("wrote {shown}; the first line of a plan beside it: #:schema ./{}", name(file)));
    Ok(Exit::Complete)
}

fn name(file: &std::path::Path) -> String {
    clean(&file.file_name().unwrap_or_default().to_string_lossy()).into_owned()
}
