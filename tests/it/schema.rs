//! The published schema: what `schema.graphql` promises is what the code offers, and all of it is explained.

use std::path::Path;

use kombo_mirror::graphql::Schema;
use serde_json::Value;

use crate::support::TestApp;

// design rule: the schema is a file that reviewers see change
#[test]
fn the_schema_file_is_what_the_code_offers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema.graphql");
    let sdl = Schema::new(None, &kombo_mirror::config::GraphqlSettings::default()).sdl();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &sdl).expect("schema.graphql is written");
    }
    let file = std::fs::read_to_string(&path).expect("schema.graphql is there");
    assert!(
        file == sdl,
        "schema.graphql is not what the code offers; run this test with UPDATE=1 and look at the difference"
    );
}

const EVERYTHING: &str = "{ __schema { types { kind name description \
    fields(includeDeprecated: true) { name description args { name description } } \
    inputFields { name description } \
    enumValues(includeDeprecated: true) { name description } } } }";

#[tokio::test(flavor = "multi_thread")]
async fn everything_in_the_schema_is_described() {
    let app = TestApp::start().await;
    let schema = app.query(EVERYTHING).await;
    let mut seen = 0;
    let mut bare = Vec::new();
    for ty in list(&schema["__schema"]["types"]) {
        let name = ty["name"].as_str().expect("a name");
        // introspection's own types, and the one scalar of the specification that the library leaves bare
        if name.starts_with("__") || name == "ID" {
            continue;
        }
        check(ty, name, &mut bare);
        for part in ["fields", "inputFields", "enumValues"] {
            for member in list(&ty[part]) {
                seen += 1;
                let place = format!("{name}.{}", member["name"].as_str().expect("a name"));
                check(member, &place, &mut bare);
                for argument in list(&member["args"]) {
                    let argument_place =
                        format!("{place}({})", argument["name"].as_str().expect("a name"));
                    check(argument, &argument_place, &mut bare);
                }
            }
        }
    }
    assert!(seen > 100, "only {seen} members were looked at");
    assert_eq!(bare, Vec::<String>::new(), "without a description");
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn check(described: &Value, place: &str, bare: &mut Vec<String>) {
    let description = described["description"].as_str().unwrap_or_default();
    if description.trim().is_empty() {
        bare.push(place.to_owned());
    }
}
