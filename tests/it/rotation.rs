//! Secrets while they are changed: processes that know both stand beside those that know the old one only.

use kombo_mirror::simulator;

use crate::support::app::SECRET;
use crate::support::world::{Server, World};

const NEW_SECRET: &str = "the-next-secret";

impl Server {
    async fn takes_webhook_signed_with(&self, secret: &str) -> u16 {
        let body = r#"{"id":"event-1","type":"data-changed","data":{}}"#;
        let answer = reqwest::Client::new()
            .post(format!("http://{}/webhooks/kombo", self.address))
            .header(
                "X-Kombo-Signature",
                simulator::sign(secret, body.as_bytes()),
            )
            .body(body);
        answer.send().await.expect("it answers").status().as_u16()
    }

    async fn lets_in(&self, token: &str) -> u16 {
        let answer = reqwest::Client::new()
            .get(format!(
                "http://{}/graphql?query=%7B__typename%7D",
                self.address
            ))
            .bearer_auth(token);
        answer.send().await.expect("it answers").status().as_u16()
    }
}

// F56: whoever has the old secret is served to the end of the rotation, by every process.
#[tokio::test(flavor = "multi_thread")]
async fn while_processes_are_restarted_the_old_secrets_work_everywhere() {
    let world = World::new().await;
    let before = [("ROLE", "api"), ("API_READ_TOKENS", "old")];
    let both = format!("{NEW_SECRET},{SECRET}");
    let after = [
        ("ROLE", "api"),
        ("API_READ_TOKENS", "new,old"),
        ("KOMBO_WEBHOOK_SECRET", both.as_str()),
    ];
    let old = world.start_with(&before).await;
    let new = world.start_beside(&after).await;
    for server in [&old, &new] {
        assert_eq!(server.takes_webhook_signed_with(SECRET).await, 200);
        assert_eq!(server.lets_in("old").await, 200);
    }
    assert_eq!(new.takes_webhook_signed_with(NEW_SECRET).await, 200);
    assert_eq!(new.lets_in("new").await, 200);
    assert_eq!(old.takes_webhook_signed_with(NEW_SECRET).await, 401);
    assert_eq!(old.lets_in("new").await, 401);
}
