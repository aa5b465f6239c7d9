//! Whether anything said of an integration is new. It must never lock a row: crowds of webhooks ask.

use diesel::QueryResult;
use diesel::sql_types::Bool;
use diesel_async::{AsyncPgConnection, RunQueryDsl as _};

use super::Details;
use crate::db::Statement;
use crate::models;

/// SQL of whether there is nothing to register and nothing to note: so it is with nearly every webhook. `None`: what
/// is said must be looked at.
pub fn known(statement: &mut Statement, id: &str, details: &Details) -> Option<String> {
    if details.state.is_some() || details.setup_status.is_some() {
        return None;
    }
    let integration = statement.text(id);
    let said = statement.nullable_texts(vec![
        details.tool.clone(),
        details.category.clone(),
        details.organization_name.clone(),
        details.origin_id.clone(),
    ]);
    let endpoints: Vec<String> = models::ALL.iter().map(|one| one.name.to_owned()).collect();
    let endpoints = statement.texts(endpoints);
    Some(format!(
        "EXISTS (SELECT FROM integrations i, (SELECT {said}::text[] AS v) said \
           WHERE i.id = {integration} AND i.deleted_at IS NULL \
             AND COALESCE(v[1], i.tool) IS NOT DISTINCT FROM i.tool \
             AND COALESCE(v[2], i.category) IS NOT DISTINCT FROM i.category \
             AND COALESCE(v[3], i.organization_name) IS NOT DISTINCT FROM i.organization_name \
             AND COALESCE(v[4], i.origin_id) IS NOT DISTINCT FROM i.origin_id) \
         AND NOT EXISTS (SELECT FROM unnest((SELECT {endpoints}::text[])) AS e(name) WHERE NOT EXISTS (\
           SELECT FROM endpoint_states s WHERE s.integration_id = {integration} AND s.endpoint = e.name))"
    ))
}

/// Whether it is [`known`].
pub(super) async fn is_known(
    connection: &mut AsyncPgConnection,
    id: &str,
    details: &Details,
) -> QueryResult<bool> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = Bool)]
        known: bool,
    }
    let mut statement = Statement::fixed();
    let Some(known) = known(&mut statement, id, details) else {
        return Ok(false);
    };
    statement.push(&format!("SELECT {known} AS known"));
    let row: Row = statement.get_result(connection).await?;
    Ok(row.known)
}
