//! How old an answer may be, read in the same statement and so from the same snapshot as the answer.

use async_graphql::ServerResult;

use super::connection::Scope;
use super::errors::Code;
use super::form::Part;
use super::paging::Page;
use super::plan::Plan;
use super::select::Selected;
use crate::models::object::Target;

/// Seconds since a watermark by Kombo's clock, which may be a little ahead of ours; null without one.
fn lag_seconds(now: &str, watermark: &str) -> String {
    format!(
        "(CASE WHEN {watermark} > {now} THEN 0 ELSE extract(epoch FROM {now} - {watermark}) END)::float8"
    )
}

/// `FROM … WHERE …` of the endpoints that a list is read from. What a connector never had is never fetched and makes
/// no answer older; what it had once is still shown, as old as its last fetch. Of an integration that was deleted Kombo
/// knows nothing newer.
fn endpoints(plan: &mut Plan<'_>, target: Target, scope: &Scope<'_>, page: &Page) -> String {
    let names: Vec<String> = match target {
        Target::Mirrored(object) => object
            .endpoints
            .iter()
            .map(|name| format!("'{name}'"))
            .collect(),
        Target::Plain(_) => vec!["NULL".to_owned()],
    };
    let of = match scope {
        Scope::All => {
            let visible = plan.visible("s.integration_id");
            let narrowed = plan.narrowed(&page.filter, "s.integration_id");
            format!("{visible}{narrowed}")
        }
        Scope::Related {
            parent,
            integration,
            ..
        } => format!("s.integration_id = {parent}.{integration}"),
    };
    format!(
        "FROM endpoint_states s JOIN integrations f ON f.id = s.integration_id \
         WHERE f.deleted_at IS NULL AND (s.available OR s.watermark IS NOT NULL) AND s.endpoint IN ({}) AND {of}",
        names.join(", "),
    )
}

/// The type `Freshness`: the oldest of the endpoints and integrations that a list is read from.
pub(super) fn freshness<'q>(
    plan: &mut Plan<'q>,
    target: Target,
    scope: &Scope<'_>,
    page: &Page,
    selected: &Selected<'q>,
) -> ServerResult<Part<'q>> {
    let endpoints = endpoints(plan, target, scope, page);
    let now = plan.fill("{now}", "", "");
    let oldest = "(CASE WHEN count(*) = count(s.watermark) THEN min(s.watermark) END)";
    let asked = plan.selected(&["Freshness"], &selected.below)?.into_iter();
    let members = asked.map(|asked| {
        let value = match asked.name() {
            "__typename" => Part::constant("Freshness"),
            "asOf" => Part::plain(oldest),
            "lagSeconds" => Part::plain(lag_seconds(&now, oldest)),
            _ => Part::plain(
                "coalesce(bool_and(s.watermark IS NOT NULL AND s.error_code IS NULL \
                 AND s.removals_held_back = 0), true)",
            ),
        };
        (asked.response_name, value)
    });
    let object = Part::object(members.collect());
    let row = plan.row(&object.columns)?;
    Ok(Part::record(
        format!("(SELECT {row} {endpoints} HAVING true)"),
        object.form,
    ))
}

/// `answer`, unless it may be older than `maxStalenessSeconds` allows: then the statement stops with the error
/// STALE_DATA, whatever else it was asked for.
pub(super) fn not_stale<'q>(
    plan: &mut Plan<'q>,
    target: Target,
    scope: &Scope<'_>,
    page: &Page,
    selected: &Selected<'q>,
    answer: Part<'q>,
) -> ServerResult<Part<'q>> {
    let Some(limit) = plan.argument::<i32>(selected, "maxStalenessSeconds")? else {
        return Ok(answer);
    };
    if limit < 0 {
        return Err(plan.refuse(selected, "maxStalenessSeconds must not be negative"));
    }
    let endpoints = endpoints(plan, target, scope, page);
    let now = plan.fill("{now}", "", "");
    let lag = lag_seconds(&now, "s.watermark");
    let name = selected.name();
    let code = Code::StaleData.as_str();
    Ok(answer.checked(format!(
        "CASE WHEN (SELECT coalesce(bool_or(s.watermark IS NULL OR {lag} > {limit}), false) {endpoints}) \
         THEN refuse('{code} {name} may be older than maxStalenessSeconds allows ({limit} s); \
         freshness tells how old it is') END"
    )))
}
