//! How connections begin and end, with limits that a test need not wait long for.

use crate::raw::{Raw, framed};
use http::{Request, Response};
use hyper::body::Incoming;
use riskshare::transport;
use riskshare::transport::Serving;
use riskshare::transport::limits::Limits;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tonic::body::Body;

const SHORT: Duration = Duration::from_millis(200);

/// Serves a service that answers at once, but for a path that it never answers.
async fn serve(limits: Limits) -> (SocketAddr, Serving) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = tower::service_fn(|request: Request<Incoming>| async move {
        if request.uri().path() == "/never" {
            std::future::pending::<()>().await;
        }
        Ok::<_, Infallible>(Response::new(Body::empty()))
    });
    let workers = transport::Workers::start().unwrap();
    (address, transport::serve(listener, transport::Protocol::Http2, None, limits, workers, service))
}

/// Reads until the server hangs up.
async fn hung_up(stream: &mut TcpStream) {
    let mut buffer = [0; 1_024];
    while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
}

#[tokio::test]
async fn a_connection_that_asks_nothing_ends() {
    let (address, _serving) = serve(Limits { first_request: SHORT, ..Limits::default() }).await;
    let raw = Raw::connect(address).await;
    assert_eq!(raw.post("/quick").send(framed(b"")).await.unwrap().status.as_u16(), 200);
    for words in [&b""[..], b"PRI * HTTP/2.0\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"] {
        let mut silent = TcpStream::connect(address).await.unwrap();
        silent.write_all(words).await.unwrap();
        hung_up(&mut silent).await;
    }
    assert_eq!(raw.post("/quick").send(framed(b"")).await.unwrap().status.as_u16(), 200, "who asked stays");
}

#[tokio::test]
async fn an_old_connection_is_asked_to_leave_and_then_made_to() {
    let (address, _serving) = serve(Limits { age: SHORT, grace: SHORT, ..Limits::default() }).await;
    let raw = Raw::connect(address).await;
    assert!(raw.post("/never").send(framed(b"")).await.is_err(), "a call that does not end is cut off");
    let raw = Raw::connect(address).await;
    // Asked to leave, the client takes no further calls to this connection.
    while raw.post("/quick").send(framed(b"")).await.is_ok() {}
    assert_eq!(
        Raw::connect(address).await.post("/quick").send(framed(b"")).await.unwrap().status.as_u16(),
        200
    );
}

#[tokio::test]
async fn places_are_taken_and_given_back() {
    let limits = Limits { connections: 3, connections_per_address: 2, ..Limits::default() };
    let (address, _serving) = serve(limits).await;
    let first = Raw::connect(address).await;
    let second = Raw::connect(address).await;
    for raw in [&first, &second] {
        assert_eq!(raw.post("/quick").send(framed(b"")).await.unwrap().status.as_u16(), 200);
    }
    hung_up(&mut TcpStream::connect(address).await.unwrap()).await;
    drop(first);
    loop {
        // The place is free when the server has seen the end.
        let stream = TcpStream::connect(address).await.unwrap();
        let Ok((requests, connection)) = h2::client::handshake(stream).await else { continue };
        tokio::spawn(connection);
        let request = Request::post("http://localhost/quick").body(()).unwrap();
        let Ok(mut requests) = requests.ready().await else { continue };
        if requests.send_request(request, true).unwrap().0.await.is_ok() {
            break;
        }
    }
}

#[tokio::test]
async fn stopping_waits_for_calls_only_as_long_as_told_and_says_whether_all_had_ended() {
    let (address, serving) = serve(Limits::default()).await;
    let raw = Raw::connect(address).await;
    assert_eq!(raw.post("/quick").send(framed(b"")).await.unwrap().status.as_u16(), 200);
    assert!(serving.stop(Duration::from_mins(10)).await, "nobody is waited for");

    let (address, serving) = serve(Limits::default()).await;
    let raw = Raw::connect(address).await;
    let never = raw.post("/never").send(framed(b""));
    let stop = async {
        let other = Raw::connect(address).await; // Behind the first call, so that it has begun.
        assert_eq!(other.post("/quick").send(framed(b"")).await.unwrap().status.as_u16(), 200);
        drop(other);
        serving.stop(SHORT).await
    };
    let (cut_off, had_ended) = tokio::join!(never, stop);
    assert!(cut_off.is_err() && !had_ended);
}
