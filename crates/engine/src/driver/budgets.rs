//! What the driver does with the budgets' file: lease, write down what is learned, look at what other
//! processes do, and leave nothing behind but what is held.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use entities::{Limit, Moment};
use rate_limit::{GivenUp, Learned};

use super::Driver;
use super::wall_clock::WallClock;
use crate::EngineError;
use crate::budget_file::{BudgetError, BudgetFile, Joining, Known};
use crate::core::{
    Action, BudgetKey, BudgetNews, Budgets, Event, GiveBack, LeaseGranted, StartedSpec, StoreSlot, Watched,
};

/// How often to look at what others did. They hear of our wants, and we of what they gave up for us,
/// within two of these.
const LOOK: Duration = Duration::from_millis(250);

/// How long to leave a budgets' file alone that could not be written.
const LEASE_AGAIN: Duration = Duration::from_secs(10);

/// A budgets' file that others keep locked for so long is as good as broken.
const LOCKED_FOR_GOOD: Duration = Duration::from_secs(30);

/// The budgets' file, and what the driver has to do with it.
pub(super) struct Keeper {
    /// Where the file is; none: in memory.
    directory: Option<PathBuf>,
    /// Not open before it is asked for: its first use is a start, which opens a store meanwhile.
    file: Option<BudgetFile>,
    /// The file's moments are the wall's.
    clock: WallClock,
    next_look: Moment,
    /// Could not be written because others were writing: tried again at each look.
    unwritten: Vec<Action>,
    /// Since when others are.
    locked_since: Option<Moment>,
}

impl Keeper {
    pub(super) fn new(directory: Option<PathBuf>, clock: WallClock) -> Keeper {
        let (next_look, unwritten) = (Moment(i64::MIN), Vec::new());
        Keeper { directory, file: None, clock, next_look, unwritten, locked_since: None }
    }

    /// The file; opens it if it is not open.
    pub(super) fn open(&mut self) -> Result<&BudgetFile, EngineError> {
        let directory = self.directory.clone();
        let opened = self.file().map(|file| &*file);
        opened.map_err(|error| cannot_keep(directory.as_deref(), &error))
    }

    fn file(&mut self) -> Result<&mut BudgetFile, BudgetError> {
        match self.file {
            Some(ref mut file) => Ok(file),
            None => {
                let opened = match &self.directory {
                    Some(directory) => BudgetFile::open(&path_in(directory)),
                    None => BudgetFile::in_memory(),
                };
                Ok(self.file.insert(opened?))
            }
        }
    }

    /// A run begins: its limits are known to others from now on, and what is known of them to it.
    pub(super) fn join(
        &mut self,
        specs: &mut [StartedSpec],
        budgets: &Budgets,
        now: Moment,
    ) -> Result<(), EngineError> {
        let wall = self.wall(now);
        let mut windows: BTreeMap<&BudgetKey, Vec<(String, Limit)>> = BTreeMap::new();
        for draw in specs.iter().flat_map(|spec| &spec.draws) {
            let keys =
                draw.limits.iter().map(|drawn| (draw.budget.window(&drawn.limit), drawn.limit.clone()));
            windows.entry(&draw.budget).or_default().extend(keys);
        }
        let all: Vec<Joining> = windows
            .into_iter()
            .map(|(budget, windows)| {
                let past = budgets.remembered(budget, now).into_iter();
                let past = past.map(|known| (known.key, known.past.later(self.clock.ahead())));
                Joining { budget: budget.0.clone(), windows, past: past.collect() }
            })
            .collect();
        // What other runs have left behind must be there to be found.
        let joined = self.write_the_unwritten(now).and_then(|()| self.file()?.join(&all, wall));
        let joined = joined.map_err(|error| cannot_keep(self.directory.as_deref(), &error))?;
        let known: BTreeMap<String, Known> =
            all.into_iter().map(|joining| joining.budget).zip(joined).collect();
        for draw in specs.iter_mut().flat_map(|spec| &mut spec.draws) {
            let Some(known) = known.get(&draw.budget.0) else { continue };
            draw.closed_until = known.closed_until.map(|until| self.clock.ours(until));
            for drawn in &mut draw.limits {
                let learned = known.learned.get(&draw.budget.window(&drawn.limit));
                drawn.learned = learned.map(|learned| self.learned(*learned));
            }
        }
        // Before its first request: others may keep limits that it does not know.
        self.next_look = now;
        Ok(())
    }

    fn lease(
        &mut self,
        key: &str,
        limit: &Limit,
        want: u32,
        now: Moment,
    ) -> Result<LeaseGranted, BudgetError> {
        let wall = self.wall(now);
        let lease = self.file()?.lease(key, limit, want, wall)?;
        let ours = |until| self.clock.ours(until);
        let held = lease.held.into_iter().map(|(until, tokens)| (ours(until), tokens)).collect();
        let (tokens, retry_at, all_lack) = (lease.tokens, lease.retry_at.map(ours), lease.all_lack);
        Ok(LeaseGranted { tokens, held, retry_at, all_lack })
    }

    fn write(&mut self, action: &Action, now: Moment) -> Result<(), BudgetError> {
        let wall = self.wall(now);
        match action {
            Action::GiveUp { key, limit, given, .. } => {
                let given = GivenUp { tokens: given.tokens, held: self.held(&given.held) };
                self.file()?.give_up(key, limit, &given, wall)
            }
            Action::Learn { key, learned, .. } => {
                let learned = Learned { at: self.clock.wall(learned.at), ..*learned };
                self.file()?.learn(key, learned, wall)
            }
            Action::Close { key, until } => {
                let until = self.clock.wall(*until);
                self.file()?.close(key, until, wall)
            }
            Action::GiveBack { all } => self.give_back(all, wall),
            Action::Restate { key, limit } => self.file()?.restate(key, limit.as_ref()),
            _ => Ok(()),
        }
    }

    fn give_back(&mut self, all: &[GiveBack], wall: Moment) -> Result<(), BudgetError> {
        for GiveBack { key, learned, .. } in all {
            if let Some(learned) = *learned {
                let learned = Learned { at: self.clock.wall(learned.at), ..learned };
                self.file()?.learn(key, learned, wall)?;
            }
        }
        let held: Vec<_> = all.iter().map(|left| (left.key.clone(), self.held(&left.held))).collect();
        self.file()?.give_back(&held, wall)
    }

    /// What could not be written because others were writing.
    fn write_the_unwritten(&mut self, now: Moment) -> Result<(), BudgetError> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        self.file()?.be_patient(true)?;
        let mut written = Ok(());
        while written.is_ok() && !self.unwritten.is_empty() {
            let action = self.unwritten.remove(0);
            written = self.write(&action, now);
            if written.is_err() {
                self.unwritten.insert(0, action);
            }
        }
        self.file()?.be_patient(false)?;
        written
    }

    fn look(&mut self, watched: &[Watched], now: Moment) -> Result<Vec<(usize, BudgetNews)>, BudgetError> {
        let wall = self.wall(now);
        let mut all = self.file()?.look(watched, wall)?;
        for (_, news) in &mut all {
            news.closed_until = news.closed_until.map(|until| self.clock.ours(until));
            for window in &mut news.windows {
                window.learned = window.learned.map(|learned| self.learned(learned));
            }
        }
        Ok(all)
    }

    /// The process ends.
    fn leave(&mut self, all: &[GiveBack], now: Moment) -> Result<(), BudgetError> {
        if self.file.is_none() {
            // No run has begun.
            return Ok(());
        }
        self.write_the_unwritten(now)?;
        // It has time.
        self.file()?.be_patient(true)?;
        let wall = self.wall(now);
        self.give_back(all, wall)?;
        self.file()?.leave(wall)
    }

    /// What the wall shows now.
    fn wall(&mut self, now: Moment) -> Moment {
        self.clock.compare();
        self.clock.wall(now)
    }

    fn held(&self, held: &[(Moment, u32)]) -> Vec<(Moment, u32)> {
        held.iter().map(|&(until, tokens)| (self.clock.wall(until), tokens)).collect()
    }

    fn learned(&self, learned: Learned) -> Learned {
        Learned { at: self.clock.ours(learned.at), ..learned }
    }
}

impl Driver {
    pub(super) fn lease(&mut self, key: &str, limit: &Limit, want: u32, now: Moment) -> LeaseGranted {
        let leased = self.budgets.lease(key, limit, want, now);
        let nothing_before =
            |at| LeaseGranted { tokens: 0, held: Vec::new(), retry_at: Some(at), all_lack: false };
        match self.unless_locked(leased, now) {
            Ok(Some(granted)) => granted,
            Ok(None) => nothing_before(now + LOOK),
            // Else the core would ask again at once, and for ever.
            Err(()) => nothing_before(now + LEASE_AGAIN),
        }
    }

    /// Writes to the budgets' file what does not bear to be forgotten.
    pub(super) fn write_down(&mut self, action: Action, now: Moment) {
        let written = self.budgets.write(&action, now);
        if let Ok(None) = self.unless_locked(written, now) {
            self.budgets.unwritten.push(action);
        }
    }

    /// When to look at what others did; none as long as there is nothing to share, or to tell.
    pub(super) fn next_look(&mut self) -> Option<Moment> {
        let looks = self.core.budgets().are_used() || !self.budgets.unwritten.is_empty();
        looks.then_some(self.budgets.next_look)
    }

    /// Looks at what others did, if it is time to, and tells the core.
    pub(super) fn look(&mut self, now: Moment) {
        if self.next_look().is_none_or(|at| now < at) {
            return;
        }
        self.budgets.next_look = now + LOOK;
        for action in std::mem::take(&mut self.budgets.unwritten) {
            self.write_down(action, now);
        }
        let keeper = &mut self.budgets;
        let wall = keeper.wall(now);
        let has_news = keeper.file().and_then(|file| file.beat(wall).and_then(|()| file.has_news(wall)));
        if self.unless_locked(has_news, now) != Ok(Some(true)) {
            return;
        }
        let watched = self.core.watched(now);
        let news = self.budgets.look(&watched, now);
        if let Ok(Some(news)) = self.unless_locked(news, now) {
            for (budget, news) in news {
                self.core.on_event(Event::Shared { budget, news }, now);
            }
        }
    }

    /// What is still in use stays held; all else is others' at once.
    pub(super) fn give_back(&mut self, now: Moment) {
        let left = self.core.budgets().leave_all(now);
        if let Err(error) = self.budgets.leave(&left, now) {
            tracing::warn!(%error, "cannot give a budget back; it counts as used for one window");
        }
    }

    /// None: others are writing just now. An error has been told to all who have to know.
    fn unless_locked<T>(&mut self, done: Result<T, BudgetError>, now: Moment) -> Result<Option<T>, ()> {
        let keeper = &mut self.budgets;
        match done {
            Ok(done) => {
                keeper.locked_since = None;
                return Ok(Some(done));
            }
            Err(BudgetError::Busy { .. })
                if now.since(*keeper.locked_since.get_or_insert(now)) < LOCKED_FOR_GOOD =>
            {
                return Ok(None);
            }
            Err(error) => self.budgets_broke(&error.to_string(), now),
        }
        Err(())
    }

    /// Without its budgets nothing may be sent: every run stops, resumable.
    fn budgets_broke(&mut self, why: &str, now: Moment) {
        let why = format!("cannot keep budgets: {why}");
        let stores: Vec<StoreSlot> = self.stores.keys().copied().collect();
        for store in stores {
            self.core.on_event(Event::Broken { store, why: why.clone() }, now);
        }
    }
}

fn path_in(directory: &Path) -> PathBuf {
    directory.join("budgets.db")
}

fn cannot_keep(directory: Option<&Path>, error: &BudgetError) -> EngineError {
    let path = directory.map_or_else(|| "memory".to_owned(), |in_it| path_in(in_it).display().to_string());
    EngineError::Budgets { path, why: error.to_string() }
}

/// Opens the file of budgets in `directory` (and makes it), to see whether an engine could.
pub fn check_budgets(directory: &Path) -> Result<(), EngineError> {
    BudgetFile::open(&path_in(directory)).map(drop).map_err(|error| cannot_keep(Some(directory), &error))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    /// A process whose clock has fallen behind the wall's: the machine slept meanwhile.
    fn keeper(directory: &Path, behind: Duration) -> (Keeper, Moment) {
        #[expect(clippy::disallowed_methods, reason = "what is tested is how clocks differ")]
        let clock = move || Moment(0) + SystemTime::now().duration_since(UNIX_EPOCH).unwrap() - behind;
        let now = clock();
        (Keeper::new(Some(directory.to_owned()), WallClock::beside(Arc::new(clock))), now)
    }

    #[test]
    fn who_slept_and_who_did_not_mean_the_same_time() {
        let directory = tempfile::tempdir().unwrap();
        let limit = Limit::plain(10, Duration::from_secs(3_600), "10/h");
        let hours = |hours: u64| Duration::from_secs(hours * 3_600);
        let (mut slept, then) = keeper(directory.path(), hours(5));
        assert_eq!(slept.lease("k", &limit, 10, then).unwrap().tokens, 10);
        let given = GivenUp { tokens: 4, held: vec![(then + Duration::from_secs(600), 4)] };
        let give_up = Action::GiveUp { key: "k".to_owned(), limit: limit.clone(), given };
        slept.write(&give_up, then).unwrap();
        let close = Action::Close { key: "b".to_owned(), until: then + hours(8) };
        slept.write(&close, then).unwrap();

        let about = |moment: Moment, from: Moment, expected: Duration| {
            let off = moment.0.abs_diff((from + expected).0);
            assert!(off < 60_000_000_000, "{off} ns off");
        };
        let (mut awake, now) = keeper(directory.path(), hours(0));
        let leased = awake.lease("k", &limit, 10, now).unwrap();
        assert_eq!(leased.tokens, 4);
        about(leased.held[0].0, now, Duration::from_secs(600));
        let watched = || vec![Watched { budget: 0, key: "b".to_owned(), windows: Vec::new() }];
        about(awake.look(&watched(), now).unwrap()[0].1.closed_until.unwrap(), now, hours(8));
        about(slept.look(&watched(), then).unwrap()[0].1.closed_until.unwrap(), then, hours(8));
    }
}
