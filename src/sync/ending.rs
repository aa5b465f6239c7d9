//! How a run leaves its worker.

/// What a claimed run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Complete; the watermark moved.
    Succeeded,
    /// Put aside with its checkpoint.
    Postponed,
    /// Given up, visible in the sync status.
    Failed,
    /// Another worker has it now, or nobody: it was cancelled, or its integration paused.
    LeaseLost,
    /// This process ends; any worker may go on at the checkpoint.
    HandedBack,
}

impl Ending {
    /// The word in metrics; the first two are those of tables and GraphQL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Postponed => "POSTPONED",
            Self::LeaseLost => "LEASE_LOST",
            Self::HandedBack => "HANDED_BACK",
        }
    }
}
