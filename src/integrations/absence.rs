//! Whether the absence of a record means anything (F42).
//!
//! Where Kombo has stopped reading the learning system, or no longer shows a model, a complete full fetch shows
//! fewer records although none was deleted.

use diesel::result::QueryResult;
use diesel::sql_types::{Array, Bool, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::db::Statement;
use crate::models::Endpoint;
use crate::models::table::Table;

/// Kombo's name of the model whose records a table holds.
fn model_of(table: &Table) -> String {
    format!("lms_{}", table.name)
}

/// Whether what a full fetch of an endpoint does not show may be taken for deleted: the integration works, and
/// none of the endpoint's models is switched off. A model that the connector never had, so that the mirror has
/// no row of it, says nothing about the others.
///
/// # Errors
/// Whatever Postgres says.
pub async fn absence_counts(
    connection: &mut AsyncPgConnection,
    integration_id: &str,
    endpoint: &Endpoint,
) -> QueryResult<bool> {
    let is_working = is_working(connection, integration_id, endpoint).await?;
    if !is_working {
        tracing::info!(
            integration.id = integration_id,
            endpoint = endpoint.name,
            "absence proves nothing: the integration or a model of the endpoint is off"
        );
    }
    Ok(is_working)
}

async fn is_working(
    connection: &mut AsyncPgConnection,
    integration_id: &str,
    endpoint: &Endpoint,
) -> QueryResult<bool> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = Bool)]
        works: bool,
        #[diesel(sql_type = Array<Text>)]
        unavailable_models: Vec<String>,
    }
    let mut statement = Statement::fixed();
    let id = statement.text(integration_id);
    statement.push(&format!(
        "SELECT state NOT IN ('INVALID', 'INACTIVE', 'DELETED') AS works, unavailable_models \
         FROM integrations WHERE id = {id}"
    ));
    let found: Vec<Row> = statement.get_results(connection).await?;
    let Some(row) = found.into_iter().next().filter(|row| row.works) else {
        return Ok(false);
    };
    for table in endpoint.tables {
        if row.unavailable_models.contains(&model_of(table))
            && has_rows(connection, integration_id, table).await?
        {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn has_rows(
    connection: &mut AsyncPgConnection,
    integration_id: &str,
    table: &Table,
) -> QueryResult<bool> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = Bool)]
        found: bool,
    }
    let mut statement = Statement::fixed();
    let id = statement.text(integration_id);
    statement.push(&format!(
        "SELECT EXISTS (SELECT FROM {} WHERE integration_id = {id} AND missing_since IS NULL AND NOT incomplete) AS found",
        table.name
    ));
    Ok(statement.get_result::<Row>(connection).await?.found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models;

    #[test]
    fn every_table_belongs_to_a_model_that_its_endpoint_knows() {
        for endpoint in models::ALL {
            for table in endpoint.tables {
                let model = model_of(table);
                let known = endpoint.webhook_models.iter();
                assert!(known.into_iter().any(|(name, _)| *name == model), "{model}");
            }
        }
    }
}
