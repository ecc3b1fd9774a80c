//! `syncctl man`: one manual page (roff) on stdout, with a section for every subcommand.

use std::io;

use anyhow::Context as _;
use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

use crate::cli::Cli;
use crate::exit::{Exit, Outcome};
use crate::terminal::to_stdout;

/// What `context.rs` reads, and what a plan may.
const ENVIRONMENT: [(&str, &str); 13] = [
    ("XDG_STATE_HOME", "The directory that holds syncctl's state, if it is absolute; else ~/.local/state."),
    ("HOME", "Where ~ is, if XDG_STATE_HOME is not set."),
    ("NO_COLOR", "No colours, if it is set to anything but the empty string."),
    ("TERM", "No colours on a terminal that is called dumb."),
    ("COLUMNS", "How wide tables of preview may be, if it is a number; else as wide as the terminal."),
    ("TMPDIR", "Where preview and doctor keep, while they run, a store that is thrown away; else /tmp."),
    (
        "http_proxy, HTTP_PROXY",
        "The proxy for http:// URLs. The upper-case name is ignored where REQUEST_METHOD is set (under CGI, \
         a client could set it).",
    ),
    ("https_proxy, HTTPS_PROXY", "The proxy for https:// URLs."),
    ("all_proxy, ALL_PROXY", "The proxy for either, where there is none of its own."),
    ("SYNCCTL_SERVER", "The server that plans speaks to, unless --server says so."),
    (
        "SYNCCTL_TOKEN",
        "The token that serve asks for and plans brings, unless --token-file names a file with one. At least 16 \
         characters.",
    ),
    ("NOTIFY_SOCKET", "Where serve says that it is ready and that it stops (sd_notify(3)); systemd sets it."),
    ("no_proxy, NO_PROXY", "Hosts that no proxy is used for, separated by commas; * for all."),
];

const FILES: [(&str, &str); 8] = [
    (
        "$XDG_STATE_HOME/syncctl/budgets.db",
        "What the limits of each origin and credential still allow, and until when a server asked to wait; \
         shared by all plans and processes of this user. Without it, what was sent in the last window of each \
         limit is forgotten.",
    ),
    (
        "$XDG_STATE_HOME/syncctl/budgets.db.key",
        "The key of the hashes that budgets.db knows credentials by. It holds no credential itself.",
    ),
    (
        "$XDG_STATE_HOME/syncctl/budgets.db.*.lock",
        "One for each process that lives; those of the dead are removed by the next.",
    ),
    (
        "$XDG_STATE_HOME/syncctl/serve/token",
        "The token of the server here, made at its first start unless it was given one. Whoever has it can do what \
         the server can.",
    ),
    (
        "$XDG_STATE_HOME/syncctl/serve/serve.db",
        "The plans of the server here, their schedules, and what is wanted of them; secrets that are written into \
         plans among them.",
    ),
    (
        "$XDG_STATE_HOME/syncctl/serve/stores/",
        "The stores of the plans of the server here, unless --store-root says otherwise.",
    ),
    (
        "PLAN.db",
        "The store of the plan of that name, in the working directory unless [store] says otherwise: its tables, and the \
         ledger in tables that begin with _sync_.",
    ),
    ("PLAN.db.lock", "Locked by the process that writes the store. It may stay."),
];

pub(super) fn man() -> Outcome {
    let page = page().context("cannot write the manual page")?;
    to_stdout(&page);
    Ok(Exit::Complete)
}

fn page() -> io::Result<String> {
    let mut command = Cli::command();
    // Gives the subcommands their full names in their synopses.
    command.build();
    let man = Man::new(command.clone());
    let mut front = Vec::new();
    man.render_title(&mut front)?;
    let mut page = String::from_utf8_lossy(&front).into_owned();
    page.push_str(&section(|out| {
        man.render_name_section(out)?;
        man.render_synopsis_section(out)?;
        man.render_description_section(out)?;
        man.render_options_section(out)?;
        man.render_subcommands_section(out)
    })?);
    for (name, subcommand) in with_their_own(&command) {
        // It has no page of its own: its name is that of a section here.
        page = page.replace(&format!("syncctl\\-{name}(1)"), &format!("\\fBsyncctl {name}\\fR"));
        page.push_str(&format!(".SH SYNCCTL {}\n", name.to_uppercase()));
        let man = Man::new(subcommand.clone());
        let own = section(|out| {
            man.render_synopsis_section(out)?;
            man.render_description_section(out)?;
            man.render_options_section(out)
        })?;
        page.push_str(&own.replace(".SH ", ".SS "));
        page.push_str(&after_help(&subcommand, ".SS"));
    }
    page = page.replace("syncctl\\-help(1)", "\\fBsyncctl help\\fR");
    page.push_str(&after_help(&command, ".SH"));
    page.push_str(&described("ENVIRONMENT", &ENVIRONMENT));
    page.push_str("Besides, the variables that the plan itself names, in [secrets] and [vars].\n");
    page.push_str(&described("FILES", &FILES));
    page.push_str(&section(|out| man.render_version_section(out))?);
    Ok(page)
}

/// The subcommands, each with those of its own behind it (`plans`, `plans add`, …).
fn with_their_own(command: &Command) -> Vec<(String, Command)> {
    let mut list = Vec::new();
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        let name = subcommand.get_name().to_owned();
        let of_its_own =
            with_their_own(subcommand).into_iter().map(|(own, command)| (format!("{name} {own}"), command));
        list.push((name.clone(), subcommand.clone()));
        list.extend(of_its_own);
    }
    list
}

/// What is rendered, without the preamble that the title has brought already.
fn section(render: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<String> {
    let mut out = Vec::new();
    render(&mut out)?;
    let text = String::from_utf8_lossy(&out);
    let preamble = |line: &&str| line.starts_with(".ie \\n(.g") || line.starts_with(".el .ds Aq");
    Ok(text.lines().filter(|line| !preamble(line)).map(|line| format!("{line}\n")).collect())
}

/// The blocks that stand behind a command's help (`Examples:` and their kin), line by line as they are.
fn after_help(command: &Command, macro_name: &str) -> String {
    let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let mut out = String::new();
    for block in text.split("\n\n") {
        let Some((title, lines)) = block.split_once(":\n") else { continue };
        let title = if title == "Exit codes" { "EXIT STATUS".to_owned() } else { title.to_uppercase() };
        out.push_str(&format!("{macro_name} {title}\n.nf\n"));
        lines.lines().for_each(|line| out.push_str(&format!("{}\n", escaped(line))));
        out.push_str(".fi\n");
    }
    out
}

fn described(title: &str, items: &[(&str, &str)]) -> String {
    let items =
        items.iter().map(|(name, text)| format!(".TP\n\\fB{}\\fR\n{}\n", escaped(name), escaped(text)));
    format!(".SH {title}\n{}.PP\n", items.collect::<String>())
}

/// Text as roff takes it: a backslash or a hyphen is itself, and no line is a request.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}
