//! Asking Kombo for single records by their ids, at the end of a run.
//!
//! Two questions that pages cannot answer. Is a record that no page showed really gone? It may have moved from
//! a page that was still to come to one that had passed (F20); so what would be removed without a human is asked
//! for by name first. And is a record that could not be read readable now (rule 14)? Nothing else may ask so: the
//! pages are what completeness rests on.

use std::collections::HashSet;

use serde_json::value::RawValue;

use super::run::{Enumeration, Stop};
use super::{parked, removals};
use crate::kombo::{Error as KomboError, PageRequest, Remedy};
use crate::models::Mode;
use crate::models::record::Record;

/// Ids in one request: together some two kilobytes, well within what a URL may hold.
const IDS_PER_REQUEST: usize = 80;

/// Requests at most; beyond, absence is believed as the enumeration showed it.
const REQUESTS: usize = 5;

/// After that many attempts of a run a question that is never answered must not keep it from its end.
const PATIENCE: i32 = 5;

impl Enumeration<'_> {
    /// Records that the last page's transaction should store as well.
    pub(super) async fn ask_again(
        &self,
        last_page: &[Box<RawValue>],
        unlisted: i64,
    ) -> Result<Vec<Box<RawValue>>, Stop> {
        let ids = self.doubtful(last_page, unlisted).await?;
        let mut found = Vec::new();
        for some in ids.chunks(IDS_PER_REQUEST) {
            match self.by_ids(some).await {
                Ok(records) => found.extend(records),
                Err(error) if error.remedy == Remedy::GiveUp || self.run.attempts > PATIENCE => {
                    tracing::warn!(
                        run.id = self.run.id,
                        code = error.code,
                        "kombo does not answer for single ids; going by the enumeration alone"
                    );
                    break;
                }
                // what is parked may wait; what the pages brought may not
                Err(error) if self.mode == Mode::Delta => {
                    tracing::warn!(
                        run.id = self.run.id,
                        code = error.code,
                        "parked records were not asked for"
                    );
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(found)
    }

    /// The ids to ask for.
    async fn doubtful(
        &self,
        last_page: &[Box<RawValue>],
        unlisted: i64,
    ) -> Result<Vec<String>, Stop> {
        let most = IDS_PER_REQUEST * REQUESTS;
        let shown: Vec<String> = last_page.iter().filter_map(|record| id(record)).collect();
        let mut connection = self.engine.pool.get().await.map_err(anyhow::Error::from)?;
        let mut ids = match self.mode {
            Mode::Delta => parked::ids(&mut connection, self.run, IDS_PER_REQUEST).await?,
            Mode::Full => {
                let writer = self.writer(unlisted, (self.engine.clock)());
                let table = self.endpoint.tables[0];
                let limit = i64::try_from(most).unwrap_or(i64::MAX);
                removals::candidates(
                    &mut connection,
                    self.run,
                    table,
                    &writer,
                    shown.clone(),
                    limit,
                )
                .await?
            }
        };
        // a comma separates the ids, so one that contains it cannot be asked for
        ids.retain(|id| !id.contains(',') && !shown.contains(id));
        Ok(ids)
    }

    async fn by_ids(&self, ids: &[String]) -> Result<Vec<Box<RawValue>>, KomboError> {
        let request = PageRequest {
            ids,
            ..self.request()
        };
        let asked: HashSet<&str> = ids.iter().map(String::as_str).collect();
        let fetched = self.engine.kombo.page(request, &self.engine.clock).await?;
        let mut records = fetched.page.records;
        // whatever else an answer holds is no answer to the question
        records.retain(|record| id(record).is_some_and(|id| asked.contains(id.as_str())));
        Ok(records)
    }
}

fn id(record: &RawValue) -> Option<String> {
    Record::parse(record).ok()?.id().ok()
}
