//! The second wall between tenants: a role that sees only the rows of the integrations named to it.
//!
//! Why here and not in a migration: a role belongs to the cluster. Several databases share it, a dump does not
//! contain it, and who may migrate may not always make one. So it is looked after whenever the schema is brought up
//! to date, and whoever relies on it asks [`check`] first. The policies themselves are a migration's.
//!
//! It must never be open by accident: what is missing ends in an error, not in rows.

use anyhow::bail;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sql_types::{Array, Bool, Nullable, Text};
use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl as _};

use super::{Pool, Statement};

/// Separates the ids in the setting `mirror.integrations`; no id contains it.
const SEPARATOR: &str = "\n";

/// Makes the role where it is missing, lets this user take it, and lets it read every table that has row-level
/// security. What this user may not do is left undone: [`check`] tells.
const RAISE: &str = "DO $$
DECLARE
    guarded regclass;
    taking text := CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'kombo_mirror_reader') THEN
        BEGIN
            CREATE ROLE kombo_mirror_reader NOLOGIN;
        EXCEPTION
            -- another database of the cluster is brought up to date at this moment
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'the role kombo_mirror_reader is missing and may not be made: %', SQLERRM;
                RETURN;
        END;
    END IF;
    IF NOT pg_has_role(current_user, 'kombo_mirror_reader', taking) THEN
        BEGIN
            GRANT kombo_mirror_reader TO CURRENT_USER;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'the role kombo_mirror_reader may not be taken: %', SQLERRM;
        END;
    END IF;
    BEGIN
        IF NOT has_schema_privilege('kombo_mirror_reader', current_schema(), 'USAGE') THEN
            EXECUTE format('GRANT USAGE ON SCHEMA %I TO kombo_mirror_reader', current_schema());
        END IF;
        FOR guarded IN
            SELECT oid::regclass FROM pg_class
            WHERE relrowsecurity AND relnamespace = current_schema()::regnamespace
            AND NOT has_table_privilege('kombo_mirror_reader', oid, 'SELECT')
        LOOP
            EXECUTE format('GRANT SELECT ON %s TO kombo_mirror_reader', guarded);
        END LOOP;
    EXCEPTION
        WHEN insufficient_privilege THEN
            RAISE NOTICE 'the role kombo_mirror_reader may not be let in: %', SQLERRM;
    END;
END
$$";

/// Sees to the role, as far as this user may.
pub(super) async fn raise(connection: &mut AsyncPgConnection) -> diesel::QueryResult<()> {
    use diesel_async::SimpleAsyncConnection as _;
    connection.batch_execute(RAISE).await
}

/// Puts the rest of the transaction behind the wall: it sees the rows of `integrations` and no others.
pub(super) fn raised_for(integrations: &[String]) -> Statement {
    let mut statement = Statement::fixed();
    let named = statement.text(integrations.join(SEPARATOR));
    statement.push(&format!(
        "SELECT set_config('row_security', 'on', true), set_config('role', 'kombo_mirror_reader', true), \
         set_config('mirror.integrations', {named}, true)"
    ));
    statement
}

#[derive(diesel::QueryableByName)]
struct Seen {
    #[diesel(sql_type = Text)]
    user: String,
    /// Tables whose rows the database hides from this user.
    #[diesel(sql_type = Array<Text>)]
    hidden: Vec<String>,
    /// Whether every guarded table can be read and hides rows; null where there is none.
    #[diesel(sql_type = Nullable<Bool>)]
    walled: Option<bool>,
}

const LOOK: &str = "SELECT current_user::text AS user, \
     coalesce(array_agg(relname::text ORDER BY relname) FILTER (WHERE row_security_active(oid)), '{}') AS hidden, \
     bool_and(row_security_active(oid) AND has_table_privilege(oid, 'SELECT')) AS walled \
     FROM pg_class WHERE relrowsecurity AND relnamespace = current_schema()::regnamespace";

/// Whether viewers of some integrations can be served: the wall stands, and this database user can go behind it.
///
/// # Errors
/// One sentence that says what an administrator of the database must run; or the database cannot be reached.
pub async fn check(pool: &Pool) -> anyhow::Result<()> {
    let mut connection = pool.get().await?;
    let own = diesel::sql_query(LOOK)
        .get_result::<Seen>(&mut connection)
        .await?;
    let user = &own.user;
    let remedy = format!(
        "let an administrator of the database run CREATE ROLE kombo_mirror_reader NOLOGIN; (where it is missing) and \
         GRANT kombo_mirror_reader TO \"{user}\"; and start the server again"
    );
    let behind = connection
        .transaction(async |connection| {
            raised_for(&[]).execute(connection).await?;
            diesel::sql_query(LOOK).get_result::<Seen>(connection).await
        })
        .await;
    let behind = match behind {
        Ok(behind) => behind,
        Err(DieselError::DatabaseError(DatabaseErrorKind::Unknown, _)) => bail!(
            "JWTs need the database role kombo_mirror_reader, which the database user {user} may not take: {remedy}"
        ),
        Err(error) => return Err(error.into()),
    };
    if behind.walled != Some(true) {
        bail!(
            "JWTs need the database role kombo_mirror_reader, and row-level security does not hold for it: it must be neither \
             superuser nor have BYPASSRLS, and must be allowed to read every table that has row-level security; {remedy}"
        );
    }
    Ok(())
}

/// Whether this database user sees every row by itself, as the sync and viewers of all integrations must.
///
/// # Errors
/// One sentence that says what an administrator of the database must run; or the database cannot be reached.
pub async fn check_owner(pool: &Pool) -> anyhow::Result<()> {
    let mut connection = pool.get().await?;
    let own = diesel::sql_query(LOOK)
        .get_result::<Seen>(&mut connection)
        .await?;
    if let [table, ..] = own.hidden.as_slice() {
        bail!(
            "row-level security hides rows of the table {table} from the database user {user}: use the tables' owner, or let an \
             administrator of the database run ALTER ROLE \"{user}\" BYPASSRLS;",
            user = own.user
        );
    }
    Ok(())
}
