use std::time::Duration;

use tokio::time::{advance, timeout};

use super::*;

const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const TWO: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

fn places(most: usize, most_per_address: usize) -> Arc<Places> {
    Places::new(most, most_per_address, Metrics::new("test"))
}

/// A second passes after each, so that their order is known.
async fn take(places: &Arc<Places>, address: IpAddr) -> Taken {
    let taken = places.take(address).await.unwrap();
    advance(Duration::from_secs(1)).await;
    taken
}

async fn busy_for_a_second(taken: &Taken) {
    assert!(taken.0.busy());
    advance(Duration::from_secs(1)).await;
    taken.0.idle(Instant::now());
}

async fn is_told_to_leave(taken: &Taken) -> bool {
    let told = timeout(Duration::from_millis(1), taken.told_to_leave());
    told.await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn whoever_has_been_idle_for_longest_makes_room() {
    let places = places(3, 3);
    let first = take(&places, ONE).await;
    let second = take(&places, ONE).await;
    let third = take(&places, ONE).await;
    busy_for_a_second(&first).await;
    assert!(third.0.busy());

    let mut newcomer = Box::pin(places.take(TWO));
    assert!(
        timeout(Duration::from_secs(1), &mut newcomer)
            .await
            .is_err()
    );
    assert!(is_told_to_leave(&second).await);
    assert!(!is_told_to_leave(&first).await);
    // It does not have to be told twice, and nobody else leaves in its stead.
    assert!(
        timeout(Duration::from_secs(1), &mut newcomer)
            .await
            .is_err()
    );
    assert!(!is_told_to_leave(&first).await);
    assert!(!second.0.busy());
    drop(second);
    let newcomer = newcomer.await.unwrap();

    // Now it is the turn of the first: the third is busy, and the newcomer came later.
    let next = tokio::spawn({
        let places = places.clone();
        async move { places.take(TWO).await }
    });
    first.told_to_leave().await;
    assert!(!is_told_to_leave(&third).await);
    assert!(!is_told_to_leave(&newcomer).await);
    drop(first);
    assert!(next.await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn when_all_are_busy_the_first_to_become_idle_makes_room() {
    let places = places(2, 2);
    let first = take(&places, ONE).await;
    let second = take(&places, TWO).await;
    assert!(first.0.busy() && second.0.busy());
    let newcomer = tokio::spawn({
        let places = places.clone();
        async move { places.take(TWO).await.is_some() }
    });
    assert!(!is_told_to_leave(&first).await);
    assert!(first.0.is_busy() && second.0.is_busy());
    second.0.idle(Instant::now());
    second.told_to_leave().await;
    assert!(!is_told_to_leave(&first).await);
    drop(second);
    assert!(newcomer.await.unwrap());
    // What was parked and became idle without being needed stands where it belongs.
    first.0.idle(Instant::now());
    places.shrink();
    assert!(is_told_to_leave(&first).await || !first.0.is_busy());
}

#[tokio::test(start_paused = true)]
async fn an_address_makes_room_for_itself_or_is_refused() {
    let places = places(10, 2);
    let other = take(&places, TWO).await;
    let first = take(&places, ONE).await;
    let second = take(&places, ONE).await;
    let third = take(&places, ONE).await;
    assert!(is_told_to_leave(&first).await);
    assert!(!is_told_to_leave(&other).await);
    assert!(second.0.busy() && third.0.busy());
    assert!(places.take(ONE).await.is_none());
    assert!(places.take(TWO).await.is_some());
    drop(first);
    assert!(places.take(ONE).await.is_none());
    drop(second);
    assert!(places.take(ONE).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_of_those_that_are_gone() {
    let places = places(100, 100);
    let mut taken = Vec::new();
    for last in 0..100_u8 {
        let address = IpAddr::from([192, 0, 2, last % 7]);
        taken.push(take(&places, address).await);
    }
    for (index, taken) in taken.iter().enumerate() {
        match index % 3 {
            0 => assert!(taken.0.busy()),
            1 => busy_for_a_second(taken).await,
            _ => places.shrink(),
        }
    }
    drop(taken);
    let state = places.state();
    assert_eq!(state.open, 0);
    assert!(state.queue.is_empty() && state.addresses.is_empty());
}

#[test]
fn a_network_of_ipv6_counts_as_one_address() {
    let network = |text: &str| network(text.parse().unwrap());
    assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
    assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
    assert_eq!(network("::ffff:192.0.2.1"), ONE);
    assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
}
