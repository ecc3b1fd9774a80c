//! The page `limits.md`: what is simulated, the tables, what each cell must hold.

use crate::simulation::network::{LATENCIES, SECOND};
use crate::simulation::table::{
    Cell, Outcome, Size, chains, costs, grid, one_of_four_killed, play_all, small_work,
};
use crate::simulation::world::Cast;

/// The page and the promises that did not hold.
pub(crate) struct Page {
    pub(crate) text: String,
    pub(crate) broken: Vec<String>,
    /// Reasons that cells of the present table point to.
    notes: Vec<&'static str>,
}

/// What stands above the tables.
const HEAD: &str = include_str!("head.md");

/// The tables of servers by limits by latencies.
const GRIDS: [(Cast, bool, &str, &str); 7] = [
    (Cast::One, false, "One process", "Unlimited work for one process, from nothing known."),
    (
        Cast::One,
        true,
        "One process, and the server tells",
        "As above; a 429 has `Retry-After` in whole seconds, and servers with a window say \
         `X-RateLimit-Limit`, `-Remaining` and `-Reset` (in whole seconds) with every answer.",
    ),
    (
        Cast::Four,
        false,
        "Four processes",
        "They begin at once on one machine and share the limit through the budgets' file, which each looks \
         at every 250 ms.",
    ),
    (
        Cast::Exit,
        false,
        "Restart in mid-window, in good order",
        "Every 3.7 windows the process stops, waits for what is in flight, gives its tokens back and is gone \
         for a second (which is not counted as unused).",
    ),
    (
        Cast::Kill,
        false,
        "Restart in mid-window, killed",
        "As above, but killed. What it had leased counts as used when its death is noticed, so up to a \
         window's tokens are lost each time, of 3.7: the price of leases that cost no write per request.",
    ),
    (
        Cast::Stranger,
        false,
        "Another client with the same key",
        "It sends 30 % of the limit, as chance will have it (Poisson), and obeys nothing. *Used* is of what \
         it leaves. Nothing tells our client of it but the 429s.",
    ),
    (Cast::Stranger, true, "Another client, and the server tells", "As above, with headers."),
];

impl Page {
    pub(crate) fn play() -> Page {
        let mut page = Page { text: HEAD.to_owned(), broken: Vec::new(), notes: Vec::new() };
        for (cast, headers, title, about) in GRIDS {
            page.heading(title, about);
            page.grid(&grid(cast, headers));
        }
        page.one_of_four_killed();
        page.chains();
        page.small_work();
        page.costs();
        page.not_kept();
        page
    }

    /// What is promised above and was not seen: never left out of the page.
    fn not_kept(&mut self) {
        if !self.broken.is_empty() {
            self.heading("Promises not kept", "In this run, as it came out:");
            self.text += &self.broken.iter().map(|broken| format!("- {broken}\n")).collect::<String>();
        }
    }

    fn heading(&mut self, title: &str, about: &str) {
        self.text += &format!("\n## {title}\n\n{about}\n\n");
    }

    fn line<'a>(&mut self, cells: impl IntoIterator<Item = &'a str>) {
        let cells: Vec<&str> = cells.into_iter().collect();
        self.text += &format!("| {} |\n", cells.join(" | "));
    }

    fn table_head<'a>(&mut self, cells: impl IntoIterator<Item = &'a str>) {
        let cells: Vec<&str> = cells.into_iter().collect();
        self.line(cells.iter().copied());
        self.text += &format!("|{}\n", "---|".repeat(cells.len()));
    }

    fn play_cells(&mut self, cells: &[Cell]) -> Vec<Outcome> {
        let outcomes = play_all(cells, Size::Full);
        for (cell, outcome) in cells.iter().zip(&outcomes) {
            self.broken.extend(cell.broken_promises(outcome));
        }
        outcomes
    }

    fn grid(&mut self, cells: &[Cell]) {
        let outcomes = self.play_cells(cells);
        self.table_head(["server", "limit"].into_iter().chain(LATENCIES.map(|latency| latency.name)));
        for (cells, outcomes) in cells.chunks(LATENCIES.len()).zip(outcomes.chunks(LATENCIES.len())) {
            let mut line = vec![cells[0].kind.name().to_owned(), cells[0].rate.text.to_owned()];
            for (cell, outcome) in cells.iter().zip(outcomes) {
                line.push(format!("{}{}", figures(outcome), self.note(cell)));
            }
            self.line(line.iter().map(String::as_str));
        }
        for (index, note) in std::mem::take(&mut self.notes).iter().enumerate() {
            self.text += &format!("\n{} {note}.\n", mark(index));
        }
    }

    fn note(&mut self, cell: &Cell) -> &'static str {
        let Some(reason) = cell.excuse() else { return "" };
        let index = self.notes.iter().position(|note| *note == reason).unwrap_or_else(|| {
            self.notes.push(reason);
            self.notes.len() - 1
        });
        mark(index)
    }

    fn one_of_four_killed(&mut self) {
        self.heading(
            "One of four killed",
            "In the middle of the time one of four processes is killed and does not come back. Its death is \
             noticed after a second; a window later the others use its share. *Used* is of the half after \
             the kill, *without loss* is that and the share of one window (and of the seconds until it was \
             noticed) that died with it. No 429 at any time.",
        );
        self.table_head(["server", "limit", "latency", "429s", "used", "without loss"]);
        let cells = one_of_four_killed();
        let outcomes = self.play_cells(&cells);
        for (cell, outcome) in cells.iter().zip(&outcomes) {
            let whole = outcome.used[1] * (1.0 + outcome.lost / outcome.tokens);
            self.line([
                cell.kind.name(),
                cell.rate.text,
                cell.latency.name,
                &(outcome.refused[0] + outcome.refused[1]).to_string(),
                &format!("{:.1} %", outcome.used[1]),
                &format!("{whole:.1} %"),
            ]);
        }
    }

    fn chains(&mut self) {
        self.heading(
            "Paging chains",
            "Eight chains, each of which asks for its next page when it has one: one request queued each. How \
             long a page waits for its grant, on average; how much of it no client can avoid (eight pages per \
             round trip are more than the limit allows); 429s in all.",
        );
        self.table_head(["server", "limit", "latency", "a page waits", "unavoidable", "429s"]);
        let cells = chains();
        let outcomes = self.play_cells(&cells);
        for (cell, outcome) in cells.iter().zip(&outcomes) {
            let per_page = 8.0 * cell.rate.window as f64 / f64::from(cell.rate.count);
            let unavoidable = (per_page - cell.latency.round_trip() as f64).max(0.0) / SECOND as f64;
            self.line([
                cell.kind.name(),
                cell.rate.text,
                cell.latency.name,
                &millis(outcome.waited),
                &millis(unavoidable),
                &(outcome.refused[0] + outcome.refused[1]).to_string(),
            ]);
        }
    }

    fn small_work(&mut self) {
        self.heading(
            "Small work",
            "A hundred requests, 32 at once: how long they take under a limit and without any.",
        );
        self.table_head(["limit", "latency", "with the limit", "without"]);
        let (limited, free): (Vec<Cell>, Vec<Cell>) = small_work().into_iter().unzip();
        let (with, without) = (self.play_cells(&limited), self.play_cells(&free));
        for ((cell, with), without) in limited.iter().zip(&with).zip(&without) {
            self.broken.extend(cell.broken_haste(with, without));
            self.line([cell.rate.text, cell.latency.name, &millis(with.seconds), &millis(without.seconds)]);
        }
    }

    fn costs(&mut self) {
        self.heading("Costs", "Every request costs 5 of 1000/min, and the server counts so.");
        self.grid(&costs());
    }
}

/// `99.9 % · 0`, or `55.8 % · 0.02 ‰ · 33, 3 s`.
fn figures(outcome: &Outcome) -> String {
    let used = format!("{:.1} %", outcome.used[1]);
    if outcome.refused == [0, 0] {
        return format!("{used} · 0");
    }
    let per_run = |sum: f64| sum / outcome.seeds as f64;
    let (learning, closed) = (per_run(outcome.refused[0] as f64), per_run(outcome.closed[0]));
    format!("{used} · {:.2} ‰ · {learning:.0}, {closed:.0} s", outcome.per_thousand())
}

fn millis(seconds: f64) -> String {
    format!("{:.1} ms", seconds * 1_000.0)
}

fn mark(index: usize) -> &'static str {
    ["¹", "²", "³"].get(index).copied().unwrap_or("*")
}
