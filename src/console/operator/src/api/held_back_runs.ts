// Which runs keep rows back. The API cannot filter runs by that, so the ended runs are read from the newest on. A run's
// own `removalsHeldBack` is what it kept when it ended: a later run may keep the same rows, and have them to its name.
import { useCallback, useState } from "preact/hooks";
import { ApiError, ask } from "./ask.ts";
import { DOCUMENTS } from "./documents.ts";
import { known, USUALLY_MS, useRepeated } from "./poll.ts";
import type { Endpoint, Page, Run } from "./types.ts";

export type HeldBackRun = Pick<Run, "id" | "mode" | "finishedAt"> & { heldBackRemovals: { totalCount: number } };

/** A hundred runs each: rows wait for somebody for weeks at most, and every full fetch judges anew. */
const MOST_PAGES = 50;

/** Looks until as many rows are found as the endpoint says are held back. */
async function find(integration: string, endpoint: Endpoint, wanted: number, signal: AbortSignal): Promise<HeldBackRun[]> {
  const found: HeldBackRun[] = [];
  let after: string | null = null;
  for (let page = 0; page < MOST_PAGES; page++) {
    const variables: object = { integration, endpoint, after };
    const { syncRuns } = await ask<{ syncRuns: Page<HeldBackRun> }>(DOCUMENTS.heldBackRuns, variables, signal);
    found.push(...syncRuns.nodes.filter((run) => run.heldBackRemovals.totalCount > 0));
    const rows = found.reduce((sum, run) => sum + run.heldBackRemovals.totalCount, 0);
    after = syncRuns.pageInfo.endCursor;
    if (!syncRuns.pageInfo.hasNextPage || rows >= wanted) break;
  }
  return found;
}

export function useHeldBackRuns(integration: string, endpoint: Endpoint, wanted: number) {
  const [runs, setRuns] = useState<HeldBackRun[] | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const again = useCallback(
    async (signal: AbortSignal) => {
      try {
        const found = await find(integration, endpoint, wanted, signal);
        if (signal.aborted) return;
        setRuns(found);
        setError(null);
      } catch (failure) {
        if (!signal.aborted) setError(known(failure));
      }
    },
    [integration, endpoint, wanted],
  );
  useRepeated(again, USUALLY_MS);
  return { runs, error };
}
