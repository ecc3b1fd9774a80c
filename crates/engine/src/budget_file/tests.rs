//! Two processes on one file, crashes, orderly exits: what the budgets' file promises.

use super::*;

mod gone;
mod sharing;

fn limit(count: u32, seconds: u64) -> Limit {
    Limit::plain(count, Duration::from_secs(seconds), format!("{count}/{seconds}s"))
}

fn at(seconds: i64) -> Moment {
    Moment::from_millis(1_700_000_000_000 + seconds * 1_000)
}

fn give_back(file: &mut BudgetFile, key: &str, held: &[(Moment, u32)], now: Moment) {
    file.give_back(&[(key.to_owned(), held.to_vec())], now).unwrap();
}

fn join_budget(file: &mut BudgetFile, budget: &str, windows: &[(&str, &Limit)], now: Moment) -> Known {
    let windows = windows.iter().map(|(key, limit)| ((*key).to_owned(), (*limit).clone())).collect();
    let joining = Joining { budget: budget.to_owned(), windows, past: Vec::new() };
    file.join(&[joining], now).unwrap().remove(0)
}

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Home(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("state/syncctl/budgets.db")
    }

    fn open(&self) -> BudgetFile {
        BudgetFile::open(&self.path()).unwrap()
    }

    fn glance(&self) -> Glance {
        Glance::open(&self.path()).unwrap()
    }

    fn locks(&self) -> usize {
        let entries = std::fs::read_dir(self.path().parent().unwrap()).unwrap();
        entries
            .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "lock"))
            .count()
    }
}

#[test]
fn free_tokens_are_leased_until_there_are_none() {
    let home = Home::new();
    let mut file = home.open();
    let limit = limit(10, 60);
    let lease = |file: &mut BudgetFile, want| file.lease("k", &limit, want, at(0)).unwrap();
    assert_eq!(lease(&mut file, 4), Lease { tokens: 4, held: vec![], retry_at: None, all_lack: false });
    assert_eq!(lease(&mut file, 4).tokens, 4);
    assert_eq!(lease(&mut file, 4).tokens, 2);
    assert_eq!(lease(&mut file, 4), Lease { tokens: 0, held: vec![], retry_at: Some(at(1)), all_lack: true });
    // Another key is another limit.
    assert_eq!(file.lease("other", &limit, 4, at(0)).unwrap().tokens, 4);
}

#[test]
fn two_processes_never_have_more_than_the_limit() {
    let home = Home::new();
    let (mut one, mut two) = (home.open(), home.open());
    let limit = limit(10, 1);
    let mut given = [0, 0];
    for turn in 0..8 {
        let file = if turn % 2 == 0 { &mut one } else { &mut two };
        given[turn % 2] += file.lease("k", &limit, 3, at(0)).unwrap().tokens;
    }
    assert_eq!(given, [6, 4]);

    // One leaves in good order: what it did not use is free for the other at once.
    give_back(&mut one, "k", &[(at(1), 2)], at(0));
    let lease = two.lease("k", &limit, 10, at(0)).unwrap();
    assert_eq!(lease, Lease { tokens: 6, held: vec![(at(1), 2)], retry_at: None, all_lack: false });
}

#[test]
fn threads_that_lease_at_once_never_get_more_than_the_limit() {
    let home = Home::new();
    let path = home.path();
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || {
                let mut file = BudgetFile::open(&path).unwrap();
                // On a busy machine a write may take longer than a run would wait.
                file.be_patient(true).unwrap();
                let tokens: u32 =
                    (0..10).map(|_| file.lease("k", &limit(100, 60), 7, at(0)).unwrap().tokens).sum();
                (tokens, file)
            })
        })
        .collect();
    let ended: Vec<_> = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
    assert_eq!(ended.iter().map(|(tokens, _)| tokens).sum::<u32>(), 100);
}

#[test]
fn what_a_crash_had_leased_is_held_for_a_window() {
    let home = Home::new();
    let limit = limit(10, 60);
    let mut crashed = home.open();
    assert_eq!(crashed.lease("k", &limit, 7, at(0)).unwrap().tokens, 7);
    drop(crashed);

    // Free ones first, then the crashed process's, held from the moment its death is noticed.
    let mut file = home.open();
    let lease = file.lease("k", &limit, 5, at(20)).unwrap();
    assert_eq!(lease, Lease { tokens: 5, held: vec![(at(80), 2)], retry_at: None, all_lack: false });
    assert_eq!(file.lease("k", &limit, 9, at(70)).unwrap().held, vec![(at(80), 5)]);
    drop(file);

    // After a window without anybody everything is free.
    let mut file = home.open();
    assert_eq!(file.lease("k", &limit, 1, at(100)).unwrap().held, vec![(at(160), 1)]);
    assert_eq!(
        file.lease("k", &limit, 10, at(160)).unwrap(),
        Lease { tokens: 9, held: vec![], retry_at: None, all_lack: false }
    );
}

/// A kill: its lock file stays, unlocked.
fn kill(file: BudgetFile) -> PathBuf {
    let (left, kept) = (lock_path(&file.path, &file.process), file.path.with_extension("kept"));
    std::fs::rename(&left, &kept).unwrap();
    drop(file);
    std::fs::rename(&kept, &left).unwrap();
    left
}

#[test]
fn a_lock_file_left_by_a_kill_is_noticed_and_removed() {
    let home = Home::new();
    let limit = limit(10, 60);
    let mut killed = home.open();
    killed.lease("k", &limit, 10, at(0)).unwrap();
    let (left, idle) = (kill(killed), kill(home.open()));

    let mut file = home.open();
    assert!(!idle.exists(), "swept");
    assert!(left.exists(), "it says when its process died");
    assert_eq!(file.lease("k", &limit, 10, at(5)).unwrap().held, vec![(at(65), 10)]);
    drop(home.open());
    assert!(!left.exists());
    assert_eq!(home.locks(), 1);
}

#[test]
fn who_died_long_ago_has_nothing_any_more() {
    let home = Home::new();
    let hourly = limit(100, 3_600);
    let mut killed = home.open();
    killed.lease("k", &hourly, 40, at(0)).unwrap();
    // It lived on: a sign a minute, and no more.
    for second in 0..1_000 {
        killed.beat(at(second)).unwrap();
    }
    let left = kill(killed);

    let check = |now: Moment, held: Vec<(Moment, u32)>| {
        let seen = home.glance().window("k", &hourly, now).unwrap();
        let sum = held.iter().map(|(_, tokens)| tokens).sum::<u32>();
        assert_eq!((seen.held, seen.next), (sum, held.first().map(|(until, _)| *until)));
        let copy = Home::new();
        std::fs::create_dir_all(copy.path().parent().unwrap()).unwrap();
        for file in std::fs::read_dir(home.path().parent().unwrap()).unwrap() {
            let (from, to) = (file.as_ref().unwrap().path(), file.unwrap().file_name());
            let to = copy.path().with_file_name(to);
            let times = std::fs::metadata(&from).unwrap().modified().unwrap();
            std::fs::copy(&from, &to).unwrap();
            File::options().write(true).open(&to).unwrap().set_modified(times).unwrap();
        }
        assert_eq!(copy.open().lease("k", &hourly, 100, now).unwrap().held, held);
    };
    // Its last sign was at 960; two minutes later it cannot have sent anything more.
    check(at(1_000), vec![(at(4_600), 40)]);
    check(at(3_000), vec![(at(1_080 + 3_600), 40)]);
    check(at(4_679), vec![(at(4_680), 40)]);
    check(at(4_680), vec![]);
    // A clock that was set back: as if it had died now.
    check(at(100), vec![(at(3_700), 40)]);
    // An older syncctl gives no signs.
    File::options().write(true).open(&left).unwrap().set_len(0).unwrap();
    check(at(4_680), vec![(at(4_680 + 3_600), 40)]);
}

#[test]
fn an_orderly_exit_leaves_only_what_is_held() {
    let home = Home::new();
    let limit = limit(10, 60);
    let mut file = home.open();
    file.lease("k", &limit, 10, at(0)).unwrap();
    // The first is free again already; a second time there is no lease to end.
    give_back(&mut file, "k", &[(at(3), 1), (at(30), 3), (at(40), 2)], at(5));
    give_back(&mut file, "k", &[(at(50), 99)], at(5));
    drop(file);
    assert_eq!(home.locks(), 0);

    let mut file = home.open();
    let lease = file.lease("k", &limit, 10, at(10)).unwrap();
    assert_eq!(
        lease,
        Lease { tokens: 10, held: vec![(at(30), 3), (at(40), 2)], retry_at: None, all_lack: false }
    );
    // More than was leased cannot be held.
    give_back(&mut file, "k", &[(at(50), 99)], at(10));
    assert_eq!(file.lease("k", &limit, 20, at(10)).unwrap().held, vec![(at(50), 10)]);
}

#[test]
fn a_clock_set_back_holds_nothing_longer_than_a_window() {
    let home = Home::new();
    let limit = limit(10, 60);
    let mut file = home.open();
    file.lease("k", &limit, 10, at(100_000)).unwrap();
    give_back(&mut file, "k", &[(at(100_030), 3), (at(100_040), 3)], at(100_000));
    assert_eq!(file.lease("k", &limit, 10, at(0)).unwrap().held, vec![(at(60), 6)]);
}

/// Until when a budget is closed, as a run that begins learns it.
fn closed_until(file: &mut BudgetFile, budget: &str, now: Moment) -> Option<Moment> {
    join_budget(file, budget, &[], now).closed_until
}

#[test]
fn a_closed_budget_stays_closed_beyond_the_process() {
    let home = Home::new();
    let mut file = home.open();
    assert_eq!(closed_until(&mut file, "k", at(0)), None);
    file.close("k", at(60), at(0)).unwrap();
    // Never shortened, and prolonged by what is later.
    file.close("k", at(30), at(1)).unwrap();
    assert_eq!(closed_until(&mut file, "k", at(1)), Some(at(60)));
    file.close("k", at(90), at(2)).unwrap();
    file.close("other", at(10), at(2)).unwrap();
    drop(file);

    let mut file = home.open();
    assert_eq!(closed_until(&mut file, "k", at(3)), Some(at(90)));
    assert_eq!(closed_until(&mut file, "other", at(3)), Some(at(10)));
    // However far ahead: what a server says is what holds.
    let years = 20 * 365 * 86_400;
    file.close("far", at(years), at(3)).unwrap();
    assert_eq!(closed_until(&mut file, "far", at(years - 1)), Some(at(years)));
    // What is past is dropped when something else is written.
    let rows = |file: &BudgetFile| -> i64 {
        file.database.query_row("SELECT count(*) FROM closed", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(closed_until(&mut file, "k", at(90)), None);
    assert_eq!(rows(&file), 3);
    file.close("k", at(120), at(91)).unwrap();
    assert_eq!(rows(&file), 2, "the other one is gone");
}

#[test]
fn a_clock_set_back_closes_nothing_for_longer_than_was_asked() {
    let home = Home::new();
    let mut file = home.open();
    file.close("k", at(100_060), at(100_000)).unwrap();
    assert_eq!(home.glance().closed_until("k", at(0)).unwrap(), Some(at(60)));
    assert_eq!(closed_until(&mut file, "k", at(0)), Some(at(60)));
    // It goes on from there, and does not begin anew each time.
    assert_eq!(home.glance().closed_until("k", at(50)).unwrap(), Some(at(60)));
    assert_eq!(closed_until(&mut file, "k", at(50)), Some(at(60)));
    assert_eq!(closed_until(&mut file, "k", at(60)), None);
}

#[test]
fn budgets_of_before_closures_were_kept_still_open() {
    let home = Home::new();
    drop(home.open());
    Connection::open(home.path()).unwrap().execute_batch("DROP TABLE closed").unwrap();
    let mut file = home.open();
    file.close("k", at(60), at(0)).unwrap();
    assert_eq!(closed_until(&mut file, "k", at(0)), Some(at(60)));
}

#[test]
fn fingerprints_tell_nothing_and_outlive_the_process() {
    let home = Home::new();
    let first = home.open();
    let name = first.fingerprint("canary");
    assert!(name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
    assert_ne!(name, first.fingerprint("canarz"));
    drop(first);
    assert_eq!(home.open().fingerprint("canary"), name);
    assert_ne!(Home::new().open().fingerprint("canary"), name, "another installation");

    // RFC 4231, test case 2, by way of its own key.
    let mut known = home.open();
    known.secret = [0; 32];
    known.secret[..4].copy_from_slice(b"Jefe");
    assert_eq!(known.fingerprint("what do ya want for nothing?"), "5bdcc146bf60754e6a042426089575c7");
}

#[cfg(unix)]
#[test]
fn nobody_else_may_look() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let mut file = home.open();
    file.lease("k", &limit(1, 1), 1, at(0)).unwrap();
    let directory = home.path().parent().unwrap().to_owned();
    assert_eq!(std::fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
    let mut seen = 0;
    for entry in std::fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{path:?}");
        seen += 1;
    }
    assert!(seen >= 4, "database, its log, key and lock: {seen}");
}

#[test]
fn files_that_do_not_work_say_so() {
    let check = |prepare: fn(&Path), expected: &str| {
        let home = Home::new();
        let path = home.path();
        prepare(&path);
        let error = BudgetFile::open(&path).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("syncctl"), "{error}");
    };
    check(
        |path| {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "this is no database at all, however long it may be. ".repeat(100)).unwrap();
        },
        "damaged",
    );
    check(|path| std::fs::create_dir_all(path).unwrap(), "cannot open");
    check(
        |path| {
            std::fs::create_dir_all(path.ancestors().nth(2).unwrap()).unwrap();
            std::fs::write(path.parent().unwrap(), "a file").unwrap();
        },
        "cannot create",
    );
    check(
        |path| {
            drop(BudgetFile::open(path).unwrap());
            Connection::open(path).unwrap().pragma_update(None, "user_version", 9).unwrap();
        },
        "version 9",
    );
}
