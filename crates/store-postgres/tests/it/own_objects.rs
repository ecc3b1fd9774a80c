//! What users make beside our tables: constraints, triggers, views, indexes, columns of another type.

use entities::{Entry, Mode, ResumeMode, RunEnd, StoreError};
use serde_json::json;
use store_testing::Fixture;
use store_testing::plans::{batch, plan, spec};

use crate::database::Database;

#[test]
fn what_a_users_constraint_refuses_fails_its_landing_only() {
    let refusals = [
        ("CREATE UNIQUE INDEX mine ON t (a)", "duplicate key"),
        ("ALTER TABLE t ADD CONSTRAINT mine CHECK (a <> 1) NOT VALID", "check constraint"),
        ("ALTER TABLE t ADD CONSTRAINT mine UNIQUE (a) DEFERRABLE INITIALLY DEFERRED", "duplicate key"),
        (
            "CREATE FUNCTION mine() RETURNS trigger LANGUAGE plpgsql AS
             $$BEGIN IF NEW.a = 1 THEN RAISE EXCEPTION 'not this one'; END IF; RETURN NEW; END$$;
             CREATE TRIGGER mine BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION mine()",
            "not this one",
        ),
    ];
    for (made, words) in refusals {
        let Some(database) = Database::new() else { return };
        let mut f = Fixture::at(database.again());
        let plan = plan("p", vec![spec("t", Mode::Append, &[])]);
        let run = f.begin(&plan);
        f.land(run, 0, 0, json!([{"a": 1}]));
        database.ask(made);
        let good = f.landing(run, 0, 1, Ok(batch(&json!([{"a": 2}]))));
        let bad = f.landing(run, 0, 2, Ok(batch(&json!([{"a": 3, "new": 1}, {"a": 1, "new": 1}]))));
        let last = f.landing(run, 0, 3, Ok(batch(&json!([{"a": 4}]))));
        let committed = f.commit([good, bad, last].map(|l| Entry::Land(Box::new(l))).into());
        let failed = committed[1].failed.as_ref().unwrap();
        assert!(failed.message.contains(words), "{made}: {}", failed.message);
        // The store goes on, and the column that was rolled back can come again.
        f.land(run, 0, 4, json!([{"a": 5, "new": 2}]));
        let rows =
            database.ask("SELECT string_agg(a || ':' || coalesce(new::text, ''), ' ' ORDER BY a) FROM t");
        assert_eq!(rows, "1: 2: 4: 5:2", "{made}");
    }
}

#[test]
fn replace_keeps_views_indexes_and_grants() {
    let Some(database) = Database::new() else { return };
    let mut f = Fixture::at(database.again());
    let plan = plan("p", vec![spec("t", Mode::Replace, &[])]);
    let run = f.begin(&plan);
    f.land(run, 0, 0, json!([{"a": 1, "b": "old"}, {"a": 2, "b": "old"}]));
    f.end(run, &[(0, 0)], RunEnd::Complete);
    database
        .ask("CREATE VIEW mine AS SELECT a FROM t; CREATE INDEX by_a ON t (a); GRANT SELECT ON t TO PUBLIC");
    let run = f.begin(&plan);
    f.land(run, 0, 0, json!([{"a": 3, "c": "new"}]));
    assert_eq!(database.ask("SELECT string_agg(a::text, ',' ORDER BY a) FROM mine"), "1,2");
    f.end(run, &[(0, 0)], RunEnd::Complete);
    assert_eq!(database.ask("SELECT a FROM mine"), "3");
    assert_eq!(database.ask("SELECT c, b FROM t"), "new|");
    assert_eq!(database.ask("SELECT count(*) FROM pg_class WHERE relname = 'by_a'"), "1");
    assert_eq!(database.ask("SELECT count(*) FROM pg_class WHERE relname LIKE '%stage%'"), "0");
}

#[test]
fn a_view_that_needs_a_columns_type_is_named() {
    let Some(database) = Database::new() else { return };
    let mut f = Fixture::at(database.again());
    let plan = plan("p", vec![spec("t", Mode::Append, &[])]);
    let run = f.begin(&plan);
    f.land(run, 0, 0, json!([{"a": 1}]));
    database.ask("CREATE VIEW mine AS SELECT a FROM t");
    let landing = f.landing(run, 0, 1, Ok(batch(&json!([{"a": "x"}]))));
    let error = f.store().commit(vec![Entry::Land(Box::new(landing))]).unwrap_err().to_string();
    for words in ["`t`", "view landed.mine", "drop the view"] {
        assert!(error.contains(words), "{error}");
    }
    // Without it the store goes on.
    database.ask("DROP VIEW mine");
    f.land(run, 0, 2, json!([{"a": "x"}]));
    assert_eq!(database.ask("SELECT string_agg(a, ',' ORDER BY a) FROM t"), "1,x");
}

#[test]
fn what_is_no_table_of_ours_is_left_alone() {
    for made in ["CREATE TABLE t (x int)", "CREATE VIEW \"T\" AS SELECT 1", "CREATE SEQUENCE t"] {
        let Some(database) = Database::new() else { return };
        let mut f = Fixture::at(database.again());
        database.ask(made);
        let plan = plan("p", vec![spec("t", Mode::Append, &[])]);
        match f.try_begin(&plan, ResumeMode::Auto) {
            Err(StoreError::Foreign { owner, .. }) => {
                assert!(owner.contains("somebody else"), "{made}: {owner}")
            }
            other => panic!("{made}: {other:?}"),
        }
    }
}

#[test]
fn a_column_whose_type_was_changed_is_named() {
    let Some(database) = Database::new() else { return };
    let mut f = Fixture::at(database.again());
    let plan = plan("p", vec![spec("t", Mode::Append, &[])]);
    let run = f.begin(&plan);
    f.land(run, 0, 0, json!([{"a": 1, "b": 2}]));
    database
        .ask("ALTER TABLE t ALTER a TYPE int; ALTER TABLE t DROP b; ALTER TABLE t ADD mine text DEFAULT 'x'");
    f.open();
    let run = f.begin(&plan);
    let landing = f.landing(run, 0, 1, Ok(batch(&json!([{"a": 1, "b": 3}]))));
    let error = f.store().commit(vec![Entry::Land(Box::new(landing))]).unwrap_err().to_string();
    assert!(error.contains("column `a` of table `t` has become integer"), "{error}");
    database.ask("ALTER TABLE t ALTER a TYPE bigint");
    f.land(run, 0, 2, json!([{"a": 2, "b": 3}]));
    assert_eq!(database.ask("SELECT a, b, mine FROM t WHERE a = 2"), "2|3|x");
}
