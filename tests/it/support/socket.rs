//! A client of `graphql-transport-ws`, over a real socket.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Longer than anything takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Opens a socket; the error is the status of a refusal.
    pub(crate) async fn open(
        address: SocketAddr,
        protocol: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, u16> {
        let mut request = format!("ws://{address}/graphql/ws")
            .into_client_request()
            .expect("an address");
        let given = request.headers_mut();
        if !protocol.is_empty() {
            given.insert("sec-websocket-protocol", protocol.parse().expect("a name"));
        }
        for (name, value) in headers {
            given.insert(*name, value.parse().expect("a value"));
        }
        match connect_async(request).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            // the library ends here by itself where the server does not choose its protocol
            Err(error) => panic!("no socket: {error}"),
        }
    }

    /// A socket that speaks the protocol, and has said nothing yet.
    pub(crate) async fn silent(address: SocketAddr) -> Self {
        Self::open(address, "graphql-transport-ws", &[])
            .await
            .expect("a socket")
    }

    /// A socket whose client has said who it is.
    pub(crate) async fn of(address: SocketAddr, token: &str) -> Self {
        let mut socket = Self::silent(address).await;
        socket.init(token).await;
        assert_eq!(socket.hear().await, json!({ "type": "connection_ack" }));
        socket
    }

    pub(crate) async fn init(&mut self, token: &str) {
        let payload = json!({ "Authorization": format!("Bearer {token}") });
        self.say(&json!({ "type": "connection_init", "payload": payload }))
            .await;
    }

    pub(crate) async fn say(&mut self, message: &Value) {
        self.say_text(&message.to_string()).await;
    }

    pub(crate) async fn say_text(&mut self, text: &str) {
        let sent = self.0.send(Message::text(text)).await;
        sent.expect("the server hears");
    }

    pub(crate) async fn subscribe(&mut self, id: &str, query: &str) {
        let payload = json!({ "query": query });
        self.say(&json!({ "type": "subscribe", "id": id, "payload": payload }))
            .await;
    }

    /// The next message.
    pub(crate) async fn hear(&mut self) -> Value {
        loop {
            match self.next().await {
                Some(Ok(Message::Text(text))) => {
                    return serde_json::from_str(&text).expect("a message is JSON");
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no message but {other:?}"),
            }
        }
    }

    /// The data of the next event of a subscription.
    pub(crate) async fn event(&mut self, id: &str) -> Value {
        let mut heard = self.hear().await;
        assert_eq!(
            (&heard["type"], &heard["id"]),
            (&json!("next"), &json!(id)),
            "{heard}"
        );
        assert_eq!(heard["payload"].get("errors"), None, "{heard}");
        heard["payload"]["data"].take()
    }

    /// Says farewell; the code that the server answers with.
    pub(crate) async fn leave(mut self) -> u16 {
        let frame = CloseFrame {
            code: CloseCode::Normal,
            reason: "".into(),
        };
        self.0.close(Some(frame)).await.expect("the server hears");
        self.closed().await
    }

    /// The code that the server closes with.
    pub(crate) async fn closed(mut self) -> u16 {
        loop {
            match self.next().await {
                Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
                Some(Ok(_)) => {}
                other => panic!("no farewell but {other:?}"),
            }
        }
    }

    async fn next(&mut self) -> Option<Result<Message, Error>> {
        tokio::time::timeout(LIMIT, self.0.next())
            .await
            .expect("the server says something")
    }
}
