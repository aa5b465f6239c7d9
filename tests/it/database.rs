//! The migrated database: it can be taken back, it is what the code believes, and it can be distributed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use diesel_async::RunQueryDsl as _;
use kombo_mirror::db::{self, Pool};
use kombo_mirror::models;
use kombo_mirror::models::table::ColumnKind;

use crate::support::database::TestDatabase;

/// Tables of the migrations' own book-keeping.
const NOT_OURS: &str = "__diesel_schema_migrations";

const MIRROR: [&str; 7] = [
    "users",
    "courses",
    "course_revisions",
    "course_providers",
    "skills",
    "course_revision_skills",
    "course_progressions",
];

/// Name, type and nullability of the columns of a table, in order.
type Columns = Vec<(String, String, bool)>;

fn pool(database: &TestDatabase) -> Pool {
    db::pool(&database.url().into(), 1).expect("a pool")
}

async fn texts(pool: &Pool, sql: &str) -> Vec<String> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::Text)]
        text: String,
    }
    let mut connection = pool.get().await.expect("a connection");
    let rows: Vec<Row> = diesel::sql_query(sql)
        .get_results(&mut connection)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    rows.into_iter().map(|row| row.text).collect()
}

async fn columns(pool: &Pool) -> BTreeMap<String, Columns> {
    let sql = "SELECT concat_ws('|', table_name, column_name, data_type, is_nullable) AS text \
         FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, ordinal_position";
    let mut tables = BTreeMap::<String, Columns>::new();
    for line in texts(pool, sql).await {
        let parts: Vec<&str> = line.split('|').collect();
        if parts[0] != NOT_OURS {
            let column = (parts[1].to_owned(), parts[2].to_owned(), parts[3] == "YES");
            tables.entry(parts[0].to_owned()).or_default().push(column);
        }
    }
    tables
}

async fn indexes(pool: &Pool) -> Vec<String> {
    texts(
        pool,
        "SELECT indexdef AS text FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexname",
    )
    .await
}

// house rule 13: down.sql is tried
#[tokio::test(flavor = "multi_thread")]
async fn every_migration_can_be_reverted_and_applied_again() {
    let database = TestDatabase::migrated().await;
    let pool = pool(&database);
    let before = (columns(&pool).await, indexes(&pool).await);
    let count = db::revert_all(&pool).await.expect("reverting works");
    assert!(count >= 2);
    assert_eq!(columns(&pool).await, BTreeMap::new(), "something is left");
    let types = "SELECT typname::text AS text FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace \
                 WHERE nspname = 'public' AND typname NOT LIKE '%diesel%'";
    assert_eq!(texts(&pool, types).await, Vec::<String>::new());
    assert_eq!(db::migrate(&pool).await.expect("applying works"), count);
    assert_eq!((columns(&pool).await, indexes(&pool).await), before);
    assert_eq!(db::migrate(&pool).await.expect("nothing is pending"), 0);
}

pub(crate) fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every `diesel::table!` of the sources.
fn declared() -> BTreeMap<String, Columns> {
    let mut files = Vec::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut files,
    );
    let mut tables = BTreeMap::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a source");
        for block in text.split("diesel::table! {").skip(1) {
            let (name, columns) = declared_table(block);
            assert!(
                tables.insert(name.clone(), columns).is_none(),
                "{name} is declared twice"
            );
        }
    }
    tables
}

fn declared_table(block: &str) -> (String, Columns) {
    let mut name = String::new();
    let mut columns = Columns::new();
    let mut sql_name = None;
    for line in block.lines().map(str::trim) {
        if line == "}" {
            break;
        } else if let Some(name) = line.strip_prefix("#[sql_name = \"") {
            sql_name = name.split('"').next();
        } else if let Some((column, ty)) = line.split_once(" -> ") {
            let column = sql_name.take().unwrap_or(column);
            columns.push(declared_column(column, ty.trim_end_matches(',')));
        } else if line.ends_with(") {") {
            name = line.split(' ').next().unwrap_or_default().to_owned();
        }
    }
    assert!(
        !name.is_empty() && !columns.is_empty(),
        "unreadable: {block}"
    );
    (name, columns)
}

fn declared_column(name: &str, ty: &str) -> (String, String, bool) {
    let inner = ty
        .strip_prefix("Nullable<")
        .and_then(|ty| ty.strip_suffix('>'));
    let sql = match inner.unwrap_or(ty) {
        "Text" => "text",
        "Timestamptz" => "timestamp with time zone",
        "Jsonb" => "jsonb",
        "Bool" => "boolean",
        "Int2" | "SmallInt" => "smallint",
        "Int4" | "Integer" => "integer",
        "Int8" | "BigInt" => "bigint",
        array if array.starts_with("Array<") => "ARRAY",
        other => panic!("{name} has the unknown type {other}"),
    };
    (name.to_owned(), sql.to_owned(), inner.is_some())
}

// F14: what diesel believes is what is there
#[tokio::test(flavor = "multi_thread")]
async fn every_table_is_declared_as_it_is() {
    let database = TestDatabase::migrated().await;
    let real = columns(&pool(&database)).await;
    let declared = declared();
    let names = |tables: &BTreeMap<String, Columns>| tables.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&declared), names(&real));
    for (name, columns) in real {
        assert_eq!(declared[&name], columns, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_model_describes_its_table_as_it_is() {
    let database = TestDatabase::migrated().await;
    let real = columns(&pool(&database)).await;
    for table in models::ALL.iter().flat_map(|endpoint| endpoint.tables) {
        let kombos: Columns = table
            .columns
            .iter()
            .map(|column| {
                let sql = match column.kind {
                    ColumnKind::Text => "text",
                    ColumnKind::Time => "timestamp with time zone",
                    ColumnKind::Json => "jsonb",
                };
                (column.name.to_owned(), sql.to_owned(), true)
            })
            .collect();
        let real = &real[table.name];
        let end = real.iter().position(|column| column.0 == "unknown_fields");
        assert_eq!(
            real[2..end.expect("our own columns")],
            kombos,
            "{}",
            table.name
        );
        let key: Vec<&str> = real[..2].iter().map(|column| column.0.as_str()).collect();
        assert_eq!(key, ["integration_id", "id"]);
    }
}

// design: the tables can be distributed by integration_id
#[tokio::test(flavor = "multi_thread")]
async fn every_index_of_a_mirror_table_begins_with_the_integration() {
    let database = TestDatabase::migrated().await;
    let mut seen = 0;
    for definition in indexes(&pool(&database)).await {
        if MIRROR
            .iter()
            .any(|table| definition.contains(&format!(" ON public.{table} ")))
        {
            seen += 1;
            assert!(definition.contains("(integration_id, "), "{definition}");
        }
    }
    assert!(seen >= MIRROR.len(), "{seen}");
}

// F61, house rule 12: nothing is assumed that Kombo did not promise
#[tokio::test(flavor = "multi_thread")]
async fn the_database_promises_nothing_beyond_the_keys() {
    let database = TestDatabase::migrated().await;
    let pool = pool(&database);
    let foreign = "SELECT conname::text AS text FROM pg_constraint WHERE contype = 'f'";
    let enums = "SELECT typname::text AS text FROM pg_type WHERE typtype = 'e'";
    let checks = "SELECT conname::text AS text FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace \
                  WHERE contype IN ('c', 'x', 'u') AND nspname = 'public'";
    let unique = format!(
        "SELECT i.indexrelid::regclass::text AS text FROM pg_index i WHERE i.indisunique AND NOT i.indisprimary \
         AND i.indrelid::regclass::text IN ('{}')",
        MIRROR.join("', '")
    );
    for sql in [foreign, enums, checks, unique.as_str()] {
        assert_eq!(texts(&pool, sql).await, Vec::<String>::new(), "{sql}");
    }
}

// F67: a page's order is that of bytes, whatever the database's language
#[tokio::test(flavor = "multi_thread")]
async fn ids_are_ordered_by_their_bytes() {
    let database = TestDatabase::migrated().await;
    let sql = format!(
        "SELECT concat_ws('.', table_name, column_name) AS text FROM information_schema.columns \
         WHERE table_name IN ('{}') AND (column_name = 'id' OR column_name LIKE '%\\_id') \
         AND column_name NOT IN ('remote_id', 'origin_id') AND collation_name IS DISTINCT FROM 'C'",
        MIRROR.join("', '")
    );
    let others = texts(&pool(&database), &sql).await;
    assert_eq!(others, Vec::<String>::new());
}

// A planned read is large and short: compiling it took a hundred times as long as running it.
#[tokio::test]
async fn statements_are_not_compiled() {
    let database = TestDatabase::migrated().await;
    let pool = pool(&database);
    let jit = texts(&pool, "SELECT current_setting('jit') AS text").await;
    assert_eq!(jit, ["off"]);
}

// F70: a table that comes later cannot be forgotten
#[tokio::test(flavor = "multi_thread")]
async fn every_table_that_names_integrations_is_behind_the_second_wall() {
    let database = TestDatabase::migrated().await;
    let pool = pool(&database);
    let named = texts(
        &pool,
        "SELECT table_name::text AS text FROM information_schema.columns WHERE table_schema = 'public' \
         AND column_name = 'integration_id' UNION ALL SELECT 'integrations' ORDER BY 1",
    )
    .await;
    let walled = texts(
        &pool,
        "SELECT c.relname::text AS text FROM pg_class c JOIN pg_policy p ON p.polrelid = c.oid \
         WHERE c.relrowsecurity AND p.polcmd = 'r' ORDER BY 1",
    )
    .await;
    assert_eq!(named, walled);
    let readable = texts(
        &pool,
        "SELECT relname::text AS text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'm', 'p') \
         AND has_table_privilege('kombo_mirror_reader', oid, 'SELECT') ORDER BY 1",
    )
    .await;
    assert_eq!(readable, walled, "nothing else can be read");
    let writable = texts(
        &pool,
        "SELECT relname::text AS text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' \
         AND has_table_privilege('kombo_mirror_reader', oid, 'INSERT, UPDATE, DELETE, TRUNCATE')",
    )
    .await;
    assert_eq!(writable, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readers_role_can_log_in_nowhere_and_goes_around_no_wall() {
    let database = TestDatabase::migrated().await;
    let strong = "SELECT rolname::text AS text FROM pg_roles WHERE rolname = 'kombo_mirror_reader' \
         AND NOT (rolcanlogin OR rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication)";
    let found = texts(&pool(&database), strong).await;
    assert_eq!(found, ["kombo_mirror_reader"]);
}

// several databases of one cluster are brought up to date at the same moment
#[tokio::test(flavor = "multi_thread")]
async fn databases_of_one_cluster_can_be_migrated_at_once() {
    let mut databases = Vec::new();
    for _ in 0..4 {
        databases.push(TestDatabase::empty().await);
    }
    let pools: Vec<Pool> = databases.iter().map(pool).collect();
    let migrated = futures_util::future::join_all(pools.iter().map(db::migrate)).await;
    for (pool, migrated) in pools.iter().zip(migrated) {
        assert!(migrated.expect("applying works") > 0);
        db::wall::check(pool).await.expect("the wall stands");
    }
}
