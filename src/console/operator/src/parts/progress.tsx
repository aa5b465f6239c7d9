// How far a run is: a bar that moves where the number of records is known beforehand, else one that only lives.
import type { Run } from "../api/types.ts";
import { count, counted, ENDPOINTS, MODES, STATUSES } from "../words.ts";

/** What a run has done so far, in words. */
function soFar(run: Run): string {
  if (run.status === "QUEUED") return "waits for a worker";
  const received = run.expectedRecords
    ? `${count(run.recordsReceived)} of about ${count(run.expectedRecords)} records`
    : counted(run.recordsReceived, "record");
  return `${received}, ${counted(run.pagesFetched, "page")}`;
}

export function Progress({ run }: { run: Run }) {
  const name = `${ENDPOINTS[run.endpoint]}: ${MODES[run.mode]} fetch`;
  const words = `${STATUSES[run.status].label}, ${soFar(run)}`;
  // Without `value` the bar shows that something goes on, and not how far it is.
  const known = run.status === "RUNNING" && run.expectedRecords ? run.expectedRecords : undefined;
  const value = known && Math.min(run.recordsReceived, known);
  return (
    <div class="progress">
      <progress aria-label={name} aria-valuetext={words} max={known} value={run.status === "QUEUED" ? 0 : value} />
      <span class="quiet">
        {words}
        {run.error && `; waits: ${run.error.code}`}
      </span>
    </div>
  );
}
