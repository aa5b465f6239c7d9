// All integrations, page after page: shown as they come at first, later replaced in one go.
import { useCallback, useState } from "preact/hooks";
import { ApiError, ask } from "./ask.ts";
import { DOCUMENTS } from "./documents.ts";
import { known, USUALLY_MS, useRepeated } from "./poll.ts";
import type { IntegrationSummary, Page } from "./types.ts";

const PAGE = 100;
/** Reading many costs the server more, and nobody sees all of them at once. */
const MANY = 200;
const SELDOM_MS = 20_000;

export function useAllIntegrations() {
  const [integrations, setIntegrations] = useState<IntegrationSummary[] | null>(null);
  const [totalCount, setTotalCount] = useState<number | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const again = useCallback(async (signal: AbortSignal) => {
    try {
      const all: IntegrationSummary[] = [];
      for (let after: string | null = null, hasNext = true; hasNext && !signal.aborted; ) {
        const variables: object = { first: PAGE, after };
        const data = await ask<{ integrations: Page<IntegrationSummary> }>(DOCUMENTS.integrations, variables, signal);
        const { nodes, pageInfo, totalCount: total } = data.integrations;
        all.push(...nodes);
        ({ hasNextPage: hasNext, endCursor: after } = pageInfo);
        setTotalCount(total);
        const soFar = [...all];
        setIntegrations((last) => (last === null || last.length <= soFar.length || !hasNext ? soFar : last));
      }
      setError(null);
    } catch (failure) {
      if (!signal.aborted) setError(known(failure));
    }
  }, []);
  useRepeated(again, (integrations?.length ?? 0) > MANY ? SELDOM_MS : USUALLY_MS);
  return { integrations, totalCount, error };
}
