// The last runs of an integration on one line of time for each endpoint: how long each took, how many rows it brought,
// how it ended. The table below it says the same in words.
import { DOCUMENTS } from "../api/documents.ts";
import { newer, type LiveRuns } from "../api/live.ts";
import { usePolled } from "../api/poll.ts";
import type { Endpoint, Run } from "../api/types.ts";
import { duration, exact, secondsBetween, tick } from "../clock.ts";
import { useStore } from "../store.ts";
import { counted, ENDPOINTS, MODES, STATUSES } from "../words.ts";

const RUNS = 120;
const LANE_HEIGHT = 28;
/** In percent of the width: what took a second of a week is still to be seen. */
const NARROWEST = 0.5;
const LOWEST = 0.3;

export function Timeline({ komboId, live }: { komboId: string; live: LiveRuns }) {
  const filter = { integrationKomboId: { eq: komboId } };
  const { data } = usePolled<{ syncRuns: { nodes: Run[] } }>(DOCUMENTS.runs, { first: RUNS, filter });
  const now = useStore(tick);
  const polled = data?.syncRuns.nodes ?? [];
  const unknown = [...live.values()].filter((run) => !polled.some((one) => one.id === run.id));
  const runs = [...polled.map((run) => newer(run, live.get(run.id))), ...unknown].filter((run) => run.startedAt);
  if (runs.length === 0) return null;
  const begin = Math.min(...runs.map((run) => Date.parse(run.startedAt ?? "")));
  const span = Math.max(now - begin, 1000);
  return (
    <section aria-labelledby="timeline">
      <h2 id="timeline">
        Timeline <span class="quiet">of the last {counted(runs.length, "run")}</span>
      </h2>
      <div class="card timeline">
        {(Object.keys(ENDPOINTS) as Endpoint[]).map((endpoint) => (
          <Lane key={endpoint} endpoint={endpoint} runs={runs.filter((run) => run.endpoint === endpoint)} begin={begin} span={span} />
        ))}
        <p class="axis quiet">
          <span>{duration(span / 1000)} ago</span>
          <span>{duration(span / 2000)} ago</span>
          <span>now</span>
        </p>
        <p class="legend quiet">
          <span class="key good">succeeded</span> <span class="key busy">running</span> <span class="key bad">failed</span>{" "}
          <span class="key idle">cancelled</span> <span>height: rows</span>
        </p>
      </div>
    </section>
  );
}

interface LaneProps {
  endpoint: Endpoint;
  runs: Run[];
  begin: number;
  span: number;
}

function Lane({ endpoint, runs, begin, span }: LaneProps) {
  const most = Math.log1p(Math.max(1, ...runs.map((run) => run.recordsReceived)));
  const failed = runs.filter((run) => run.status === "FAILED").length;
  const label = `${ENDPOINTS[endpoint]}: ${counted(runs.length, "run")}, ${failed} failed`;
  return (
    <div class="lane">
      <span class="name">{ENDPOINTS[endpoint]}</span>
      <svg role="img" aria-label={label} height={LANE_HEIGHT} width="100%">
        {runs.map((run) => {
          const from = Date.parse(run.startedAt ?? "");
          const to = run.finishedAt ? Date.parse(run.finishedAt) : begin + span;
          const width = Math.max(NARROWEST, ((to - from) / span) * 100);
          const x = Math.min(((from - begin) / span) * 100, 100 - width);
          const height = LANE_HEIGHT * Math.max(LOWEST, Math.log1p(run.recordsReceived) / most);
          return (
            <rect
              key={run.id}
              class={STATUSES[run.status].tone}
              x={`${Math.max(0, x)}%`}
              width={`${width}%`}
              y={LANE_HEIGHT - height}
              height={height}
            >
              <title>{describe(run)}</title>
            </rect>
          );
        })}
      </svg>
    </div>
  );
}

function describe(run: Run): string {
  const seconds = secondsBetween(run.startedAt, run.finishedAt);
  const took = seconds === null ? "still running" : duration(seconds);
  const rows = counted(run.recordsReceived, "row");
  return `${exact(run.startedAt ?? "")}: ${MODES[run.mode]} fetch, ${STATUSES[run.status].label.toLowerCase()}, ${rows}, ${took}`;
}
