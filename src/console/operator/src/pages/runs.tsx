// Sync runs, newest first: of one integration, or of all.
import { useState } from "preact/hooks";
import { isOpen, newer, useLiveRuns, type LiveRuns } from "../api/live.ts";
import { DOCUMENTS } from "../api/documents.ts";
import { usePages } from "../api/pages.ts";
import type { Page, Run } from "../api/types.ts";
import { duration, secondsBetween } from "../clock.ts";
import { CancelRun } from "../parts/actions.tsx";
import { Badge, Empty, FetchError, Loading, Moment, More, Problem, StatusBadge } from "../parts/basics.tsx";
import { Progress } from "../parts/progress.tsx";
import { Table, type Column } from "../parts/table.tsx";
import { toIntegration } from "../route.ts";
import { count, counted, ENDPOINTS, MODES, STATUSES, TRIGGERS } from "../words.ts";

const AT_ONCE = 20;
/** Where other things follow below. */
const AT_ONCE_AMONG_OTHERS = 10;

export function AllRuns() {
  return <Runs integration={null} live={useLiveRuns(null)} />;
}

export function Runs({ integration, live }: { integration: string | null; live: LiveRuns }) {
  const [endpoint, setEndpoint] = useState("");
  const [status, setStatus] = useState("");
  const filter = {
    integrationKomboId: integration ? { eq: integration } : undefined,
    endpoint: endpoint ? { eq: endpoint } : undefined,
    status: status ? { eq: status } : undefined,
  };
  const runs = usePages<Run>({
    document: DOCUMENTS.runs,
    variables: { first: integration ? AT_ONCE_AMONG_OTHERS : AT_ONCE, filter },
    pick: (data: { syncRuns: Page<Run> }) => data.syncRuns,
    idOf: (run) => run.id,
  });
  const shown = runs.nodes?.map((run) => newer(run, live.get(run.id)));
  const columns = [integration ? FETCH : FETCH_WHERE, ...COLUMNS];
  const Heading = integration ? "h2" : "h1";
  return (
    <section aria-labelledby="runs">
      <header class="title">
        <Heading id="runs">Runs</Heading>
        <div class="actions">
          <Choice label="Endpoint" value={endpoint} choose={setEndpoint} of={Object.entries(ENDPOINTS)} />
          <Choice label="Status" value={status} choose={setStatus} of={Object.entries(STATUSES).map(([key, { label }]) => [key, label])} />
        </div>
      </header>
      <Problem error={runs.error} what="The runs could not be read." />
      {!shown && !runs.error && <Loading what="runs" />}
      {shown?.length === 0 && <Empty>{endpoint || status ? "No run fits the filter." : "No run yet."}</Empty>}
      {shown && shown.length > 0 && <Table caption="Runs, newest first" columns={columns} rows={shown} idOf={(run) => run.id} />}
      {shown && (
        <More
          shown={shown.length}
          total={runs.totalCount}
          hasMore={runs.hasMore}
          isLoading={runs.isLoadingMore}
          what="runs"
          more={runs.more}
        />
      )}
    </section>
  );
}

interface ChoiceProps {
  label: string;
  value: string;
  choose: (value: string) => void;
  of: [string, string][];
}

function Choice({ label, value, choose, of }: ChoiceProps) {
  return (
    <label class="choice">
      {label}
      <select value={value} onChange={(event) => choose(event.currentTarget.value)}>
        <option value="">all</option>
        {of.map(([key, name]) => (
          <option key={key} value={key}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

const fetchOf = (run: Run) => `${ENDPOINTS[run.endpoint]}, ${MODES[run.mode]}`;

const FETCH: Column<Run> = { name: "Fetch", kind: "main", cell: fetchOf };

const FETCH_WHERE: Column<Run> = {
  ...FETCH,
  cell: (run) => (
    <>
      {fetchOf(run)}
      <small class="id">
        <a href={toIntegration(run.integration.komboId)}>{run.integration.komboId}</a>
      </small>
    </>
  ),
};

const COLUMNS: Column<Run>[] = [
  { name: "Status", cell: (run) => <Status run={run} /> },
  { name: "Why", cell: (run) => <Why run={run} /> },
  { name: "Began", cell: (run) => <Moment at={run.startedAt} none="not yet" /> },
  { name: "Duration", kind: "number", cell: (run) => <Took run={run} /> },
  { name: "Rows", kind: "number", cell: (run) => count(run.recordsReceived) },
  { name: "New, changed, gone", cell: (run) => <Difference run={run} /> },
  { name: "Notes", cell: (run) => <Notes run={run} /> },
];

function Status({ run }: { run: Run }) {
  return run.status === "RUNNING" ? <Progress run={run} /> : <StatusBadge status={run.status} />;
}

function Why({ run }: { run: Run }) {
  const trigger = TRIGGERS[run.trigger] ?? run.trigger;
  return <>{run.requestedBy ? `${trigger}, ${run.requestedBy}` : trigger}</>;
}

function Took({ run }: { run: Run }) {
  const seconds = secondsBetween(run.startedAt, run.finishedAt);
  return seconds === null ? <span class="quiet">–</span> : <>{duration(seconds)}</>;
}

function Difference({ run }: { run: Run }) {
  if (run.recordsInserted + run.recordsUpdated + run.recordsDeleted === 0) return <span class="quiet">no change</span>;
  return (
    <span class="difference">
      <span title="new">+{count(run.recordsInserted)}</span> <span title="changed">~{count(run.recordsUpdated)}</span>{" "}
      <span title="gone">−{count(run.recordsDeleted)}</span>
    </span>
  );
}

function Notes({ run }: { run: Run }) {
  return (
    <span class="badges">
      {run.driftedRecords > 0 && <Badge tone="warn">drift: {counted(run.driftedRecords, "row")}</Badge>}
      {run.missedAnnouncements > 0 && <Badge tone="warn">no webhook: {counted(run.missedAnnouncements, "row")}</Badge>}
      {run.recordsParked > 0 && <Badge tone="warn">{count(run.recordsParked)} parked</Badge>}
      {run.removalsHeldBack > 0 && <Badge tone="warn">{count(run.removalsHeldBack)} held back</Badge>}
      {run.attempts > 1 && <span class="quiet">{counted(run.attempts, "attempt")}</span>}
      {run.error && <FetchError error={run.error} />}
      {isOpen(run) && <CancelRun run={run} />}
    </span>
  );
}
