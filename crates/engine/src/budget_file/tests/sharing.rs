//! What processes see of each other: wants, tokens given up, limits, lessons, deaths.

use entities::{ResetDay, Resets};
use jiff::tz::TimeZone;

use super::*;
use crate::core::{BudgetNews, Watched, WatchedWindow};

const W: u64 = 60;

/// A look at one limit, of the budget "b"; `in_use` of its tokens are.
fn look(file: &mut BudgetFile, key: &str, limit: &Limit, in_use: u32, now: Moment) -> BudgetNews {
    let window =
        WatchedWindow { window: 0, key: key.to_owned(), limit: limit.clone(), in_use, at_rest: false };
    let watched = Watched { budget: 0, key: "b".to_owned(), windows: vec![window] };
    file.look(&[watched], now).unwrap().remove(0).1
}

/// Gives up all free tokens beyond what may be kept, as the core does.
fn give_up(
    file: &mut BudgetFile,
    key: &str,
    limit: &Limit,
    keep: u32,
    has: u32,
    held: &[(Moment, u32)],
    now: Moment,
) {
    let given = GivenUp { tokens: has - keep, held: held.to_vec() };
    file.give_up(key, limit, &given, now).unwrap();
}

fn join(file: &mut BudgetFile, key: &str, limit: &Limit, now: Moment) -> Known {
    join_budget(file, "b", &[(key, limit)], now)
}

fn calendar(count: u32, reserve: u32) -> Limit {
    let zone = TimeZone::get("Asia/Shanghai").unwrap();
    let resets = Resets { text: "00:00 Asia/Shanghai".to_owned(), every: ResetDay::Day, minute: 0, zone };
    Limit { resets: Some(resets), reserve, ..limit(count, 86_400) }
}

#[test]
fn who_has_all_gives_half_to_who_wants_some() {
    let home = Home::new();
    let limit = limit(80, W);
    let (mut one, mut two) = (home.open(), home.open());
    assert_eq!(one.lease("k", &limit, 80, at(0)).unwrap().tokens, 80);
    assert!(one.has_news(at(0)).unwrap(), "the first look reads");
    let news = look(&mut one, "k", &limit, 80, at(0));
    assert_eq!((news.windows[0].keep, news.windows[0].elsewhere, news.windows[0].of), (None, 0, 1));
    assert!(!one.has_news(at(1)).unwrap());

    assert_eq!(two.lease("k", &limit, 10, at(1)).unwrap().tokens, 0);
    look(&mut two, "k", &limit, 0, at(1));
    assert!(one.has_news(at(1)).unwrap());
    let news = look(&mut one, "k", &limit, 80, at(1));
    assert_eq!((news.windows[0].keep, news.windows[0].of), (Some(40), 2));
    assert!(one.has_news(at(1)).unwrap(), "as long as others want, what is kept goes with what is used");
    // Held ones, too, with the times they come back.
    give_up(&mut one, "k", &limit, 40, 80, &[(at(20), 30)], at(1));

    assert!(two.has_news(at(1)).unwrap());
    let news = look(&mut two, "k", &limit, 0, at(1));
    assert_eq!((news.windows[0].free, news.windows[0].elsewhere), (10, 40));
    let lease = two.lease("k", &limit, 12, at(1)).unwrap();
    assert_eq!(lease, Lease { tokens: 12, held: vec![(at(20), 2)], retry_at: None, all_lack: false });
    // Nobody wants anything any more; the next chunk is there.
    assert!(one.has_news(at(1)).unwrap());
    assert_eq!(look(&mut one, "k", &limit, 40, at(1)).windows[0].keep, None);
    assert!(!one.has_news(at(1)).unwrap());
    assert_eq!(two.lease("k", &limit, 99, at(1)).unwrap().tokens, 28);
}

#[test]
fn who_does_not_use_its_share_keeps_a_chunk() {
    let home = Home::new();
    let limit = limit(80, W);
    let (mut idle, mut busy) = (home.open(), home.open());
    idle.lease("k", &limit, 40, at(0)).unwrap();
    busy.lease("k", &limit, 40, at(0)).unwrap();
    busy.lease("k", &limit, 10, at(0)).unwrap();
    assert_eq!(look(&mut idle, "k", &limit, 5, at(0)).windows[0].keep, Some(15));
    assert_eq!(look(&mut idle, "k", &limit, 40, at(0)).windows[0].keep, None);
    // Whose runs are paused does not keep even that.
    let window = WatchedWindow { window: 0, key: "k".to_owned(), limit, in_use: 5, at_rest: true };
    let watched = [Watched { budget: 0, key: "b".to_owned(), windows: vec![window] }];
    assert_eq!(idle.look(&watched, at(0)).unwrap()[0].1.windows[0].keep, Some(5));
}

#[test]
fn what_is_not_asked_for_again_is_not_wanted() {
    let home = Home::new();
    let limit = limit(80, W);
    let (mut one, mut two) = (home.open(), home.open());
    one.lease("k", &limit, 80, at(0)).unwrap();
    two.lease("k", &limit, 10, at(0)).unwrap();
    let pressed = |one: &mut BudgetFile, now| look(one, "k", &limit, 80, now).windows[0].keep.is_some();
    assert!(pressed(&mut one, at(0)));
    two.lease("k", &limit, 10, at(2)).unwrap();
    two.has_news(at(4)).unwrap();
    assert!(pressed(&mut one, at(4)));
    two.has_news(at(6)).unwrap();
    assert!(!pressed(&mut one, at(6)));
}

#[test]
fn those_who_only_look_write_nothing() {
    let home = Home::new();
    let limit = limit(80, W);
    let mut all: Vec<BudgetFile> = (0..4).map(|_| home.open()).collect();
    for file in &mut all {
        join(file, "k", &limit, at(0));
        assert_eq!(file.lease("k", &limit, 20, at(0)).unwrap().tokens, 20);
    }
    // They were denied more; to ask for it again each second changes nothing either.
    for file in &mut all {
        assert_eq!(file.lease("k", &limit, 10, at(0)).unwrap().tokens, 0);
        look(file, "k", &limit, 20, at(0));
    }
    let witness = Connection::open(home.path()).unwrap();
    let version = || -> i64 { witness.query_row("PRAGMA data_version", [], |row| row.get(0)).unwrap() };
    let before = version();
    for tenth in 1..=10 {
        let now = at(0) + Duration::from_millis(tenth * 100);
        for file in &mut all {
            file.has_news(now).unwrap();
            look(file, "k", &limit, 20, now);
            if tenth == 10 {
                assert_eq!(file.lease("k", &limit, 10, now).unwrap().tokens, 0);
            }
        }
    }
    assert_eq!(version(), before);
}

#[test]
fn one_alone_reads_a_counter_and_no_more() {
    let home = Home::new();
    let mut file = home.open();
    let limit = limit(80, W);
    join(&mut file, "k", &limit, at(0));
    file.lease("k", &limit, 10, at(0)).unwrap();
    look(&mut file, "k", &limit, 10, at(0));
    assert!(!file.has_news(at(1)).unwrap());
    // What it writes itself is no news.
    file.lease("k", &limit, 70, at(1)).unwrap();
    file.close("b", at(60), at(1)).unwrap();
    file.learn("k", Learned { gap: Duration::from_secs(1), refusals: 1, at: at(1) }, at(1)).unwrap();
    assert!(!file.has_news(at(1)).unwrap());
}

#[test]
fn the_dead_are_buried_by_whoever_looks() {
    let home = Home::new();
    let (ours, theirs) = (limit(80, W), Limit { reserve: 30, ..limit(80, W) });
    let (mut one, mut two) = (home.open(), home.open());
    join(&mut one, "k", &ours, at(0));
    join(&mut two, "k", &theirs, at(0));
    join(&mut two, "tight", &limit(10, W), at(0));
    assert_eq!(one.lease("k", &ours, 60, at(0)).unwrap().tokens, 50, "the larger reserve holds");
    one.lease("k", &ours, 0, at(0)).unwrap();
    give_up(&mut one, "k", &ours, 20, 50, &[], at(0));
    assert_eq!(two.lease("k", &theirs, 60, at(0)).unwrap().tokens, 30);
    let news = look(&mut one, "k", &ours, 20, at(0));
    assert_eq!((news.windows[0].elsewhere, news.limits.len()), (30, 1));
    assert_eq!(one.lease("k", &ours, 60, at(0)).unwrap().tokens, 0);

    drop(two);
    assert!(one.has_news(at(3)).unwrap());
    let news = look(&mut one, "k", &ours, 20, at(3));
    let window = &news.windows[0];
    assert_eq!((window.elsewhere, window.free, window.of), (0, 60, 1), "the reserve is gone with it");
    assert_eq!(news.limits, []);
    let lease = one.lease("k", &ours, 60, at(3)).unwrap();
    assert_eq!(lease, Lease { tokens: 60, held: vec![(at(63), 30)], retry_at: None, all_lack: false });
    let users: i64 =
        one.database.query_row("SELECT count(DISTINCT process) FROM users", [], |row| row.get(0)).unwrap();
    assert_eq!(users, 1);
}

#[test]
fn all_together_leave_the_largest_reserve() {
    let home = Home::new();
    let of = |reserve| Limit { reserve, ..limit(100, W) };
    let mut all = [(home.open(), of(0)), (home.open(), of(30)), (home.open(), of(10))];
    for (file, limit) in &mut all {
        join(file, "k", limit, at(0));
    }
    let mut leased = 0;
    for turn in 0..30 {
        let (file, limit) = &mut all[turn % 3];
        leased += file.lease("k", limit, 7, at(0)).unwrap().tokens;
    }
    assert_eq!(leased, 70);
    // Several plans of one process: the largest of theirs.
    join(&mut all[0].0, "other", &of(40), at(0));
    join(&mut all[0].0, "other", &of(10), at(0));
    assert_eq!(all[1].0.lease("other", &of(0), 100, at(0)).unwrap().tokens, 60);
}

#[test]
fn a_reserve_that_comes_later_is_made_room_for() {
    let home = Home::new();
    let (without, with) = (limit(100, W), Limit { reserve: 40, ..limit(100, W) });
    let (mut one, mut two, mut three) = (home.open(), home.open(), home.open());
    assert_eq!(one.lease("k", &without, 60, at(0)).unwrap().tokens, 60);
    assert_eq!(two.lease("k", &without, 40, at(0)).unwrap().tokens, 40);
    join(&mut three, "k", &with, at(0));
    assert_eq!(look(&mut one, "k", &without, 60, at(0)).windows[0].keep, Some(36));
    assert!(one.has_news(at(0)).unwrap());
    give_up(&mut one, "k", &without, 36, 60, &[], at(0));
    assert_eq!(look(&mut two, "k", &without, 0, at(0)).windows[0].keep, Some(31), "in any order");
    give_up(&mut two, "k", &without, 24, 40, &[], at(0));
    assert_eq!(two.lease("k", &without, 40, at(0)).unwrap().tokens, 0);
    two.lease("k", &without, 0, at(0)).unwrap();
    assert_eq!(look(&mut one, "k", &without, 36, at(0)).windows[0].keep, None);
    assert!(!one.has_news(at(0)).unwrap());
}

#[test]
fn a_calendar_quota_comes_back_when_the_calendar_says_so() {
    let home = Home::new();
    let limit = calendar(10, 2);
    // 2023-11-14 22:13:20 UTC; midnight in Shanghai comes 17:46:40 later, and two seconds on top.
    let midnight = at(17 * 3_600 + 46 * 60 + 40 + 2);
    let mut crashed = home.open();
    assert_eq!(crashed.lease("k", &limit, 10, at(0)).unwrap().tokens, 8);
    drop(crashed);
    let mut file = home.open();
    let lease = file.lease("k", &limit, 3, at(100)).unwrap();
    assert_eq!(lease.held, [(midnight, 3)]);
    give_back(&mut file, "k", &[(midnight, 3)], at(200));
    assert_eq!(file.lease("k", &limit, 8, at(300)).unwrap().held, [(midnight, 8)]);
    // The clock is set back by ten days: no longer than to that midnight.
    give_back(&mut file, "k", &[(midnight, 8)], at(400));
    let back = |moment: Moment| moment - Duration::from_secs(10 * 86_400);
    assert_eq!(file.lease("k", &limit, 8, back(at(400))).unwrap().held, [(back(midnight), 8)]);
    assert_eq!(
        home.glance().window("k", &limit, back(at(400))).unwrap().reserve,
        2,
        "though nobody has joined"
    );
}

#[test]
fn what_was_learned_is_kept_for_thirty_days() {
    let home = Home::new();
    let limit = limit(60, W);
    let learned = |millis, refusals, now| Learned { gap: Duration::from_millis(millis), refusals, at: now };
    let (mut one, mut two) = (home.open(), home.open());
    assert_eq!(join(&mut one, "k", &limit, at(0)).learned.get("k"), None);
    one.learn("k", learned(1_100, 2, at(0)), at(0)).unwrap();
    assert_eq!(join(&mut two, "k", &limit, at(0)).learned["k"], learned(1_100, 2, at(0)));
    // Who knows of fewer refusals changes nothing; who knows of as many may have come down.
    two.learn("k", learned(2_000, 1, at(1)), at(1)).unwrap();
    assert_eq!(look(&mut one, "k", &limit, 0, at(1)).windows[0].learned, Some(learned(1_100, 2, at(0))));
    two.learn("k", learned(1_090, 2, at(2)), at(2)).unwrap();
    two.learn("k", learned(1_500, 3, at(3)), at(3)).unwrap();
    assert_eq!(look(&mut one, "k", &limit, 0, at(3)).windows[0].learned, Some(learned(1_500, 3, at(3))));

    let days = |days: i64| at(3 + days * 86_400);
    assert_eq!(home.glance().window("k", &limit, days(30)).unwrap().learned, Some(learned(1_500, 3, at(3))));
    assert_eq!(home.glance().window("k", &limit, days(31)).unwrap().learned, None);
    // Then the least lesson is news; and what nobody asks for any more goes.
    two.learn("other", learned(1, 1, days(31)), days(31)).unwrap();
    let rows: i64 = two.database.query_row("SELECT count(*) FROM learned", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 1);
    two.learn("k", learned(1_000, 1, days(31)), days(31)).unwrap();
    assert_eq!(join(&mut one, "k", &limit, days(31)).learned["k"], learned(1_000, 1, days(31)));
}

#[test]
fn limits_that_differ_meet_as_long_as_both_live() {
    let home = Home::new();
    let (wide, tight, daily) = (limit(100, W), limit(60, W), calendar(1_000, 0));
    let (mut one, mut two, mut three) = (home.open(), home.open(), home.open());
    join(&mut one, "wide", &wide, at(0));
    join(&mut two, "tight", &tight, at(0));
    join(&mut two, "daily", &daily, at(0));
    join(&mut three, "wide", &wide, at(0));
    join_budget(&mut three, "another", &[("elsewhere", &limit(1, 1))], at(0));
    assert_eq!(look(&mut one, "wide", &wide, 0, at(0)).limits, [daily.clone(), tight.clone()]);
    assert_eq!(look(&mut two, "tight", &tight, 0, at(0)).limits, [wide]);
    // What we only keep because another does is not ours to tell.
    one.lease("tight", &tight, 60, at(0)).unwrap();
    two.lease("tight", &tight, 10, at(0)).unwrap();
    one.lease("tight", &tight, 10, at(0)).unwrap();
    assert_eq!(look(&mut three, "wide", &limit(100, W), 0, at(0)).limits, [daily, tight.clone()]);
    two.leave(at(0)).unwrap();
    assert_eq!(look(&mut three, "wide", &limit(100, W), 0, at(0)).limits, []);
    assert_eq!(look(&mut one, "wide", &limit(100, W), 0, at(0)).limits, []);
}

#[test]
fn a_closure_is_seen_by_the_others() {
    let home = Home::new();
    let limit = limit(10, W);
    let (mut one, mut two) = (home.open(), home.open());
    assert_eq!(look(&mut two, "k", &limit, 0, at(0)).closed_until, None);
    one.close("b", at(30), at(0)).unwrap();
    assert!(two.has_news(at(1)).unwrap());
    assert_eq!(look(&mut two, "k", &limit, 0, at(1)).closed_until, Some(at(30)));
    assert_eq!(look(&mut two, "k", &limit, 0, at(30)).closed_until, None);
}

#[test]
fn who_only_glances_sees_all_and_makes_nothing() {
    let home = Home::new();
    let limit = Limit { reserve: 10, ..limit(100, W) };
    assert_eq!(home.glance().window("k", &limit, at(0)).unwrap(), glance::SeenWindow::default());
    assert!(!home.path().parent().unwrap().exists());

    let (mut one, mut crashed) = (home.open(), home.open());
    join(&mut one, "k", &limit, at(0));
    one.lease("k", &limit, 40, at(0)).unwrap();
    crashed.lease("k", &limit, 20, at(0)).unwrap();
    give_up(&mut one, "k", &limit, 35, 40, &[(at(7), 5)], at(0));
    drop(crashed);
    let seen = home.glance().window("k", &limit, at(1)).unwrap();
    assert_eq!((seen.held, seen.leased, seen.next, seen.reserve), (25, 35, Some(at(7)), 10));
    assert_eq!(home.glance().fingerprint("canary"), one.fingerprint("canary"));
    one.close("b", at(9), at(1)).unwrap();
    assert_eq!(home.glance().closed_until("b", at(2)).unwrap(), Some(at(9)));
    assert_eq!(home.glance().closed_until("b", at(9)).unwrap(), None);
}

#[test]
fn who_is_in_the_way_is_not_waited_for() {
    let home = Home::new();
    let limit = limit(10, W);
    let (mut file, stopped) = (home.open(), Connection::open(home.path()).unwrap());
    stopped.execute_batch("BEGIN IMMEDIATE; INSERT INTO closed VALUES ('x', 1, 2)").unwrap();
    let denied = file.lease("k", &limit, 5, at(0)).unwrap_err();
    assert!(matches!(denied, BudgetError::Busy { .. }), "{denied}");
    assert!(denied.to_string().contains("let it go on or kill it"), "{denied}");
    // Looking needs nobody's leave.
    assert!(file.has_news(at(0)).unwrap());
    look(&mut file, "k", &limit, 0, at(0));
    stopped.execute_batch("COMMIT").unwrap();
    assert_eq!(file.lease("k", &limit, 5, at(0)).unwrap().tokens, 5);
}

/// The first version's tables and statements, word for word.
#[test]
fn an_older_syncctl_and_this_one_share_a_file() {
    let home = Home::new();
    std::fs::create_dir_all(home.path().parent().unwrap()).unwrap();
    let older = Connection::open(home.path()).unwrap();
    older
        .execute_batch(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE windows (key TEXT PRIMARY KEY, count INTEGER NOT NULL, window_ms INTEGER NOT NULL,
                 said TEXT NOT NULL) STRICT, WITHOUT ROWID;
             CREATE TABLE leases (key TEXT NOT NULL, process TEXT NOT NULL, tokens INTEGER NOT NULL,
                 PRIMARY KEY (key, process)) STRICT, WITHOUT ROWID;
             CREATE TABLE held (key TEXT NOT NULL, return_at_ms INTEGER NOT NULL, tokens INTEGER NOT NULL,
                 PRIMARY KEY (key, return_at_ms)) STRICT, WITHOUT ROWID;
             CREATE TABLE closed (key TEXT PRIMARY KEY, since_ms INTEGER NOT NULL,
                 until_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
             PRAGMA user_version = 1;",
        )
        .unwrap();
    // It lives, and has leased something.
    let older_lock = private_file(&lock_path(&home.path(), "4711-0123456789abcdef")).unwrap();
    older_lock.lock().unwrap();
    let millis = at(0).as_millis();
    older
        .execute_batch(&format!(
            "INSERT INTO windows VALUES ('k', 80, 60000, '80/min');
             INSERT INTO leases VALUES ('k', '4711-0123456789abcdef', 30);
             INSERT INTO held VALUES ('k', {}, 7);
             INSERT INTO closed VALUES ('b', {millis}, {});",
            millis + 20_000,
            millis + 30_000,
        ))
        .unwrap();

    let limit = limit(80, W);
    assert_eq!(
        home.glance().window("k", &limit, at(1)).unwrap(),
        glance::SeenWindow::default(),
        "not read yet"
    );
    let mut file = home.open();
    assert_eq!(join(&mut file, "k", &limit, at(1)).closed_until, Some(at(30)));
    let lease = file.lease("k", &limit, 60, at(1)).unwrap();
    assert_eq!(lease, Lease { tokens: 50, held: vec![(at(20), 7)], retry_at: None, all_lack: false });
    file.lease("k", &limit, 5, at(1)).unwrap();
    file.learn("k", Learned { gap: Duration::from_secs(1), refusals: 1, at: at(1) }, at(1)).unwrap();

    // The older one goes on: its sums see ours, and its statements still work.
    let version: i64 = older.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, 1);
    let sum: i64 = older
        .query_row("SELECT coalesce(sum(tokens), 0) FROM leases WHERE key = 'k'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sum, 80);
    older
        .execute_batch(
            "INSERT INTO windows (key, count, window_ms, said) VALUES ('k', 80, 60000, '80/min')
                 ON CONFLICT (key) DO UPDATE SET count = 80, window_ms = 60000, said = '80/min';
             INSERT INTO leases (key, process, tokens) VALUES ('k', '4711-0123456789abcdef', 3)
                 ON CONFLICT (key, process) DO UPDATE SET tokens = tokens + excluded.tokens;
             DELETE FROM leases WHERE key = 'k' AND process = '4711-0123456789abcdef' RETURNING tokens;
             INSERT INTO held (key, return_at_ms, tokens) VALUES ('k', 1, 1)
                 ON CONFLICT (key, return_at_ms) DO UPDATE SET tokens = tokens + excluded.tokens;",
        )
        .unwrap();
    assert!(file.has_news(at(2)).unwrap());
    assert_eq!(look(&mut file, "k", &limit, 50, at(2)).windows[0].free, 5, "of 30");
}
