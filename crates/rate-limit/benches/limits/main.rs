//! `cargo bench -p rate-limit --bench limits`: plays the table in virtual time and prints it as the page
//! `limits.md`. `cargo xtask bench limits` does that and keeps the page. Ends with 1 if a promise is broken.

#[path = "simulation.rs"]
mod simulation;

mod page;

use std::process::ExitCode;

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints a page")]
fn main() -> ExitCode {
    let page = page::Page::play();
    print!("{}", page.text);
    for broken in &page.broken {
        eprintln!("broken: {broken}");
    }
    ExitCode::from(u8::from(!page.broken.is_empty()))
}
