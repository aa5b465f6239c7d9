// The rows of the first page.
import { isOpen, type LiveRuns } from "../api/live.ts";
import type { IntegrationSummary, Run } from "../api/types.ts";
import { duration } from "../clock.ts";
import { Badge, HealthBadge, Moment } from "../parts/basics.tsx";
import type { Histories } from "../parts/histories.ts";
import { ChangesSparkline, LagSparkline } from "../parts/sparkline.tsx";
import { Table, type Column } from "../parts/table.tsx";
import { toIntegration } from "../route.ts";
import { count, counted, heldBack, lag, nameOf, plain, worst } from "../words.ts";

interface RowsProps {
  rows: IntegrationSummary[];
  histories: Histories;
  live: LiveRuns;
}

export function IntegrationTable({ rows, histories, live }: RowsProps) {
  const columns: Column<IntegrationSummary>[] = [
    { name: "Integration", kind: "main", cell: (row) => <Name row={row} /> },
    { name: "Health", cell: (row) => <Health row={row} runs={openRuns(row, live)} /> },
    { name: "LMS → Kombo", cell: (row) => <FirstHop row={row} /> },
    { name: "Kombo → mirror", cell: (row) => <SecondHop row={row} /> },
    { name: "Lag", cell: (row) => <LagSparkline history={histories.get(row.komboId) ?? null} of={nameOf(row)} /> },
    { name: "Changes", cell: (row) => <ChangesSparkline history={histories.get(row.komboId) ?? null} of={nameOf(row)} /> },
    { name: "Records", kind: "number", cell: (row) => count(records(row)) },
  ];
  return <Table caption="Integrations" columns={columns} rows={rows} idOf={(row) => row.komboId} />;
}

function records(row: IntegrationSummary): number {
  return row.syncStatus.reduce((sum, endpoint) => sum + endpoint.liveRecords, 0);
}

/** What of an integration works right now, as last heard. */
function openRuns(row: IntegrationSummary, live: LiveRuns): Run[] {
  return [...live.values()].filter((run) => run.integration.komboId === row.komboId && isOpen(run));
}

function Name({ row }: { row: IntegrationSummary }) {
  return (
    <>
      <a href={toIntegration(row.komboId)}>{nameOf(row)}</a>
      <small class="id">{row.organizationName ? row.komboId : (row.tool ?? "")}</small>
    </>
  );
}

function Health({ row, runs }: { row: IntegrationSummary; runs: Run[] }) {
  const failing = row.syncStatus.find((endpoint) => endpoint.lastError);
  const held = heldBack(row.syncStatus);
  return (
    <span class="badges">
      {row.deletedAt ? <Badge tone="idle">Deleted</Badge> : <HealthBadge health={worst(row.syncStatus)} />}
      {row.state !== "ACTIVE" && row.state !== "UNKNOWN" && !row.deletedAt && <Badge tone="bad">{plain(row.state)} at Kombo</Badge>}
      {held > 0 && <Badge tone="warn">{counted(held, "removal")} held back</Badge>}
      {failing?.lastError && <code class="quiet">{failing.lastError.code}</code>}
      {runs.length > 0 && <Working runs={runs} />}
    </span>
  );
}

function Working({ runs }: { runs: Run[] }) {
  const received = runs.reduce((sum, run) => sum + run.recordsReceived, 0);
  return <small class="quiet">{`${counted(runs.length, "run")}, ${counted(received, "record")}`}</small>;
}

function FirstHop({ row }: { row: IntegrationSummary }) {
  const isGood = row.lastKomboSyncState === null || row.lastKomboSyncState === "SUCCEEDED";
  return (
    <span class="badges">
      <Moment at={row.lastKomboSyncAt} none="no word yet" />
      {!isGood && row.lastKomboSyncState && <Badge tone="warn">{plain(row.lastKomboSyncState)}</Badge>}
      {row.dataExpiredAt && <Badge tone="bad">outdated</Badge>}
    </span>
  );
}

function SecondHop({ row }: { row: IntegrationSummary }) {
  const seconds = lag(row.syncStatus);
  if (seconds === null) return <span class="quiet">not complete yet</span>;
  return <span>{duration(seconds)} behind</span>;
}
