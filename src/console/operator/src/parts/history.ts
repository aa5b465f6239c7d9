// What past runs say about the time between them: how old the mirror's data was at each moment, and how much changed.
// The API keeps no such series; it follows from when each complete fetch began and ended.
import type { Endpoint, PastRun } from "../api/types.ts";

/** How finely a sparkline is drawn. */
const STEPS = 48;
/** Bars finer than this cannot be told apart. */
const BUCKETS = 24;

export interface History {
  /** Seconds; null before the first complete fetch. */
  lags: (number | null)[];
  /** Records inserted, updated and deleted in each stretch. */
  changes: number[];
  /** The length of what is shown. */
  spanSeconds: number;
}

interface Fetch {
  endpoint: Endpoint;
  startedAt: number;
  finishedAt: number;
  changes: number;
}

function read(runs: PastRun[]): Fetch[] {
  const fetches = runs.flatMap((run) => {
    if (!run.startedAt || !run.finishedAt) return [];
    return {
      endpoint: run.endpoint,
      startedAt: Date.parse(run.startedAt),
      finishedAt: Date.parse(run.finishedAt),
      changes: run.recordsInserted + run.recordsUpdated + run.recordsDeleted,
    };
  });
  return fetches.sort((a, b) => a.finishedAt - b.finishedAt);
}

/** The lag of the endpoint that is furthest behind; null while one of them was never fetched. */
function lagAt(moment: number, byEndpoint: Fetch[][]): number | null {
  let oldest = moment;
  for (const fetches of byEndpoint) {
    const last = fetches.findLast((fetch) => fetch.finishedAt <= moment);
    if (!last) return null;
    oldest = Math.min(oldest, last.startedAt);
  }
  return (moment - oldest) / 1000;
}

/** The history of the endpoints that the runs name, up to `now`. */
export function historyOf(runs: PastRun[], now: number): History | null {
  const fetches = read(runs);
  const [first] = fetches;
  if (!first) return null;
  const byEndpoint = [...Map.groupBy(fetches, (fetch) => fetch.endpoint).values()];
  // Before each endpoint has a fetch nothing can be said of the lag: newer runs than these hide the older ones.
  const begin = Math.min(Math.max(...byEndpoint.map((of) => of[0]?.finishedAt ?? now)), now);
  const span = Math.max(now - begin, 1);
  const lags = Array.from({ length: STEPS + 1 }, (_, step) => lagAt(begin + (span * step) / STEPS, byEndpoint));
  const changes = new Array<number>(BUCKETS).fill(0);
  for (const fetch of fetches) {
    const bucket = Math.floor(((fetch.finishedAt - begin) / span) * BUCKETS);
    if (bucket < 0) continue;
    const at = Math.min(bucket, BUCKETS - 1);
    changes[at] = (changes[at] ?? 0) + fetch.changes;
  }
  return { lags, changes, spanSeconds: span / 1000 };
}
