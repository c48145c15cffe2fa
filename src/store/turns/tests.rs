use super::*;

/// Of a store that is nowhere.
fn turns() -> Turns {
    let config = Config {
        turn_wait: crate::value::Duration::from_millis(1),
        ..Config::at("postgres://dtgate@127.0.0.1:1/dtgate".parse().unwrap())
    };
    Turns::new(&config, "gate", Duration::from_secs(1))
}

#[tokio::test]
async fn while_one_looks_whether_the_store_is_there_the_others_do_not_wait() {
    let turns = turns();
    let most = Duration::from_millis(1);
    let long = Duration::from_secs(2);
    let is = |taken: Result<Turn, TurnError>, wanted: Duration| {
        assert!(matches!(taken, Err(TurnError::Away(away)) if away == wanted));
    };
    // Nobody knows yet: each waits.
    let looks = turns.0.looking.try_lock().unwrap();
    is(turns.take("prod", "a").await, most);
    drop(looks);
    let since = Instant::now().checked_sub(long).unwrap();
    turns.0.note(&StoreError::Timeout(most));
    turns.0.trouble.lock().unwrap().as_mut().unwrap().since = since;
    let looks = turns.0.looking.try_lock().unwrap();
    is(turns.take("prod", "a").await, long);
    drop(looks);
    is(turns.take("prod", "a").await, most);
    // What was seen long ago is not known.
    if let Some(trouble) = turns.0.trouble.lock().unwrap().as_mut() {
        trouble.tried = Instant::now().checked_sub(LONGEST_AGAIN * 2).unwrap();
    }
    let _looks = turns.0.looking.try_lock().unwrap();
    is(turns.take("prod", "a").await, most);
}

#[tokio::test]
async fn trouble_lasts_until_a_question_is_answered() {
    let turns = turns();
    let inner = &turns.0;
    let error = || StoreError::Timeout(Duration::from_secs(1));
    inner.note(&error());
    let since = inner.trouble().unwrap().since;
    for _ in 0..10 {
        inner.note(&StoreError::Other("another".to_owned()));
    }
    let trouble = inner.trouble().unwrap();
    assert_eq!(trouble.since, since);
    assert_eq!(trouble.pause, LONGEST_AGAIN);
    assert_eq!(turns.told().error.as_deref(), Some("another"));
    inner.answers();
    assert!(turns.told().ok);
}
