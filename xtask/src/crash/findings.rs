//! What was found that must not be, counted and in words.

/// More messages than this help nobody.
const MOST_MESSAGES: usize = 12;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// Records without a row.
    pub(crate) lost: u64,
    /// Rows too many.
    pub(crate) twice: u64,
    /// Rows that no record stands for, or that nothing brought.
    pub(crate) foreign: u64,
    /// Rows that are not what the server said.
    pub(crate) wrong: u64,
    /// Rows or pages out of order within a task.
    pub(crate) disorder: u64,
    /// What landed after a cancel.
    pub(crate) late: u64,
    /// Files or tables left over.
    pub(crate) leftover: u64,
    /// Disagreements of the ledger with itself, the tables or the server's log; a run that ended otherwise than it may.
    pub(crate) ledger: u64,
    /// All of it in words.
    pub(crate) messages: Vec<String>,
}

impl Findings {
    pub(crate) fn none(&self) -> bool {
        self.messages.is_empty()
    }

    pub(crate) fn add(&mut self, other: Findings) {
        let theirs = other.counts();
        for (mine, (_, theirs)) in self.counters().into_iter().zip(theirs) {
            *mine += theirs;
        }
        let room = MOST_MESSAGES.saturating_sub(self.messages.len());
        self.messages.extend(other.messages.into_iter().take(room));
    }

    /// Every count with its name.
    pub(crate) fn counts(&self) -> [(&'static str, u64); 8] {
        [
            ("lost", self.lost),
            ("twice", self.twice),
            ("foreign", self.foreign),
            ("wrong", self.wrong),
            ("disorder", self.disorder),
            ("late", self.late),
            ("leftover", self.leftover),
            ("ledger", self.ledger),
        ]
    }

    fn counters(&mut self) -> [&mut u64; 8] {
        [
            &mut self.lost,
            &mut self.twice,
            &mut self.foreign,
            &mut self.wrong,
            &mut self.disorder,
            &mut self.late,
            &mut self.leftover,
            &mut self.ledger,
        ]
    }

    /// Nothing need be tidy yet.
    pub(crate) fn forgive_leftovers(&mut self) {
        self.leftover = 0;
        self.messages.retain(|message| !message.ends_with("is left over"));
    }

    /// The same, each message told where it comes from.
    pub(crate) fn of(mut self, place: &str) -> Findings {
        for message in &mut self.messages {
            *message = format!("{place}: {message}");
        }
        self
    }

    pub(crate) fn say(&mut self, message: String) {
        self.messages.push(message);
    }

    /// A disagreement.
    pub(crate) fn disagree(&mut self, message: String) {
        self.ledger += 1;
        self.say(message);
    }
}
