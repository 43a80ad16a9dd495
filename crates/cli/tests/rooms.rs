//! `/rooms/NAME` as documented: joining, the three ways to listen, and what is refused.

mod common;

use common::{Reply, Server, soon};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message as Frame;

const JSON: (&str, &str) = ("Content-Type", "application/json");

async fn join(server: &Server, body: &str) -> Reply {
    server.request("POST", "/rooms/kitchen", &[JSON], body).await
}

/// The path of a new session.
async fn member(server: &Server) -> String {
    let reply = join(server, "{}").await;
    assert_eq!(reply.status, 201, "{reply:?}");
    let joined: Value = serde_json::from_str(&reply.body).expect("JSON");
    format!("/rooms/kitchen/{}", joined["session"].as_str().expect("a session"))
}

async fn say(server: &Server, member: &str, messages: &Value) -> Reply {
    let path = format!("{member}/messages");
    server.request("POST", &path, &[JSON], &messages.to_string()).await
}

async fn poll(server: &Server, member: &str, after: u64) -> Value {
    let reply = server
        .request("GET", &format!("{member}/messages?after={after}"), &[], "")
        .await;
    assert_eq!(reply.status, 200, "{reply:?}");
    serde_json::from_str(&reply.body).expect("JSON")
}

/// A member hears the same events in each of the three ways, from where the last one ended.
#[tokio::test]
async fn a_member_changes_how_it_listens() {
    let server = Server::start();
    let first = member(&server).await;
    assert_eq!(say(&server, &first, &json!([1])).await.status, 409);
    let second = member(&server).await;
    let arrived = json!([{"number": 1, "event": "arrived"}]);
    assert_eq!(poll(&server, &first, 0).await, arrived);

    let url = format!("ws://{}{second}/ws?after=0", server.address);
    let (mut socket, _) = soon("upgrading", connect_async(url)).await.expect("a WebSocket");
    let mut heard = Vec::new();
    while !heard.contains(&arrived) {
        let frame = soon("a message", socket.next())
            .await
            .expect("an open WebSocket")
            .expect("a frame");
        heard.push(serde_json::from_str::<Value>(frame.to_text().expect("text")).expect("JSON"));
    }
    socket
        .send(Frame::text(json!(["by WebSocket", {"a": 2}]).to_string()))
        .await
        .expect("it reads");
    let events = poll(&server, &first, 1).await;
    assert_eq!(
        events[0],
        json!({"number": 2, "event": "message", "message": "by WebSocket"})
    );
    assert_eq!(events[1]["message"], json!({"a": 2}));
    socket.send(Frame::text("hello")).await.expect("it reads");
    let frame = loop {
        let frame = soon("a message", socket.next())
            .await
            .expect("an open WebSocket")
            .expect("a frame");
        if frame.to_text().is_ok_and(|text| text.contains("error")) {
            break frame;
        }
    };
    assert!(frame.to_text().expect("text").contains("no JSON array"), "{frame:?}");

    // Another way takes the place of the first.
    let mut stream = TcpStream::connect(server.address).await.expect("the program listens");
    let request = format!(
        "GET {second}/events?after=1 HTTP/1.1\r\nHost: {}\r\n\r\n",
        server.address
    );
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let closed = soon("the end of the WebSocket", async {
        while let Some(Ok(frame)) = socket.next().await {
            if frame.is_close() {
                return true;
            }
        }
        false
    });
    assert!(closed.await, "with a close frame");
    assert_eq!(say(&server, &first, &json!(["by events\n\r"])).await.status, 204);
    let mut text = String::new();
    soon("an event", async {
        while !text.contains("by events\\n\\r") {
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).await.expect("a stream");
            assert!(read > 0, "{text}");
            text.push_str(std::str::from_utf8(&buffer[..read]).expect("text"));
        }
    })
    .await;
    assert!(
        text.contains("text/event-stream") && text.contains("data: []"),
        "{text}"
    );

    let left = server.request("DELETE", &second, &[], "").await;
    assert_eq!(left.status, 204);
    assert_eq!(poll(&server, &first, 3).await, json!([{"number": 4, "event": "left"}]));
}

#[tokio::test]
async fn what_a_room_refuses() {
    let server = Server::start();
    let nobody = join(&server, "{\"create\": false}").await;
    assert_eq!(
        (nobody.status, nobody.error().as_str()),
        (404, "nobody is in this room")
    );
    let first = member(&server).await;
    let _second = member(&server).await;
    let third = join(&server, "{}").await;
    assert_eq!((third.status, third.header("retry-after")), (409, Some("2")));
    assert!(third.error().contains("two are in this room already"));

    let evil = [JSON, ("Origin", "http://evil.example")];
    assert_eq!(server.request("POST", "/rooms/kitchen", &evil, "{}").await.status, 403);
    let own = format!("http://{}", server.address);
    let own = [JSON, ("Origin", own.as_str())];
    assert_eq!(server.request("POST", "/rooms/kitchen", &own, "{}").await.status, 409);

    for (method, path, body, status) in [
        ("POST", "/rooms/a%20b", "{}", 400),
        ("POST", "/rooms/..%2f", "{}", 400),
        ("GET", "/rooms/kitchen", "", 405),
        ("POST", "/rooms/kitchen", "?", 400),
        ("DELETE", "/rooms/kitchen/0123", "", 404),
        ("DELETE", "/rooms/kitchen/nobody", "", 404),
        ("GET", "/rooms/kitchen/0123/events", "", 404),
        ("GET", "/rooms/kitchen/0123/ws", "", 400),
    ] {
        let reply = server.request(method, path, &[JSON], body).await;
        assert_eq!(reply.status, status, "{method} {path}: {reply:?}");
        reply.error();
    }
    let reply = server
        .request("GET", &format!("{first}/messages?after=x"), &[], "")
        .await;
    assert_eq!(reply.status, 400, "{reply:?}");
    assert_eq!(say(&server, &first, &json!({"not": "a list"})).await.status, 422);
    assert_eq!(say(&server, &first, &json!(vec![0; 65])).await.status, 413);
    assert_eq!(say(&server, &first, &json!(vec![0; 64])).await.status, 204);

    // The other one listens to nothing of it: there is an end to what is kept.
    let long = json!(["m".repeat(100_000)]);
    let mut taken = 0;
    while say(&server, &first, &long).await.status == 204 {
        taken += 1;
        assert!(taken < 20);
    }
    assert_eq!(say(&server, &first, &json!([])).await.status, 204);
    let servers = server.request("GET", "/ice-servers", &[], "").await;
    assert_eq!((servers.status, servers.body.as_str()), (200, "[]"));
}
