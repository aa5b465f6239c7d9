//! From a selection to one SQL statement whose only value is the answer's JSON.
//!
//! Why Postgres builds the JSON: resolving a derived object costs a future and a value per field and row,
//! several times what the database costs; here the rows become the answer in one pass, only the selected
//! columns are read, and nested levels are subqueries by index, so a query is one statement however deep
//! it is. Every type is read this way; there is no second path with its own meaning.
//!
//! Names of tables and columns come from the models' descriptions, answer names are GraphQL names, and
//! everything else a client sends is bound: no text of a request reaches the SQL.

use async_graphql::parser::types::SelectionSet;
use async_graphql::{ContextBase, InputType, ServerResult, Value};
use chrono::{DateTime, Utc};

use super::connection::{self, Scope};
use super::errors::{self, Code};
use super::filter::{Condition, Test};
use super::select::{self, Selected};
use super::types;
use super::{given, ids};
use crate::auth::Viewer;
use crate::db::Statement;
use crate::models;
use crate::models::object::{Field, Kind, Link, Relation, Target};

/// Postgres takes at most 100 arguments; an object with more members is put together from parts (F73).
const MEMBERS_PER_CALL: usize = 45;

/// Values of one statement at most: so many tests of filters in all, since a list of ids or texts is one value.
/// Postgres takes 65,535, and plans for seconds long before that.
const MOST_VALUES: usize = 2_000;
/// Bytes of one statement at most; 350 lists have half of it.
const LONGEST_STATEMENT: usize = 1_000_000;

/// Bytes of what one root field answers at most: it is held in memory several times on its way. Values are bounded
/// before (GRAPHQL_MAX_COMPLEXITY), but nobody knows how long a `remoteData` is.
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;

/// Any position in the query: what a plan needs of it is the document around it.
pub(super) type Query<'q> =
    ContextBase<'q, &'q async_graphql::Positioned<async_graphql::parser::types::Field>>;

/// Which walls stand between tenants: always both. Each must hold where the other has a hole, which can only be
/// seen without the other; so a caller of the library may put this into a request's data. No setting and no
/// request over HTTP can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Walls {
    /// The condition in every query, and the database's row-level security.
    #[default]
    Both,
    /// Only the condition in every query.
    OnlyFirst,
    /// Only row-level security.
    OnlySecond,
}

impl Walls {
    pub(super) fn of(query: &Query<'_>) -> Self {
        query.data_opt::<Self>().copied().unwrap_or_default()
    }

    pub(super) fn has_second(self) -> bool {
        self != Self::OnlyFirst
    }
}

/// A statement in the making.
pub(super) struct Plan<'q> {
    pub(super) query: &'q Query<'q>,
    pub(super) viewer: &'q Viewer,
    pub(super) statement: Statement,
    /// Marker of the present moment.
    now: String,
    aliases: usize,
}

impl<'q> Plan<'q> {
    pub(super) fn new(query: &'q Query<'q>, viewer: &'q Viewer, now: DateTime<Utc>) -> Self {
        let mut statement = Statement::planned();
        let now = format!("{}::timestamptz", statement.time(Some(now)));
        Self {
            query,
            viewer,
            statement,
            now,
            aliases: 0,
        }
    }

    /// The statement whose only value is the one of `sql`, as text.
    ///
    /// # Errors
    /// It is larger than Postgres should be made to plan.
    pub(super) fn finished(mut self, sql: &str) -> ServerResult<Statement> {
        let code = Code::QueryTooComplex.as_str();
        self.statement.push(&format!(
            "SELECT CASE WHEN octet_length(a.answer) > {LARGEST_ANSWER} \
             THEN refuse('{code} the answer has more than {LARGEST_ANSWER} bytes; ask for shorter pages')::text \
             ELSE a.answer END AS answer FROM (SELECT ({sql})::text AS answer OFFSET 0) a"
        ));
        let is_bounded = self.statement.values() <= MOST_VALUES
            && self.statement.sql().len() <= LONGEST_STATEMENT;
        if is_bounded {
            return Ok(self.statement);
        }
        let message = "the filters and lists of this field are too many to be planned together; ask for less at once";
        let error = errors::error(Code::QueryTooComplex, message);
        let error = error.into_server_error(self.query.item.pos);
        Err(self.query.set_error_path(error))
    }

    /// A fresh table alias.
    pub(super) fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("t{}", self.aliases)
    }

    /// The fields that are asked of a type.
    pub(super) fn selected(
        &self,
        type_names: &[&str],
        sets: &[&'q SelectionSet],
    ) -> ServerResult<Vec<Selected<'q>>> {
        let selected = select::fields(&self.query.query_env.fragments, type_names, sets);
        let contradicted = selected.iter().find(|one| one.contradicted_by.is_some());
        match contradicted {
            None => Ok(selected),
            Some(one) => {
                let name = one.response_name;
                let message =
                    format!("{name} is asked for twice as different things; use different aliases");
                Err(self.refuse(one, message))
            }
        }
    }

    /// An argument's value, with variables and their defaults applied.
    pub(super) fn argument<T: InputType>(
        &self,
        selected: &Selected<'q>,
        name: &str,
    ) -> ServerResult<Option<T>> {
        let field = self.query.with_field(selected.field);
        let (_, value) = field.param_value::<Option<T>>(name, None)?;
        Ok(value)
    }

    /// An argument's value as given, with variables put in; `None`: left out.
    pub(super) fn given(&self, selected: &Selected<'q>, name: &str) -> Option<Value> {
        let arguments = &selected.field.node.arguments;
        let (_, literal) = arguments
            .iter()
            .find(|(argument, _)| argument.node == name)?;
        let env = self.query.query_env;
        let definitions = &env.operation.node.variable_definitions;
        given::resolve(&literal.node, definitions, &env.variables)
    }

    /// An error at the place of a field.
    pub(super) fn refuse(
        &self,
        selected: &Selected<'q>,
        message: impl Into<String>,
    ) -> async_graphql::ServerError {
        let error = errors::error(Code::BadUserInput, message);
        self.query
            .set_error_path(error.into_server_error(selected.field.pos))
    }

    /// SQL of a row of `target` under `alias` as a JSON object.
    pub(super) fn object(
        &mut self,
        target: Target,
        alias: &str,
        sets: &[&'q SelectionSet],
    ) -> ServerResult<String> {
        let mut members = Vec::new();
        for selected in self.selected(&types::type_names(target), sets)? {
            let value = if selected.name() == "__typename" {
                format!("'{}'", types::name(target))
            } else {
                let field = types::field(target, selected.name())
                    .ok_or_else(|| self.refuse(&selected, "unknown field"))?;
                self.value(target, field, alias, &selected)?
            };
            members.push((selected.response_name, value));
        }
        Ok(json_object(&members))
    }

    fn value(
        &mut self,
        target: Target,
        field: &'static Field,
        alias: &str,
        selected: &Selected<'q>,
    ) -> ServerResult<String> {
        Ok(match &field.kind {
            Kind::Column(column) | Kind::Json(column) => format!("{alias}.{column}"),
            Kind::Time(column) => iso(&format!("{alias}.{column}")),
            Kind::TimeSql(sql) => iso(&self.fill(sql, alias, "")),
            Kind::Sql(sql) => self.fill(sql, alias, ""),
            Kind::Computed(sql) => self.fill(&sql(), alias, ""),
            Kind::Enum(column, values) => known_word(&format!("{alias}.{column}"), values.values),
            Kind::NodeId => node_id(target, alias),
            Kind::One(link) => self.one(link, alias, selected)?,
            Kind::List(link) => self.list(link, alias, selected)?,
            Kind::Connection(link) => self.nested_connection(target, link, alias, selected)?,
            Kind::Record { model, id } => self.record(model, id, alias, selected)?,
            Kind::Embedded(shape, condition) => {
                let object = self.object(Target::Plain(shape), alias, &selected.below)?;
                let condition = self.fill(condition, alias, "");
                format!("CASE WHEN {condition} THEN {object} END")
            }
        })
    }

    /// A record of whichever type the row names: one look-up by key for each type, of which one is made.
    fn record(
        &mut self,
        model: &str,
        id: &str,
        parent: &str,
        selected: &Selected<'q>,
    ) -> ServerResult<String> {
        let mut cases = String::new();
        for object in models::OBJECTS.iter().copied() {
            let alias = self.alias();
            let json = self.object(Target::Mirrored(object), &alias, &selected.below)?;
            let table = object.table.name;
            cases.push_str(&format!(
                "WHEN '{table}' THEN (SELECT {json} FROM {table} {alias} \
                 WHERE {alias}.integration_id = {parent}.integration_id AND {alias}.id = {parent}.{id}) "
            ));
        }
        Ok(format!("CASE {parent}.{model} {cases}END"))
    }

    fn one(&mut self, link: &Link, parent: &str, selected: &Selected<'q>) -> ServerResult<String> {
        let alias = self.alias();
        let object = self.object(link.target, &alias, &selected.below)?;
        let rows = self.related_rows(&link.relation, &alias, parent);
        Ok(format!("(SELECT {object} FROM {rows} LIMIT 1)"))
    }

    fn list(&mut self, link: &Link, parent: &str, selected: &Selected<'q>) -> ServerResult<String> {
        let alias = self.alias();
        let object = self.object(link.target, &alias, &selected.below)?;
        let order = self.fill(link.relation.order, &alias, parent);
        let unordered = Relation {
            order: "",
            ..link.relation
        };
        let rows = self.related_rows(&unordered, &alias, parent);
        Ok(format!(
            "(SELECT coalesce(json_agg({object} ORDER BY {order}), '[]'::json) FROM {rows})"
        ))
    }

    fn nested_connection(
        &mut self,
        parent_target: Target,
        link: &Link,
        parent: &str,
        selected: &Selected<'q>,
    ) -> ServerResult<String> {
        let scope = Scope::Related {
            relation: &link.relation,
            parent,
            integration: match parent_target {
                Target::Mirrored(_) => "integration_id",
                Target::Plain(_) => "id",
            },
        };
        connection::connection(self, link.target, &scope, selected)
    }

    /// `FROM … WHERE … ORDER BY …` of a relation.
    pub(super) fn related_rows(
        &mut self,
        relation: &Relation,
        alias: &str,
        parent: &str,
    ) -> String {
        let between = relation.through.map(|through| (through, self.alias()));
        let fill = |sql: &str| match &between {
            Some((_, between)) => self.fill(&sql.replace("{m}", between), alias, parent),
            None => self.fill(sql, alias, parent),
        };
        let (mut from, mut on) = (fill(relation.from), fill(relation.on));
        if let Some((through, _)) = &between {
            from = format!("{} CROSS JOIN {from}", fill(through.from));
            on = format!("{} AND {on}", fill(through.on));
        }
        if relation.order.is_empty() {
            return format!("{from} WHERE {on}");
        }
        let order = self.fill(relation.order, alias, parent);
        format!("{from} WHERE {on} ORDER BY {order}")
    }

    /// Puts aliases and the present moment into a fragment of a description.
    pub(super) fn fill(&self, sql: &str, alias: &str, parent: &str) -> String {
        sql.replace("{t}", alias)
            .replace("{p}", parent)
            .replace("{now}", &self.now)
    }

    /// The condition under which the viewer may see an integration, over the column that names it: the
    /// first wall between tenants, part of every root.
    pub(super) fn visible(&mut self, column: &str) -> String {
        match &self.viewer.integrations {
            None => "true".to_owned(),
            Some(_) if Walls::of(self.query) == Walls::OnlySecond => "true".to_owned(),
            Some(ids) => format!(
                "{column} = ANY({}::text[])",
                self.statement.texts(ids.clone())
            ),
        }
    }

    /// ` AND …` for the integrations that a filter leaves, over the column that names them: known before any row
    /// is looked at, it spares the others.
    pub(super) fn narrowed(&mut self, filter: &Condition, column: &str) -> String {
        integration_tests(filter)
            .map(|ids| {
                let ids = self.statement.texts(ids.to_vec());
                format!(" AND {column} = ANY({ids}::text[])")
            })
            .collect()
    }

    /// Whether few integrations are asked for.
    pub(super) fn is_narrowed(&self, filter: &Condition) -> bool {
        self.viewer.integrations.is_some() || integration_tests(filter).next().is_some()
    }
}

fn integration_tests(filter: &Condition) -> impl Iterator<Item = &[String]> {
    filter
        .necessary()
        .into_iter()
        .filter_map(|(filter, test)| match test {
            Test::In(ids) if filter.compared.column() == "integration_id" => Some(ids.as_slice()),
            _ => None,
        })
}

/// Kombo's own form of a moment: UTC with milliseconds and `Z`; microseconds only where there are some.
pub(super) fn iso(expression: &str) -> String {
    format!(
        "replace(to_char({expression} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), '000Z', 'Z')"
    )
}

/// A column's word as GraphQL shows it: what this version does not know reads as UNKNOWN.
pub(super) fn known_word(column: &str, values: &[(&str, &str)]) -> String {
    let known: Vec<String> = values.iter().map(|(word, _)| format!("'{word}'")).collect();
    format!(
        "CASE WHEN {column} IN ({}) THEN {column} WHEN {column} IS NOT NULL THEN 'UNKNOWN' END",
        known.join(", ")
    )
}

fn node_id(target: Target, alias: &str) -> String {
    let id = format!("{alias}.id");
    let integration = format!("{alias}.integration_id");
    match target {
        Target::Mirrored(object) => ids::node_id_sql(object.name, &[&integration, &id]),
        Target::Plain(shape) => ids::node_id_sql(shape.name, &[&id]),
    }
}

/// SQL that makes a JSON object of members whose names are GraphQL names.
pub(super) fn json_object<N: AsRef<str>>(members: &[(N, String)]) -> String {
    let call = |members: &[(N, String)]| {
        let arguments: Vec<String> = members
            .iter()
            .map(|(name, value)| format!("'{}', {value}", name.as_ref()))
            .collect();
        format!("json_build_object({})", arguments.join(", "))
    };
    if members.len() <= MEMBERS_PER_CALL {
        return call(members);
    }
    // without its closing brace, a comma, without its opening brace …
    let parts: Vec<String> = members.chunks(MEMBERS_PER_CALL).map(call).collect();
    let last = parts.len() - 1;
    let texts: Vec<String> = parts
        .iter()
        .enumerate()
        .map(|(position, part)| match position {
            0 => format!("left({part}::text, -1)"),
            _ if position == last => format!("substr({part}::text, 2)"),
            _ => format!("substr(left({part}::text, -1), 2)"),
        })
        .collect();
    format!("({})::json", texts.join(" || ',' || "))
}
