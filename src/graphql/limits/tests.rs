//! What a document measures, and that nothing makes the measuring itself dear.

use async_graphql::parser::parse_query;
use async_graphql::{OutputType as _, Request, Variables};
use proptest::prelude::*;
use serde_json::json;

use super::super::mutation::MutationRoot;
use super::super::query::QueryRoot;
use super::walk::{Document, measure};
use super::*;

fn registry() -> Registry {
    let mut registry = Registry::default();
    QueryRoot::create_type_info(&mut registry);
    MutationRoot::create_type_info(&mut registry);
    registry
}

fn measured(query: &str, variables: serde_json::Value) -> Result<Document, String> {
    let document = parse_query(query).expect("it parses");
    let variables = Variables::from_json(variables);
    measure(&index::Index::of(&registry()), &document, &variables, true)
        .map_err(|refusal| format!("{refusal:?}"))
}

fn complexity(query: &str) -> u64 {
    measured(query, json!({}))
        .expect("it is measured")
        .complexity
}

#[test]
fn a_list_counts_as_often_as_it_may_be_long() {
    for (query, values) in [
        ("{ __typename }", 1),
        ("{ users { totalCount } }", 2),
        // users, nodes, and 50 ids
        ("{ users { nodes { id } } }", 52),
        ("{ users(first: 3) { nodes { id } } }", 5),
        ("{ users(first: 0) { nodes { id } } }", 2),
        (
            "{ users(first: 3) { edges { cursor node { id komboId } } } }",
            14,
        ),
        // the page is the connection's, not its page info's
        (
            "{ users(first: 3) { pageInfo { endCursor } totalCount } }",
            4,
        ),
        (
            "query($n: Int = 7) { users(first: $n) { nodes { id } } }",
            9,
        ),
        // of each of 2 users: the list, its nodes, 3 of 2 values
        (
            "{ users(first: 2) { nodes { courseProgressions(first: 3) { nodes { id status } } } } }",
            2 + 2 * (2 + 3 * 2),
        ),
        // a plain list
        ("{ syncStatus { health } }", 11),
        (
            "{ a: users(first: 1) { totalCount } b: users(first: 1) { totalCount } }",
            4,
        ),
    ] {
        assert_eq!(complexity(query), values, "{query}");
    }
}

#[test]
fn a_fragment_counts_where_it_is_spread() {
    let query = "{ users(first: 10) { ...P } skills(first: 20) { nodes { ...S } } } \
        fragment P on UserConnection { nodes { ...U } } fragment U on User { id komboId } \
        fragment S on Skill { id ... on Skill { name } ... { name } }";
    assert_eq!(complexity(query), (2 + 10 * 2) + (2 + 20 * 3));
    let of = measured(query, json!({})).expect("it is measured");
    assert_eq!((of.depth, of.root_fields), (3, 2));
}

#[test]
fn a_dashboard_is_within_the_default_and_a_crawl_is_not() {
    let most = GraphqlSettings::default().complexity.most as u64;
    let dashboard = "{ users(first: 100) { nodes { id firstName lastName courseProgressions(first: 20) { nodes { \
        status completedAt courseRevision { title course { id komboId } } } } } } }";
    assert!(
        complexity(dashboard) < most / 10,
        "{}",
        complexity(dashboard)
    );
    let crawl = "{ courses(first: 500) { nodes { revisions(first: 500) { nodes { courseProgressions(first: 500) { \
        nodes { id } } } } } } }";
    assert!(complexity(crawl) > most * 50);
}

// F68
#[test]
fn a_page_outside_its_limits_is_refused_however_it_is_given() {
    for (query, variables) in [
        ("{ users(first: -1) { totalCount } }", json!({})),
        ("{ users(first: 501) { totalCount } }", json!({})),
        ("{ users(first: 2147483647) { totalCount } }", json!({})),
        (
            "{ users(first: 99999999999999999999) { totalCount } }",
            json!({}),
        ),
        (
            "query($n: Int) { users(first: $n) { totalCount } }",
            json!({ "n": -1 }),
        ),
        (
            "query($n: Int = 9999) { users(first: $n) { totalCount } }",
            json!({}),
        ),
        (
            "{ skills { totalCount } ...F } fragment F on Query { user(komboId: 1) { courseProgressions(first: 501) { totalCount } } }",
            json!({}),
        ),
    ] {
        // a number beyond 64 bits is no Int, which validation says
        let is_int = !query.contains("99999999999999999999");
        assert_eq!(measured(query, variables).is_err(), is_int, "{query}");
    }
    assert!(
        measured(
            "query($n: Int = 9999) { users(first: $n) { totalCount } }",
            json!({ "n": 5 })
        )
        .is_ok()
    );
}

// F64: each fragment spreads the next twice, so that the answer has 2^1000 fields
#[test]
fn fragments_that_double_are_measured_once_each() {
    let chain = |length: usize, ends: &str| -> String {
        let links: String = (0..length)
            .map(|n| format!("fragment F{n} on Query {{ ...F{} ...F{} }} ", n + 1, n + 1))
            .collect();
        format!("{{ ...F0 }} {links} fragment F{length} on Query {{ {ends} }}")
    };
    let refused = measured(&chain(1000, "__typename"), json!({})).expect_err("too deep");
    assert!(refused.contains("levels deep"), "{refused}");
    let refused = measured(&chain(40, "__typename"), json!({})).expect_err("too many");
    assert!(refused.contains("selections"), "{refused}");
    assert!(measured(&chain(5, "__typename"), json!({})).is_ok());
}

// F73
#[test]
fn a_cycle_of_fragments_ends_the_walk() {
    for cycle in [
        "{ ...A } fragment A on Query { ...A ...A }",
        "{ ...A } fragment A on Query { users { nodes { ...B } } } fragment B on User { ...A }",
        "{ __typename } fragment A on Query { ...B } fragment B on Query { ... { ...A } }",
    ] {
        let refused = measured(cycle, json!({})).expect_err("a cycle");
        assert!(refused.contains("spreads itself"), "{refused}");
    }
}

// F72
#[test]
fn introspection_by_the_usual_tools_passes_and_circles_do_not() {
    let of_type = "ofType { kind name ".repeat(9) + &"}".repeat(9);
    let standard = format!(
        "query IntrospectionQuery {{ __schema {{ description queryType {{ name kind }} mutationType {{ name kind }} \
         subscriptionType {{ name kind }} types {{ ...FullType }} directives {{ name description isRepeatable locations \
         args(includeDeprecated: true) {{ ...InputValue }} }} }} }} \
         fragment FullType on __Type {{ kind name description specifiedByURL isOneOf fields(includeDeprecated: true) {{ \
         name description args(includeDeprecated: true) {{ ...InputValue }} type {{ ...TypeRef }} isDeprecated \
         deprecationReason }} inputFields(includeDeprecated: true) {{ ...InputValue }} interfaces {{ ...TypeRef }} \
         enumValues(includeDeprecated: true) {{ name description isDeprecated deprecationReason }} \
         possibleTypes {{ ...TypeRef }} }} \
         fragment InputValue on __InputValue {{ name description type {{ ...TypeRef }} defaultValue isDeprecated \
         deprecationReason }} fragment TypeRef on __Type {{ kind name {of_type} }}"
    );
    let passed = measured(&standard, json!({})).expect("it passes");
    assert!(passed.depth <= GraphqlSettings::default().depth.most as u64);
    assert_eq!(passed.complexity, 1, "it does not count as data");
    for bomb in [
        "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }",
        "{ __schema { types { interfaces { possibleTypes { interfaces { name } } } } } }",
        "{ __type(name: \"User\") { fields { type { possibleTypes { fields { type { name } } } } } } }",
    ] {
        let refused = measured(bomb, json!({})).expect_err("a bomb");
        assert!(refused.contains("introspection"), "{refused}");
    }
    let twice = standard.replacen("__schema {", "a: __schema { types { ...FullType } } b: __schema { types { ...FullType } } c: __schema { types { ...FullType } } __schema {", 1);
    assert!(measured(&twice, json!({})).is_err());
}

#[test]
fn names_that_do_not_exist_are_counted() {
    let unknown = |count: usize| -> String {
        let fields: String = (0..count).map(|n| format!(" unknown{n}")).collect();
        format!("{{ users {{ totalCount {fields} }} }}")
    };
    assert!(measured(&unknown(20), json!({})).is_ok());
    let refused = measured(&unknown(21), json!({})).expect_err("too many");
    assert!(refused.contains("do not exist"), "{refused}");
}

#[test]
fn deep_variables_are_refused_and_wide_ones_are_not() {
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    let check = |value| check_depth_of(&Variables::from_json(json!({ "v": value })));
    assert!(check(deep).is_err());
    assert!(check(json!(vec![json!({ "a": [1, 2] }); 1000])).is_ok());
}

fn limits(settings: GraphqlSettings) -> Limits {
    Limits::new(settings, &registry())
}

#[test]
fn a_limit_that_only_warns_lets_pass() {
    let query = "{ users { nodes { id } } }";
    let depth = |only_warns| GraphqlSettings {
        depth: Limit {
            most: 2,
            only_warns,
        },
        ..GraphqlSettings::default()
    };
    assert!(
        limits(depth(false))
            .check(&mut Request::new(query))
            .is_err()
    );
    assert!(limits(depth(true)).check(&mut Request::new(query)).is_ok());
}

/// Parts of documents, right and wrong, that any text may be made of.
fn document() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[a-z]{1,8}",
        Just("__typename".to_owned()),
        Just("id".to_owned()),
        Just("...A".to_owned()),
        Just("...B @include(if: $x)".to_owned()),
        Just("a: totalCount".to_owned()),
    ];
    let set = leaf.prop_recursive(6, 60, 5, |inner| {
        let field = prop_oneof![
            Just("users"),
            Just("nodes"),
            Just("edges"),
            Just("node(id: 1)"),
            Just("users(first: $n)"),
            Just("courseProgressions(first: 500, first: -7)"),
            Just("__schema"),
            Just("types"),
            Just("fields"),
            Just("... on User"),
            Just("..."),
        ];
        (field, prop::collection::vec(inner, 0..5))
            .prop_map(|(field, below)| format!("{field} {{ {} }}", below.join(" ")))
    });
    (set.clone(), set.clone(), set).prop_map(|(root, a, b)| {
        format!(
            "query($n: Int = 3, $x: Boolean) {{ {root} }} fragment A on User {{ {a} }} fragment B on UserConnection {{ {b} }}"
        )
    })
}

proptest! {
    #[test]
    fn no_document_makes_the_check_panic(query in document(), n in any::<i64>(), cut in 0_usize..200) {
        let limits = limits(GraphqlSettings::default());
        let variables = Variables::from_json(json!({ "n": n }));
        let _ = limits.check(&mut Request::new(query.as_str()).variables(variables));
        let cut: String = query.chars().take(cut).collect();
        let _ = limits.check(&mut Request::new(cut));
    }

    #[test]
    fn no_text_makes_the_check_panic(query in ".*") {
        let _ = limits(GraphqlSettings::default()).check(&mut Request::new(query));
    }
}
