//! Very many frames that cost the peer next to nothing.

use crate::peer::*;

/// One peer may not make the server grow by more, whatever it does.
pub const GROWN_MAX: u64 = 64;

/// Attacks a server until it hangs up, and returns how many rounds that took and which frames came back.
async fn flood(name: &str, rounds: u32, round: impl Fn(&mut Peer, u32) + Send + 'static) -> (u32, Vec<u8>) {
    let mut victim = Victim::start(&[]).await;
    let address = victim.address();
    let attack = tokio::task::spawn_blocking(move || {
        let mut peer = Peer::connect(address);
        let lasted = (0..rounds).take_while(|number| {
            round(&mut peer, 2 * number + 1);
            peer.send()
        });
        let lasted = u32::try_from(lasted.count()).unwrap();
        (lasted, peer.read_to_the_end())
    });
    while !attack.is_finished() {
        victim.answers().await;
    }
    let (lasted, frames) = attack.await.unwrap();
    victim.answers_a_newcomer().await;
    let grown = victim.grown();
    println!("{name}: hung up within {lasted} rounds, {grown} MiB more");
    assert!(grown <= GROWN_MAX, "{name}: {grown} MiB");
    assert!(lasted < rounds, "{name}: the server never hung up");
    (lasted, frames)
}

const ENRICH: &str = "AlertEnrichmentService/EnrichAlert";

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_the_peer_makes_the_server_reset_end_the_connection() {
    let (_, frames) = flood("server-side resets", 20_000, |peer, stream| {
        peer.call(stream, ENRICH, 0);
        peer.frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes());
        peer.frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes());
    })
    .await;
    let resets = count_of(RST_STREAM, &frames);
    println!("server-side resets: {resets} sent");
    assert!(resets <= 1_100, "{resets}");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_the_peer_resets_at_once_end_the_connection() {
    flood("rapid resets", 200, |peer, stream| {
        for number in 0..500 {
            let stream = (stream / 2) * 1_000 + 2 * number + 1;
            peer.call(stream, ENRICH, 0);
            peer.frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_unpack_to_very_much_end_the_connection() {
    flood("header bomb", 2_000, |peer, stream| {
        let mut block = Vec::new();
        if stream == 1 {
            block.extend(literal(0x40, "x-bomb", &"b".repeat(3_900)));
        }
        block.extend([0xbe].repeat(15_000)); // The remembered header, again and again: 58 MB.
        peer.frame(HEADERS, END_HEADERS, stream, &block[..block.len().min(16_384)]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_streams_than_allowed_are_refused_and_end_the_connection() {
    let (_, frames) = flood("concurrent streams", 20_000, |peer, stream| peer.call(stream, ENRICH, 0)).await;
    assert!(frames.contains(&RST_STREAM), "first they are refused one by one");
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_without_an_end_end_the_connection() {
    flood("CONTINUATION", 10_000, |peer, stream| {
        let kind = if stream == 1 { HEADERS } else { CONTINUATION };
        peer.frame(kind, 0, 1, &literal(0, "x-more", "and more"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_data_without_an_end_ends_the_connection() {
    flood("empty DATA", 1_000, |peer, stream| {
        if stream == 1 {
            peer.call(1, ENRICH, 0);
        }
        (0..1_000).for_each(|_| peer.frame(DATA, 0, 1, &[]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_without_an_end_end_the_connection() {
    flood("PING", 1_000, |peer, _| (0..100).for_each(|_| peer.frame(PING, 0, 0, &[7; 8]))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_without_an_end_end_the_connection() {
    flood("SETTINGS", 1_000, |peer, _| (0..100).for_each(|_| peer.frame(SETTINGS, 0, 0, &[]))).await;
}
