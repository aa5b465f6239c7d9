// The histories of the integrations that are on the screen: one question for all of them.
import { useMemo } from "preact/hooks";
import { DOCUMENTS } from "../api/documents.ts";
import { usePolled } from "../api/poll.ts";
import type { PastRun } from "../api/types.ts";
import { now } from "../clock.ts";
import { historyOf, type History } from "./history.ts";

/** A sparkline of hours does not change in seconds. */
const EVERY_MS = 15_000;

export type Histories = ReadonlyMap<string, History | null>;

export function useHistories(integrations: string[]): Histories {
  const { data } = usePolled<{ syncRuns: { nodes: PastRun[] } }>(DOCUMENTS.recentRuns, { integrations }, EVERY_MS);
  return useMemo(() => {
    const byIntegration = Map.groupBy(data?.syncRuns.nodes ?? [], (run) => run.integration.komboId);
    return new Map([...byIntegration].map(([komboId, runs]) => [komboId, historyOf(runs, now())]));
  }, [data]);
}
