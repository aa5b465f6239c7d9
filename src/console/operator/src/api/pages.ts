// A list that grows by "show more". What is shown is asked for again in one page, so that rows which left the list leave
// the screen; only behind the longest page that the API gives rows stay as they were loaded.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { ApiError, ask } from "./ask.ts";
import { known, USUALLY_MS, useRepeated } from "./poll.ts";
import type { Page } from "./types.ts";

export interface Pages<T> {
  /** Null until the first answer. */
  nodes: T[] | null;
  totalCount: number | null;
  hasMore: boolean;
  isLoadingMore: boolean;
  error: ApiError | null;
  more(): void;
}

interface Loaded<T> {
  key: string;
  nodes: T[];
  totalCount: number;
  after: string | null;
  hasMore: boolean;
}

interface Asked<T> {
  document: string;
  variables: { first: number } & Record<string, unknown>;
  /** Takes the page out of the answer; null where what it belongs to is gone. */
  pick: (data: never) => Page<T> | null;
  /** What makes a row the same row in two answers. */
  idOf: (node: T) => string;
  everyMs?: number;
}

/** The API gives no longer page. */
const LONGEST_PAGE = 500;

const NOTHING: Page<never> = { totalCount: 0, nodes: [], pageInfo: { hasNextPage: false, endCursor: null } };

/** The newest page, and behind the longest one what was loaded before and is not in it. */
function merge<T>(last: Loaded<T> | null, page: Page<T>, idOf: (node: T) => string, key: string): Loaded<T> {
  const { hasNextPage, endCursor } = page.pageInfo;
  if (!last || last.key !== key || page.nodes.length < LONGEST_PAGE || !hasNextPage) {
    return { key, nodes: page.nodes, totalCount: page.totalCount, after: endCursor, hasMore: hasNextPage };
  }
  const fresh = new Set(page.nodes.map(idOf));
  const rest = last.nodes.filter((node) => !fresh.has(idOf(node)));
  return { ...last, nodes: [...page.nodes, ...rest], totalCount: page.totalCount };
}

export function usePages<T>({ document, variables, pick, idOf, everyMs = USUALLY_MS }: Asked<T>): Pages<T> {
  const key = JSON.stringify(variables);
  const [loaded, setLoaded] = useState<Loaded<T> | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const [isLoadingMore, setLoadingMore] = useState(false);
  const shown = useRef(0);
  shown.current = loaded?.key === key ? loaded.nodes.length : 0;
  const load = useCallback(
    async (first: number, after?: string, signal?: AbortSignal) => {
      const data = await ask<never>(document, { ...JSON.parse(key), first, after }, signal);
      return pick(data) ?? (NOTHING as Page<T>);
    },
    // `pick` and `idOf` belong to the document.
    [document, key],
  );
  const again = useCallback(
    async (signal: AbortSignal) => {
      try {
        const before = shown.current;
        const page = await load(Math.min(LONGEST_PAGE, Math.max(variables.first, before)), undefined, signal);
        // More was loaded meanwhile: this page would take it away again.
        if (shown.current > before && before > 0) return;
        if (signal.aborted) return;
        setLoaded((last) => merge(last, page, idOf, key));
        setError(null);
      } catch (failure) {
        if (!signal.aborted) setError(known(failure));
      }
    },
    [load, key],
  );
  useRepeated(again, everyMs);
  // Another question: what is shown of the old one goes.
  useEffect(() => setError(null), [key]);

  const current = loaded?.key === key ? loaded : null;
  const more = async () => {
    if (!current?.after || isLoadingMore) return;
    setLoadingMore(true);
    try {
      const page = await load(variables.first, current.after);
      setLoaded((last) => append(last, page, idOf, key));
      setError(null);
    } catch (failure) {
      setError(known(failure));
    }
    setLoadingMore(false);
  };
  return {
    nodes: current?.nodes ?? null,
    totalCount: current?.totalCount ?? null,
    hasMore: current?.hasMore ?? false,
    isLoadingMore,
    error,
    more,
  };
}

function append<T>(last: Loaded<T> | null, page: Page<T>, idOf: (node: T) => string, key: string): Loaded<T> | null {
  if (!last || last.key !== key) return last;
  const there = new Set(last.nodes.map(idOf));
  const { hasNextPage, endCursor } = page.pageInfo;
  return {
    ...last,
    nodes: [...last.nodes, ...page.nodes.filter((node) => !there.has(idOf(node)))],
    after: endCursor ?? last.after,
    hasMore: hasNextPage,
  };
}

