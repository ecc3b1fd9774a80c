//! A process that stays while its runs come and go: limits that take each other's place, and what is left.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A run that draws on "b" under a limit begins and uses so many tokens; then it is over.
fn run(file: &mut BudgetFile, limit: &Limit, used: u32, now: Moment) {
    let key = key(limit);
    join_budget(file, "b", &[(&key, limit)], now);
    assert_eq!(file.lease(&key, limit, limit.count, now).unwrap().tokens, limit.usable());
    give_back(file, &key, &[(returns_at(limit, now), used)], now);
}

fn key(limit: &Limit) -> String {
    crate::core::BudgetKey("b".to_owned()).window(limit)
}

/// What a run under a limit may not use yet, that begins then.
fn held(file: &mut BudgetFile, limit: &Limit, now: Moment) -> Vec<(Moment, u32)> {
    let key = key(limit);
    join_budget(file, "b", &[(&key, limit)], now);
    let lease = file.lease(&key, limit, limit.count, now).unwrap();
    assert_eq!(lease.tokens, limit.usable());
    give_back(file, &key, &lease.held, now);
    lease.held
}

#[test]
fn a_limit_that_changes_counts_what_went_before() {
    for mut file in [Home::new().open(), BudgetFile::in_memory().unwrap()] {
        let (ten, hundred, hour) = (limit(10, 1), limit(100, 1), limit(1_000, 3_600));
        run(&mut file, &ten, 7, at(0));
        assert_eq!(held(&mut file, &hundred, at(0)), [(at(1), 7)]);
        assert_eq!(held(&mut file, &hour, at(0)), [(at(3_600), 7)]);
        // And back: no request counts twice.
        assert_eq!(held(&mut file, &ten, at(0)), [(at(1), 7)]);
        run(&mut file, &hundred, 60, at(2));
        assert_eq!(held(&mut file, &ten, at(2)), [(at(3), 10)]);
        // An hour's has not been there when these went, but for the first seven.
        assert_eq!(held(&mut file, &hour, at(2)), [(at(3_600), 7), (at(3_602), 60)]);
    }
}

#[test]
fn a_limit_that_is_in_force_takes_over_nothing() {
    let home = Home::new();
    let (mut one, mut two) = (home.open(), home.open());
    let (ten, hundred) = (limit(10, 1), limit(100, 1));
    join_budget(&mut two, "b", &[(&key(&hundred), &hundred)], at(0));
    run(&mut one, &ten, 7, at(0));
    // The other has counted what it sent; only what nobody counts is taken over.
    join_budget(&mut one, "b", &[(&key(&hundred), &hundred)], at(0));
    assert_eq!(one.lease(&key(&hundred), &hundred, 100, at(0)).unwrap().held, []);
}

#[test]
fn what_the_dead_had_and_what_runs_remember_counts_under_another_limit() {
    let home = Home::new();
    let (ten, hundred) = (limit(10, 60), limit(100, 60));
    {
        let mut dead = home.open();
        join_budget(&mut dead, "b", &[(&key(&ten), &ten)], at(0));
        dead.lease(&key(&ten), &ten, 4, at(0)).unwrap();
    }
    let mut file = home.open();
    let mut past = Past::default();
    past.add_held(Some(60 * SECOND), &[(at(30), 2)], at(5));
    let joining = Joining {
        budget: "b".to_owned(),
        windows: vec![(key(&hundred), hundred.clone())],
        past: vec![(key(&ten), past)],
    };
    file.join(&[joining], at(5)).unwrap();
    let lease = file.lease(&key(&hundred), &hundred, 100, at(5)).unwrap();
    assert_eq!(lease.held, [(at(30), 2), (at(65), 4)]);
}

#[test]
fn others_hear_what_a_run_that_is_over_leaves() {
    let home = Home::new();
    let (mut one, mut two) = (home.open(), home.open());
    let limit = Limit { reserve: 60, ..limit(100, 60) };
    let small = Limit { reserve: 10, ..limit.clone() };
    join_budget(&mut one, "b", &[("k", &limit)], at(0));
    join_budget(&mut one, "b", &[("k", &small)], at(0));
    let most = |two: &mut BudgetFile| {
        let lease = two.lease("k", &small, 100, at(0)).unwrap().tokens;
        give_back(two, "k", &[], at(0));
        lease
    };
    assert_eq!(most(&mut two), 40);
    one.restate("k", Some(&small)).unwrap();
    assert_eq!(most(&mut two), 90);
    one.restate("k", None).unwrap();
    assert!(one.has_news(at(0)).unwrap(), "it looks whether anybody else has it");
    assert_eq!(rows::kept_by_others(&two.database, "b", &two.process).unwrap(), []);
}

#[test]
fn many_budgets_later_the_file_is_as_small_as_before() {
    let home = Home::new();
    let mut file = home.open();
    let size = |file: &BudgetFile| -> i64 {
        file.database.query_row("SELECT page_count FROM pragma_page_count()", [], |row| row.get(0)).unwrap()
    };
    let mut after_some = 0;
    for number in 0..120 {
        let (budget, limit) = (format!("http://host{number} anonymous"), limit(10, 1));
        let (key, now) = (crate::core::BudgetKey(budget.clone()).window(&limit), at(number));
        file.beat(now).unwrap();
        join_budget(&mut file, &budget, &[(&key, &limit)], now);
        file.lease(&key, &limit, 3, now).unwrap();
        file.lease(&key, &limit, 30, now).unwrap();
        file.close(&budget, now + SECOND, now).unwrap();
        give_back(&mut file, &key, &[(now + SECOND, 2)], now);
        if number == 40 {
            after_some = size(&file);
        }
    }
    assert_eq!(size(&file), after_some);
    for table in ["leases", "held", "users", "windows", "closed"] {
        let rows: i64 =
            file.database.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
        assert!(rows <= 1, "{rows} in {table}");
    }
    assert!(file.watch.limits.is_empty());
}
