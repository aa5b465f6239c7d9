// Ready-made questions, the same for GraphiQL (a tab each) and for the plain page (a list to choose from). A test of the
// server asks each of them; between two backticks stands one operation and nothing else.
export const EXAMPLES = [
  {
    title: "Integrations",
    query: `# Which integrations does the mirror know, and how is Kombo doing with them?
query Integrations {
  integrations(first: 5) {
    nodes {
      komboId
      tool
      organizationName
      state
      lastKomboSyncAt
      lastKomboSyncState
    }
  }
}
`,
  },
  {
    title: "Freshness",
    query: `# How fresh is each endpoint, and what needs somebody?
query Freshness {
  syncStatus {
    integration {
      komboId
    }
    endpoint
    health
    lagSeconds
    lastSuccessAt
    nextFullFetchAt
    removalsHeldBack
    lastError {
      code
      message
    }
  }
}
`,
  },
  {
    title: "Users",
    query: `# Users, page by page: ask again with "after" set to endCursor while hasNextPage is true.
query Users {
  users(first: 20) {
    totalCount
    nodes {
      komboId
      firstName
      lastName
      workEmail
      courseProgressions(first: 3) {
        nodes {
          status
          courseRevision {
            title
          }
        }
      }
    }
    pageInfo {
      hasNextPage
      endCursor
    }
    freshness {
      asOf
      complete
    }
  }
}
`,
  },
  {
    title: "Courses",
    query: `# Courses with their providers, and the skills that their current revisions teach.
query Courses {
  courses(first: 20, orderBy: { field: TITLE }) {
    nodes {
      title
      provider {
        name
      }
      currentRevision {
        status
        skills {
          name
        }
      }
    }
  }
}
`,
  },
  {
    title: "Completions",
    query: `# How many completed something, by month and integration?
query Completions {
  courseProgressionSummary(groupBy: [COMPLETED_MONTH, INTEGRATION], filter: { status: { eq: COMPLETED } }) {
    completedMonth
    integration {
      komboId
    }
    count
  }
}
`,
  },
  {
    title: "Changes",
    query: `# What really changed: whoever goes on at endCursor misses nothing.
query Changes {
  recordChanges(first: 20) {
    nodes {
      at
      kind
      model
      komboId
      changedFields
    }
    pageInfo {
      hasNextPage
      endCursor
    }
  }
}
`,
  },
  {
    title: "Runs",
    query: `# The last sync runs: why each exists and what it found.
query Runs {
  syncRuns(first: 10) {
    nodes {
      endpoint
      mode
      trigger
      status
      finishedAt
      recordsReceived
      recordsInserted
      recordsUpdated
      recordsDeleted
      driftedRecords
      error {
        code
        message
      }
    }
  }
}
`,
  },
  {
    title: "Progress",
    query: `# Runs as they move. A subscription: it goes on until it is stopped, and needs GraphiQL or another WebSocket client.
subscription Progress {
  syncRunUpdated {
    endpoint
    status
    recordsReceived
    expectedRecords
  }
}
`,
  },
  {
    title: "Resync",
    query: `# Asks for what changed, or with FULL for everything. Needs a token with the admin scope.
mutation Resync {
  triggerResync(input: { mode: DELTA }) {
    coalesced
    runs {
      endpoint
      status
    }
  }
}
`,
  },
];
