//! `syncctl man`: one manual page (roff) on stdout, with a section for every subcommand.

use std::io;

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_mangen::Man;

use crate::cli::Cli;
use crate::exit::{Exit, Outcome};
use crate::terminal::to_stdout;

pub(super) fn man() -> Outcome {
    let page = page().context("cannot write the manual page")?;
    to_stdout(&String::from_utf8_lossy(&page));
    Ok(Exit::Complete)
}

fn page() -> io::Result<Vec<u8>> {
    let mut command = Cli::command();
    // Gives the subcommands their full names in their synopses.
    command.build();
    let mut page = Vec::new();
    let mut front = Vec::new();
    Man::new(command.clone()).render(&mut front)?;
    page.extend_from_slice(String::from_utf8_lossy(&front).replace(".SH EXTRA", ".SH EXAMPLES").as_bytes());
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        let title = format!(".SH SYNCCTL {}\n", subcommand.get_name().to_uppercase());
        page.extend_from_slice(title.as_bytes());
        let man = Man::new(subcommand.clone());
        let mut section = Vec::new();
        man.render_synopsis_section(&mut section)?;
        man.render_description_section(&mut section)?;
        man.render_options_section(&mut section)?;
        man.render_extra_section(&mut section)?;
        // Sections of the subcommand are subsections here.
        let section =
            String::from_utf8_lossy(&section).replace(".SH EXTRA", ".SH EXAMPLES").replace(".SH ", ".SS ");
        page.extend_from_slice(section.as_bytes());
    }
    Ok(page)
}
