//! What is read from a parent's table: the rows that are roots, and the lists that are multiplied.

use super::*;

#[test]
fn rows_of_the_parent_are_read_when_it_has_ended_and_gaps_are_done() {
    let mut manager = TaskManager::new(TaskId(50));
    let feed = Feed {
        roots: Roots::Rows { batch: None },
        progress: progress(0, vec![7], 0),
        ..feed(0, 0, vec![], 0)
    };
    let lane = manager.open(feed);
    assert_eq!(manager.wants_rows(lane), None);
    assert!(!manager.is_exhausted(lane));
    manager.open_rows(lane);
    let (after, limit) = manager.wants_rows(lane).unwrap();
    assert_eq!((after, manager.wants_rows(lane)), (0, None), "one read at a time");
    let row = |number| (number, Ok(Some(bound(json!(number)))));
    let rows = vec![row(3), (4, Ok(None)), row(7), row(9), (11, Err(no_number()))];
    assert!(rows.len() < limit);
    manager.rows(lane, rows, Moment(0));
    let tasks: Vec<_> = std::iter::from_fn(|| take(&mut manager)).collect();
    assert_eq!(tasks.iter().map(|task| task.combination.unwrap()).collect::<Vec<_>>(), [3, 9]);
    let unsent = manager.take_unsent();
    assert_eq!((unsent[0].task.combination, &unsent[0].why), (Some(11), &Why::Failed(no_number())));
    assert_eq!(manager.landed(lane, &tasks[1]), Some(3));
    assert_eq!(manager.landed(lane, &tasks[0]), Some(11), "what had a row was done");
    assert!(manager.is_exhausted(lane));
}

#[test]
fn batches_of_rows_end_where_they_ended_before_a_resume() {
    let feed = |watermark, beyond| Feed {
        roots: Roots::Rows { batch: Some(2) },
        progress: progress(watermark, beyond, 0),
        ..feed(0, 0, vec![], 0)
    };
    // Rows 2, 4, 5, 7, 8, of which 4 drives nothing: batches of 2 and 5, of 7 and 8, and of 9.
    let rows = |after: u64| {
        let rows = [2, 4, 5, 7, 8, 9].into_iter().filter(move |row| *row > after);
        rows.map(|row| (row, Ok((row != 4).then(|| bound(json!(row)))))).collect::<Vec<_>>()
    };
    let mut manager = TaskManager::new(TaskId(50));
    let lane = manager.open(feed(0, vec![]));
    manager.open_rows(lane);
    let (after, _) = manager.wants_rows(lane).unwrap();
    manager.rows(lane, rows(after), Moment(0));
    let tasks: Vec<_> = std::iter::from_fn(|| take(&mut manager)).collect();
    let of = |task: &Task| (task.combination.unwrap(), task.bindings.0["n"].clone());
    let expected = [(2, json!([2, 5])), (7, json!([7, 8])), (9, json!([9]))];
    assert_eq!(tasks.iter().map(of).collect::<Vec<_>>(), expected);
    assert_eq!(manager.landed(lane, &tasks[1]), Some(2), "the first batch is not done");

    let mut manager = TaskManager::new(TaskId(90));
    let lane = manager.open(feed(2, vec![7]));
    manager.open_rows(lane);
    let (after, _) = manager.wants_rows(lane).unwrap();
    manager.rows(lane, rows(after), Moment(0));
    let tasks: Vec<_> = std::iter::from_fn(|| take(&mut manager)).collect();
    assert_eq!(tasks.iter().map(of).collect::<Vec<_>>(), [expected[0].clone(), expected[2].clone()]);
    assert_eq!(manager.landed(lane, &tasks[0]), Some(9));
    assert_eq!(manager.landed(lane, &tasks[1]), Some(10));
}

#[test]
fn a_resumed_reading_of_rows_goes_on_at_its_watermark() {
    let mut manager = TaskManager::new(TaskId(50));
    let lane = manager.open(Feed {
        roots: Roots::Rows { batch: None },
        progress: progress(6, vec![8], 0),
        ..feed(0, 0, vec![], 0)
    });
    manager.open_rows(lane);
    let (after, limit) = manager.wants_rows(lane).unwrap();
    assert_eq!(after, 5);
    // A full chunk: there may be more.
    let rows = (6..6 + limit as u64).map(|row| (row, Ok((row == 8 || row == 9).then(|| bound(json!(row))))));
    manager.rows(lane, rows.collect(), Moment(0));
    assert_eq!(all(&mut manager), [Some(9)]);
    assert_eq!(manager.wants_rows(lane).unwrap().0, 5 + limit as u64);
}

#[test]
fn nothing_is_begun_before_its_lists_are_read() {
    /// A slice for each value of the list.
    #[derive(Debug)]
    struct Listed;
    impl Rules for Listed {
        fn cursor(&self, landed: &Value, _: &Bindings) -> Value {
            landed.clone()
        }
        fn slices_heads(&self) -> bool {
            true
        }
        fn slices(
            &self,
            head: &Bindings,
            lists: &Lists,
            _: &dyn Fn(&Bindings) -> Option<Value>,
        ) -> Result<Slices, Failure> {
            let values = Values::List(lists.of("i")?);
            let expansion = Expansion::new(vec![Dimension { name: "i".to_owned(), values }]).unwrap();
            let part = Part { names: head.clone(), expansion, landed: None, from_cursor: false };
            Ok(Slices::new(["n".to_owned(), "i".to_owned()].into(), vec![part]).unwrap())
        }
        fn head(&self, slice: &Bindings) -> Bindings {
            slice.clone()
        }
        fn windows(&self) -> Option<&str> {
            None
        }
    }
    let list = ListName {
        name: "i".to_owned(),
        task: "others".to_owned(),
        batch: None,
        at: entities::Place::default(),
    };
    let feed = |open| Feed {
        roots: Roots::None,
        rules: Some(Arc::new(Listed)),
        lists: vec![list.clone()],
        progress: progress(0, vec![], open),
        ..feed(0, 0, vec![], 0)
    };
    let rows = |from: u64, to: u64| {
        let row =
            |row| (row, Ok(Some(Bindings(Arc::new([("i".to_owned(), json!(row))].into_iter().collect())))));
        (from..=to).map(row).collect::<Vec<_>>()
    };
    let failing = || vec![(1, Err(no_number()))];
    for (name, chunks, expected) in [
        ("two chunks", vec![rows(1, 512), rows(514, 520)], Ok(519)),
        ("none", vec![vec![]], Err(Why::Empty)),
        ("a full chunk and no more", vec![rows(1, 512), vec![]], Ok(512)),
        ("one that fails", vec![failing()], Err(Why::Failed(no_number()))),
    ] {
        let mut manager = TaskManager::new(TaskId(50));
        let lane = manager.open(feed(1));
        assert_eq!((manager.wants_list(lane), manager.wants_load(lane)), (None, None), "{name}");
        manager.open_lists(lane, None);
        let mut after = 0;
        for chunk in chunks {
            assert!(!manager.is_exhausted(lane) && manager.wants_load(lane).is_none(), "{name}");
            assert_eq!(manager.wants_list(lane), Some((0, after, 512)), "{name}");
            assert_eq!(manager.wants_list(lane), None, "{name}: it is being read");
            after = chunk.last().map_or(after, |(row, _)| *row);
            manager.list_rows(lane, 0, chunk);
        }
        assert_eq!(manager.wants_list(lane), None, "{name}");
        assert!(manager.wants_load(lane).is_some(), "{name}");
        assert!(manager.loaded(lane, vec![child(7, json!(1))], Moment(0)));
        let head = take(&mut manager);
        match expected {
            Ok(count) => {
                assert_eq!(head.unwrap().bindings.0["i"], json!(1), "{name}");
                assert_eq!(manager.remaining(lane), count - 1, "{name}");
            }
            Err(why) => assert_eq!(manager.take_unsent()[0].why, why, "{name}"),
        }
    }
    // What has nothing to do needs no list.
    let mut manager = TaskManager::new(TaskId(50));
    let lane = manager.open(feed(0));
    manager.open_lists(lane, None);
    assert_eq!(manager.wants_list(lane), None);
    assert!(manager.is_exhausted(lane));
}
