// One endpoint of an integration: what it does now, how far it is, and what needs somebody.
import { useState } from "preact/hooks";
import type { EndpointStatus, Run } from "../api/types.ts";
import { duration, secondsBetween } from "../clock.ts";
import { CancelRun, Resync } from "../parts/actions.tsx";
import { Fact, FetchError, HealthBadge, Moment, StatusBadge } from "../parts/basics.tsx";
import type { History } from "../parts/history.ts";
import { Progress } from "../parts/progress.tsx";
import { ChangesSparkline, LagSparkline } from "../parts/sparkline.tsx";
import { count, counted, ENDPOINTS, MODES } from "../words.ts";
import { RemovalsDialog } from "./removals.tsx";

interface EndpointProps {
  komboId: string;
  isGone: boolean;
  status: EndpointStatus;
  history: History | null;
}

export function EndpointCard({ komboId, isGone, status, history }: EndpointProps) {
  const name = ENDPOINTS[status.endpoint];
  const heading = `endpoint-${status.endpoint}`;
  return (
    <article class="card endpoint" aria-labelledby={heading}>
      <header>
        <h3 id={heading}>{name}</h3>
        <HealthBadge health={status.activeRun?.status === "RUNNING" ? "SYNCING" : status.health} />
        {!isGone && (
          <span class="actions">
            <Resync komboId={komboId} endpoint={status.endpoint} mode="DELTA" />
            <Resync komboId={komboId} endpoint={status.endpoint} mode="FULL" />
          </span>
        )}
      </header>
      <Now status={status} />
      {status.lastError && <FetchError error={status.lastError} />}
      {status.removalsHeldBack > 0 && <HeldBack komboId={komboId} status={status} />}
      <Facts status={status} />
      <div class="sparklines">
        <figure>
          <figcaption>Lag</figcaption>
          <LagSparkline history={history} of={name} />
        </figure>
        <figure>
          <figcaption>Changes</figcaption>
          <ChangesSparkline history={history} of={name} />
        </figure>
      </div>
    </article>
  );
}

function Now({ status: { activeRun, lastRun } }: { status: EndpointStatus }) {
  if (activeRun) {
    return (
      <div class="now">
        <Progress run={activeRun} />
        <CancelRun run={activeRun} />
      </div>
    );
  }
  if (!lastRun) return <p class="now quiet">No run yet.</p>;
  return (
    <p class="now">
      <StatusBadge status={lastRun.status} /> <Moment at={lastRun.finishedAt} />
      <span class="quiet">{summary(lastRun)}</span>
    </p>
  );
}

function summary(run: Run): string {
  const seconds = secondsBetween(run.startedAt, run.finishedAt);
  const took = seconds === null ? "" : ` in ${duration(seconds)}`;
  return `${MODES[run.mode]} fetch, ${counted(run.recordsReceived, "record")}${took}`;
}

function Facts({ status }: { status: EndpointStatus }) {
  return (
    <dl class="facts">
      <Fact name="Watermark" title="Start of the last complete fetch by Kombo's clock">
        <Moment at={status.watermark} none="none yet" />
      </Fact>
      <Fact name="Lag" title="Since the start of the last complete fetch">
        {status.lagSeconds === null ? <span class="quiet">not known yet</span> : duration(status.lagSeconds)}
      </Fact>
      <Fact name="Last full fetch">
        <Moment at={status.lastFullFetchAt} />
      </Fact>
      <Fact name="Next full fetch">
        <Moment at={status.nextFullFetchAt} none="not due" />
      </Fact>
      <Fact name="Live records">{count(status.liveRecords)}</Fact>
      <Fact name="Drift" title="Rows that full fetches had to correct, over all time">
        {counted(status.driftedRecords, "row")}
      </Fact>
      <Fact name="Missed webhooks" title="Rows that deltas found although no webhook had announced them, over all time">
        {counted(status.missedAnnouncements, "row")}
      </Fact>
      <Fact name="Failures in a row">{count(status.consecutiveFailures)}</Fact>
    </dl>
  );
}

function HeldBack({ komboId, status }: { komboId: string; status: EndpointStatus }) {
  const [isOpen, setOpen] = useState(false);
  const rows = counted(status.removalsHeldBack, "removal");
  return (
    <div class="notice warn held-back">
      <span>
        <strong>{rows} held back.</strong> Kombo no longer showed these rows; the removal guard kept them.
      </span>
      <button type="button" onClick={() => setOpen(true)}>
        Look at {rows}
        <span class="unseen"> of {ENDPOINTS[status.endpoint]}</span>
      </button>
      {isOpen && (
        <RemovalsDialog
          komboId={komboId}
          endpoint={status.endpoint}
          wanted={status.removalsHeldBack}
          close={() => setOpen(false)}
        />
      )}
    </div>
  );
}
