// Which runs keep rows back. The API cannot filter runs by that, so the ended runs are read from the newest on.
import { useCallback, useState } from "preact/hooks";
import { ApiError, ask } from "./ask.ts";
import { DOCUMENTS } from "./documents.ts";
import { known, USUALLY_MS, useRepeated } from "./poll.ts";
import type { Endpoint, Page, Run } from "./types.ts";

type HeldBackRun = Pick<Run, "id" | "mode" | "finishedAt" | "removalsHeldBack">;

/** Two hundred runs each: rows wait for somebody for weeks at most, and every full fetch judges anew. */
const MOST_PAGES = 25;

async function find(integration: string, endpoint: Endpoint, signal: AbortSignal): Promise<HeldBackRun[]> {
  const found: HeldBackRun[] = [];
  let after: string | null = null;
  for (let page = 0; page < MOST_PAGES; page++) {
    const variables: object = { integration, endpoint, after };
    const { syncRuns } = await ask<{ syncRuns: Page<HeldBackRun> }>(DOCUMENTS.heldBackRuns, variables, signal);
    found.push(...syncRuns.nodes.filter((run) => run.removalsHeldBack > 0));
    after = syncRuns.pageInfo.endCursor;
    if (!syncRuns.pageInfo.hasNextPage || found.length > 0) break;
  }
  return found;
}

export function useHeldBackRuns(integration: string, endpoint: Endpoint) {
  const [runs, setRuns] = useState<HeldBackRun[] | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const again = useCallback(
    async (signal: AbortSignal) => {
      try {
        const found = await find(integration, endpoint, signal);
        if (signal.aborted) return;
        setRuns(found);
        setError(null);
      } catch (failure) {
        if (!signal.aborted) setError(known(failure));
      }
    },
    [integration, endpoint],
  );
  useRepeated(again, USUALLY_MS);
  return { runs, error };
}
