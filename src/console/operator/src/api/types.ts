// What the documents answer with, by hand: a handful of shapes is clearer than a generator and its output.
export type Endpoint = "COURSES" | "COURSE_PROGRESSIONS" | "SKILLS" | "USERS";
export type Mode = "DELTA" | "FULL";
export type RunStatus = "QUEUED" | "RUNNING" | "SUCCEEDED" | "FAILED" | "CANCELLED";
export type Health =
  | "AWAITING_FIRST_SYNC"
  | "FAILING"
  | "PAUSED"
  | "STALE"
  | "SYNCING"
  | "UNAVAILABLE"
  | "UP_TO_DATE";

export interface Page<T> {
  totalCount: number;
  nodes: T[];
  pageInfo: { hasNextPage: boolean; endCursor: string | null };
}

export interface SyncError {
  code: string;
  message: string;
  retryable: boolean;
  at: string;
  logUrl: string | null;
}

export interface Run {
  id: string;
  integration: { komboId: string };
  endpoint: Endpoint;
  mode: Mode;
  trigger: string;
  requestedBy: string | null;
  status: RunStatus;
  queuedAt: string;
  startedAt: string | null;
  finishedAt: string | null;
  updatedAfter: string | null;
  attempts: number;
  pagesFetched: number;
  recordsReceived: number;
  recordsInserted: number;
  recordsUpdated: number;
  recordsUnchanged: number;
  recordsParked: number;
  recordsDeleted: number;
  driftedRecords: number;
  missedAnnouncements: number;
  removalsHeldBack: number;
  expectedRecords: number | null;
  error: SyncError | null;
}

/** What the sparklines are made of. */
export type PastRun = Pick<
  Run,
  "integration" | "endpoint" | "startedAt" | "finishedAt" | "recordsInserted" | "recordsUpdated" | "recordsDeleted"
>;

/** An endpoint as the list of integrations knows it. */
export interface EndpointSummary {
  endpoint: Endpoint;
  health: Health;
  lagSeconds: number | null;
  lastSuccessAt: string | null;
  liveRecords: number;
  removalsHeldBack: number;
  consecutiveFailures: number;
  lastError: { code: string } | null;
  activeRun: { id: string; status: RunStatus } | null;
}

export interface EndpointStatus extends Omit<EndpointSummary, "lastError" | "activeRun"> {
  watermark: string | null;
  lastFullFetchAt: string | null;
  nextFullFetchAt: string | null;
  driftedRecords: number;
  missedAnnouncements: number;
  lastError: SyncError | null;
  activeRun: Run | null;
  lastRun: Run | null;
}

interface IntegrationParts {
  komboId: string;
  tool: string | null;
  organizationName: string | null;
  state: "ACTIVE" | "DELETED" | "INACTIVE" | "INVALID" | "UNKNOWN";
  paused: boolean;
  deletedAt: string | null;
  lastKomboSyncAt: string | null;
  lastKomboSyncState: string | null;
  dataExpiredAt: string | null;
}

export interface IntegrationSummary extends IntegrationParts {
  syncStatus: EndpointSummary[];
}

export interface Integration extends IntegrationParts {
  originId: string | null;
  setupStatus: string | null;
  registeredAt: string;
  purgedAt: string | null;
  lastWebhookAt: string | null;
  unavailableModels: string[];
  syncStatus: EndpointStatus[];
}

export interface WebhookEvent {
  id: string;
  type: string;
  integrationKomboId: string | null;
  receivedAt: string;
  duplicates: number;
  changedModels: string[];
  outcome: string;
  runs: Pick<Run, "id" | "endpoint" | "mode" | "status">[];
}

export interface ParkedRecord {
  integration: { komboId: string };
  endpoint: Endpoint;
  komboId: string | null;
  error: string;
  record?: string;
  firstSeenAt: string;
  lastSeenAt: string;
}

export interface SchemaDrift {
  integration: { komboId: string };
  model: string;
  kind: "MEMBER" | "VALUE";
  name: string;
  firstSeenAt: string;
  lastSeenAt: string;
  sightings: number;
}

interface Person {
  firstName: string | null;
  lastName: string | null;
}

export interface HeldBackRow {
  model: string;
  komboId: string;
  linkedKomboId: string | null;
  record:
    | (Partial<Person> & {
        __typename: string;
        remoteId: string | null;
        changedAt: string | null;
        workEmail?: string | null;
        title?: string | null;
        name?: string | null;
        user?: Person | null;
        courseRevision?: { title: string | null } | null;
      })
    | null;
}
