//! A process that slept while another took the store: nothing of it lands, and it is told why. Without the guard it
//! would land, which shows that the test would notice.

use entities::{Entry, Mode, StoreError};
use serde_json::json;
use store_postgres::Control;
use store_testing::Fixture;
use store_testing::plans::{batch, begin_request, plan, spec};

use crate::database::{Database, landing};

#[test]
fn whoever_was_taken_over_lands_nothing() {
    for (control, lands) in [(Control::None, false), (Control::NoEpoch, true)] {
        let Some(database) = Database::new() else { return };
        let plan = plan("p", vec![spec("t", Mode::Append, &[])]);
        let mut sleeper = database.open_as(control).unwrap();
        let begun = sleeper.begin(&begin_request(&plan)).unwrap();
        // Its session ends while it sleeps, and another process takes the run over.
        database.cluster.terminate_clients(&database.name);
        let mut other = Fixture::at(database.again());
        let run = other.begin(&plan);
        assert_eq!(run, begun.run);
        other.land(run, 0, 0, json!([{"a": "other"}]));
        other.store = None;

        let landing = landing(run, 1000, &json!([{"a": "sleeper"}]));
        let outcome = sleeper.commit(vec![Entry::Land(Box::new(landing))]);
        drop(sleeper);
        match outcome {
            Ok(_) => assert!(lands),
            Err(StoreError::TakenOver { holder, .. }) => {
                assert!(!lands);
                assert!(holder.starts_with("syncctl run test.toml (pid"), "{holder}");
            }
            Err(other) => panic!("{other}"),
        }
        // What it thinks the table is like is out of date as well: it gives its field another column.
        let expected = if lands { "2" } else { "1" };
        assert_eq!(database.ask("SELECT count(*) FROM t"), expected, "{control:?}");
    }
}

#[test]
fn a_holder_that_lives_is_named() {
    let Some(database) = Database::new() else { return };
    let first = database.open_as(Control::None).unwrap();
    match database.open_as(Control::None) {
        Err(StoreError::Locked { store, holder }) => {
            assert!(holder.starts_with("syncctl run test.toml (pid"), "{holder}");
            assert!(store.contains(&database.name), "{store}");
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("two have it"),
    }
    drop(first);
    assert_eq!(database.ask("SELECT state FROM _sync_lease"), "closed");
    database.open_as(Control::None).unwrap();
}

#[test]
fn an_operator_can_stop_a_process_by_the_lease() {
    let Some(database) = Database::new() else { return };
    let plan = plan("p", vec![spec("t", Mode::Append, &[])]);
    let mut f = Fixture::at(database.again());
    let run = f.begin(&plan);
    database.ask("UPDATE _sync_lease SET state = 'stopped'");
    let landing = f.landing(run, 0, 0, Ok(batch(&json!([{"a": 1}]))));
    let outcome = f.store().commit(vec![Entry::Land(Box::new(landing))]);
    assert!(matches!(outcome, Err(StoreError::TakenOver { .. })), "{outcome:?}");
}
