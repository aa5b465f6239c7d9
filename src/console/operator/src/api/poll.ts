// Asks again and again while somebody looks: a tab in the background asks nothing, and asks at once when it comes back.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { createStore } from "../store.ts";
import { ApiError, ask } from "./ask.ts";

/** Short enough that an operator trusts what stands there; what moves faster comes by the subscription. */
export const USUALLY_MS = 4_000;

const asked = createStore(0);

/** Makes all that is shown ask again now: after something was changed, or a run ended. */
export function refreshAll(): void {
  asked.set(asked.get() + 1);
}

export interface Polled<T> {
  /** The last good answer; stays while a later question fails. */
  data: T | null;
  /** Why the last question failed; null once one succeeds. */
  error: ApiError | null;
}

/** Calls `again` now, every `everyMs`, when the tab is looked at again, and at `refreshAll`; never twice at a time. */
export function useRepeated(again: (signal: AbortSignal) => Promise<void>, everyMs: number): void {
  // Another pace begins with the next turn; it is no reason to ask anew.
  const pace = useRef(everyMs);
  pace.current = everyMs;
  useEffect(() => {
    const end = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isAsking = false;
    let isWanted = false;
    const turn = async () => {
      isWanted = true;
      if (isAsking || document.visibilityState !== "visible") return;
      clearTimeout(timer);
      isAsking = true;
      while (isWanted && !end.signal.aborted) {
        isWanted = false;
        await again(end.signal);
      }
      isAsking = false;
      if (!end.signal.aborted) timer = setTimeout(turn, pace.current);
    };
    document.addEventListener("visibilitychange", turn);
    const forget = asked.watch(turn);
    void turn();
    return () => {
      end.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", turn);
      forget();
    };
  }, [again]);
}

/** The answer to a document, kept fresh. Other variables are another question: the old answer goes. */
export function usePolled<T>(document: string, variables: object = {}, everyMs = USUALLY_MS): Polled<T> {
  const key = JSON.stringify(variables);
  const [state, setState] = useState<Polled<T> & { key: string }>({ data: null, error: null, key });
  const again = useCallback(
    async (signal: AbortSignal) => {
      try {
        const data = await ask<T>(document, JSON.parse(key), signal);
        if (!signal.aborted) setState({ data, error: null, key });
      } catch (error) {
        if (!signal.aborted) setState((last) => ({ data: last.key === key ? last.data : null, error: known(error), key }));
      }
    },
    [document, key],
  );
  useRepeated(again, everyMs);
  return state.key === key ? state : { data: null, error: null };
}

export function known(error: unknown): ApiError {
  return error instanceof ApiError ? error : new ApiError("CONSOLE", String(error));
}
