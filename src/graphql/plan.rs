//! From a selection to one SQL statement, and to the [`Form`] that writes its answer.
//!
//! Why not resolvers: resolving a derived object costs a future and a value per field and row, several times what
//! the database costs. Here a selection is read once; only its columns are read, nested levels are records within records
//! of records by index, so a query is one statement however deep it is, and its binary answer is written as JSON in
//! one pass. Every type is read this way; there is no second path with its own meaning.
//!
//! Names of tables and columns come from the models' descriptions, answer names are GraphQL names, and
//! everything else a client sends is bound: no text of a request reaches the SQL.

use async_graphql::parser::types::SelectionSet;
use async_graphql::{ContextBase, InputType, ServerResult, Value};
use chrono::{DateTime, Utc};

use super::connection::{self, Scope};
use super::errors::{self, Code};
use super::filter::{Condition, Test};
use super::form::{Form, Part};
use super::given;
use super::select::{self, Selected};
use super::types;
use crate::auth::Viewer;
use crate::db::Statement;
use crate::models;
use crate::models::object::{Field, Kind, Link, Relation, Target};

/// Columns of one record at most: Postgres takes 1,664 (`MaxTupleAttributeNumber`).
const MOST_COLUMNS: usize = 1_600;

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

    /// The statement whose only value is a record with the columns of `answer`, in binary.
    ///
    /// # Errors
    /// It is larger than Postgres should be made to plan.
    pub(super) fn finished(mut self, answer: Part<'q>) -> ServerResult<(Statement, Form<'q>)> {
        let row = self.row(&answer.columns)?;
        if !answer.form.has_lists() {
            // a record is as large as Kombo's: nothing of a request makes it larger
            self.statement
                .push(&format!("SELECT record_send({row}) AS answer"));
            return Ok((self.statement, answer.form));
        }
        let code = Code::QueryTooComplex.as_str();
        self.statement.push(&format!(
            "SELECT CASE WHEN octet_length(a.answer) > {LARGEST_ANSWER} \
             THEN refuse('{code} the answer has more than {LARGEST_ANSWER} bytes; ask for shorter pages')::text::bytea \
             ELSE a.answer END AS answer FROM (SELECT record_send({row}) AS answer OFFSET 0) a"
        ));
        self.check_size()?;
        Ok((self.statement, answer.form))
    }

    /// SQL of columns as one record.
    ///
    /// # Errors
    /// It has more columns than Postgres takes.
    pub(super) fn row(&self, columns: &[String]) -> ServerResult<String> {
        if columns.len() <= MOST_COLUMNS {
            return Ok(format!("ROW({})", columns.join(", ")));
        }
        self.too_large("one object of this field has too many members; ask for less at once")
    }

    /// Ends a plan that grows too large, while it grows.
    ///
    /// # Errors
    /// As [`Plan::finished`].
    pub(super) fn check_size(&self) -> ServerResult<()> {
        let is_bounded = self.statement.values() <= MOST_VALUES
            && self.statement.sql().len() <= LONGEST_STATEMENT;
        if is_bounded {
            return Ok(());
        }
        self.too_large("the filters and lists of this field are too many to be planned together; ask for less at once")
    }

    fn too_large<T>(&self, message: &str) -> ServerResult<T> {
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

    /// What is asked of a row of `target` under `alias`, as an object.
    pub(super) fn object(
        &mut self,
        target: Target,
        alias: &str,
        sets: &[&'q SelectionSet],
    ) -> ServerResult<Part<'q>> {
        let mut members = Vec::new();
        for selected in self.selected(&types::type_names(target), sets)? {
            let value = if selected.name() == "__typename" {
                Part::constant(types::name(target))
            } else {
                let field = types::field(target, selected.name())
                    .ok_or_else(|| self.refuse(&selected, "unknown field"))?;
                self.value(target, field, alias, &selected)?
            };
            members.push((selected.response_name, value));
        }
        Ok(Part::object(members))
    }

    fn value(
        &mut self,
        target: Target,
        field: &'static Field,
        alias: &str,
        selected: &Selected<'q>,
    ) -> ServerResult<Part<'q>> {
        let filled = |plan: &Self, sql: &str| Part::plain(plan.fill(sql, alias, ""));
        Ok(match &field.kind {
            Kind::Column(column) => Part::plain(format!("{alias}.{column}")),
            Kind::Sql(sql) => filled(self, sql),
            Kind::Computed(sql) => filled(self, &sql()),
            Kind::Enum(column, values) => Part {
                columns: vec![format!("{alias}.{column}")],
                form: Form::Word(values.values),
            },
            Kind::NodeId => node_id(target, alias),
            Kind::One(link) => self.one(link, alias, selected)?,
            Kind::List(link) => self.list(link, alias, selected)?,
            Kind::Connection(link) => self.nested_connection(target, link, alias, selected)?,
            Kind::Record { model, id } => self.record(model, id, alias, selected)?,
            Kind::Embedded(shape, condition) => {
                let object = self.object(Target::Plain(shape), alias, &selected.below)?;
                let condition = self.fill(condition, alias, "");
                let row = self.row(&object.columns)?;
                Part::record(format!("CASE WHEN {condition} THEN {row} END"), object.form)
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
    ) -> ServerResult<Part<'q>> {
        let mut cases = String::new();
        let mut forms = Vec::new();
        for object in models::OBJECTS.iter().copied() {
            let alias = self.alias();
            let part = self.object(Target::Mirrored(object), &alias, &selected.below)?;
            let (row, table) = (self.row(&part.chosen(&mut forms))?, object.table.name);
            cases.push_str(&format!(
                "WHEN '{table}' THEN (SELECT {row} FROM {table} {alias} \
                 WHERE {alias}.integration_id = {parent}.integration_id AND {alias}.id = {parent}.{id}) "
            ));
        }
        let sql = format!("CASE {parent}.{model} {cases}END");
        Ok(Part::record(sql, Form::Choice(forms)))
    }

    fn one(
        &mut self,
        link: &Link,
        parent: &str,
        selected: &Selected<'q>,
    ) -> ServerResult<Part<'q>> {
        let alias = self.alias();
        let object = self.object(link.target, &alias, &selected.below)?;
        let rows = self.related_rows(&link.relation, &alias, parent);
        let row = self.row(&object.columns)?;
        Ok(Part::record(
            format!("(SELECT {row} FROM {rows} LIMIT 1)"),
            object.form,
        ))
    }

    fn list(
        &mut self,
        link: &Link,
        parent: &str,
        selected: &Selected<'q>,
    ) -> ServerResult<Part<'q>> {
        let alias = self.alias();
        let object = self.object(link.target, &alias, &selected.below)?;
        let rows = self.related_rows(&link.relation, &alias, parent);
        let row = self.row(&object.columns)?;
        Ok(Part::list(
            &format!("SELECT {row} FROM {rows}"),
            object.form,
        ))
    }

    fn nested_connection(
        &mut self,
        parent_target: Target,
        link: &Link,
        parent: &str,
        selected: &Selected<'q>,
    ) -> ServerResult<Part<'q>> {
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

/// A column's word as GraphQL shows it: what this version does not know reads as UNKNOWN.
pub(super) fn known_word(column: &str, values: &[(&str, &str)]) -> String {
    let known: Vec<String> = values.iter().map(|(word, _)| format!("'{word}'")).collect();
    format!(
        "CASE WHEN {column} IN ({}) THEN {column} WHEN {column} IS NOT NULL THEN 'UNKNOWN' END",
        known.join(", ")
    )
}

fn node_id(target: Target, alias: &str) -> Part<'static> {
    let columns = match target {
        Target::Mirrored(_) => vec![format!("{alias}.integration_id"), format!("{alias}.id")],
        Target::Plain(_) => vec![format!("{alias}.id")],
    };
    let form = Form::NodeId {
        type_name: types::name(target),
        parts: columns.len(),
    };
    Part { columns, form }
}
