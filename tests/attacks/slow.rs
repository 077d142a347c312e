//! Peers that take their time: silent ones, halves of messages, replies that nobody reads, and other languages.

use crate::peer::*;

const ENRICH: &str = "AlertEnrichmentService/EnrichAlert";

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_have_so_many_places_and_lose_them() {
    let mut victim = Victim::start(&[]).await;
    let address = victim.address();
    let attack = tokio::task::spawn_blocking(move || {
        let mut silent: Vec<_> = (0..500).map(|_| Peer::silent(address)).collect();
        for peer in silent.iter_mut().skip(400) {
            peer.frame(SETTINGS, 0, 0, &[]); // A preface without an end.
            peer.send();
        }
        for mut peer in silent {
            peer.read_to_the_end();
        }
    });
    while !attack.is_finished() {
        victim.answers().await;
        victim.answers_a_newcomer().await;
    }
    attack.await.unwrap();
    println!("silent connections: {} MiB more", victim.grown());
    assert!(victim.grown() <= 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn halves_of_messages_take_bounded_memory_and_end() {
    let arguments = ["--query-seconds", "2", "--ingest-seconds", "2", "--max-buffered-bytes", "16777216"];
    let mut victim = Victim::start(&arguments).await;
    let address = victim.address();
    let attack = tokio::task::spawn_blocking(move || {
        let mut peers: Vec<_> = (0..30).map(|_| Peer::connect(address)).collect();
        for peer in &mut peers {
            peer.agree();
            for number in 0..40 {
                let stream = 2 * number + 1;
                peer.call(stream, "IngestService/IngestActivities", 0);
                let mut half = vec![0, 0, 0x80, 0, 0]; // The first of 8 MiB.
                half.resize(16_000, 0);
                peer.frame(DATA, 0, stream, &half);
            }
            peer.send();
        }
        // The last of the room is refused, the rest ends when its time is over.
        for peer in &mut peers {
            peer.read_heads(40);
        }
    });
    let mut grown = 0;
    while !attack.is_finished() {
        victim.answers().await;
        grown = grown.max(victim.grown());
    }
    attack.await.unwrap();
    victim.answers_a_newcomer().await;
    println!("half messages: at most {grown} MiB more");
    assert!(grown <= 128, "{grown} MiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_that_nobody_reads_take_bounded_memory_and_end_their_connections() {
    let mut victim = Victim::start(&["--max-buffered-bytes", "33554432", "--reply-seconds", "5"]).await;
    victim.knows_much_of("john@contoso.com").await;
    let address = victim.address();
    let attack = tokio::task::spawn_blocking(move || {
        let question = timeline("john@contoso.com"); // A few bytes, of which 2 MB come.
        let mut peers: Vec<_> = (0..20).map(|_| Peer::connect(address)).collect();
        for peer in &mut peers {
            peer.frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]); // No window for replies.
            peer.frame(WINDOW_UPDATE, 0, 0, &0x3fff_ffff_u32.to_be_bytes());
            peer.send();
            for number in 0..50 {
                peer.ask(2 * number + 1, "AlertEnrichmentService/ListUserActivities", &question);
            }
        }
        for mut peer in peers {
            peer.read_to_the_end();
        }
    });
    let mut grown = 0;
    while !attack.is_finished() {
        victim.answers().await;
        grown = grown.max(victim.grown());
    }
    attack.await.unwrap();
    victim.answers_a_newcomer().await;
    println!("unread replies: at most {grown} MiB more");
    assert!(grown <= 256, "{grown} MiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn row_94_other_languages_are_hung_up_on() {
    let mut victim = Victim::start(&[]).await;
    let address = victim.address();
    let hello = [&[0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3][..], &[7; 194]].concat();
    let noise = (0..20_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for words in [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), noise, hello, vec![0; 64]] {
        let attack = tokio::task::spawn_blocking(move || {
            let mut peer = Peer::silent(address);
            peer.bytes(&words);
            peer.send();
            peer.read_to_the_end()
        });
        attack.await.unwrap();
        victim.answers().await;
        victim.answers_a_newcomer().await;
    }
    let attack = tokio::task::spawn_blocking(move || {
        let mut peer = Peer::connect(address);
        peer.call(1, ENRICH, END_STREAM);
        peer.send();
        peer.read_heads(1); // HTTP/2 is what is spoken.
    });
    attack.await.unwrap();
}
