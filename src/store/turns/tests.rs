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
    is(turns.take("prod", "a").await, long);
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

/// A store that is only restarting is waited for; one that is known to be away is not.
#[tokio::test]
async fn whoever_looks_at_a_store_that_is_away_tries_once() {
    let config = Config {
        turn_wait: crate::value::Duration::from_millis(1200),
        ..Config::at("postgres://dtgate@127.0.0.1:1/dtgate".parse().unwrap())
    };
    let turns = Turns::new(&config, "gate", Duration::from_secs(1));
    let took = async || {
        let begun = Instant::now();
        turns.take("prod", "a").await.unwrap_err();
        begun.elapsed()
    };
    assert!(took().await >= Duration::from_millis(900));
    let long = Instant::now().checked_sub(Duration::from_mins(1)).unwrap();
    let tried = |turns: &Turns| turns.0.trouble().unwrap().tried;
    turns.0.trouble.lock().unwrap().as_mut().unwrap().since = long;
    tokio::time::sleep(AGAIN).await;
    let before = tried(&turns);
    assert!(took().await < Duration::from_millis(600));
    assert!(tried(&turns) > before, "it did not look");
}

/// A session may end without anybody having asked in it: that a change would have to wait is found before one does.
#[tokio::test]
async fn where_no_session_is_there_it_is_looked_whether_one_can_be_had() {
    let turns = turns();
    let long = Instant::now();
    while turns.0.trouble().is_none() {
        assert!(long.elapsed() < Duration::from_secs(30), "it never tried");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // As far as is known all is well, and yet there is no session.
    turns.0.trouble.lock().unwrap().take();
    assert!(turns.goes_well()() && turns.0.usable().is_none());
    tokio::time::sleep(LONGEST_AGAIN + Duration::from_secs(1)).await;
    assert!(!turns.goes_well()(), "nobody has looked");
}

/// Where nobody changes anything, somebody has to look.
#[tokio::test]
async fn while_turns_cannot_be_had_it_is_looked_whether_they_can() {
    let turns = turns();
    turns.0.note(&StoreError::Timeout(Duration::from_secs(1)));
    let before = turns.0.trouble().unwrap().tried;
    tokio::time::sleep(LONGEST_AGAIN + Duration::from_secs(1)).await;
    assert!(turns.0.trouble().unwrap().tried > before);
    assert!(!turns.goes_well()());
}
