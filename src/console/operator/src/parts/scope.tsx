// Whether the token may do more than read. The API has no question for that, so one that needs the admin scope and
// costs nothing is asked.
import { useEffect } from "preact/hooks";
import { ApiError, ask } from "../api/ask.ts";
import { DOCUMENTS } from "../api/documents.ts";
import { createStore, useStore } from "../store.ts";
import { given } from "../token.ts";

export type Scope = "unknown" | "read" | "admin";
const scope = createStore<Scope>("unknown");

export const NEEDS_ADMIN = "This needs a token with the admin scope.";

export function useScope(): Scope {
  return useStore(scope);
}

/** Finds it out for each token that is given; also the first question of all, which shows whether a token is needed. */
export function useScopeOfToken(): void {
  const attempt = useStore(given);
  useEffect(() => {
    const end = new AbortController();
    scope.set("unknown");
    let timer: ReturnType<typeof setTimeout> | undefined;
    const find = async () => {
      try {
        await ask(DOCUMENTS.scope, {}, end.signal);
        scope.set("admin");
      } catch (error) {
        if (end.signal.aborted) return;
        if (error instanceof ApiError && error.code === "FORBIDDEN") scope.set("read");
        else if (error instanceof ApiError && error.code !== "UNAUTHENTICATED") timer = setTimeout(find, ASK_AGAIN_MS);
      }
    };
    void find();
    return () => {
      clearTimeout(timer);
      end.abort();
    };
  }, [attempt]);
}

/** While the server does not answer. */
const ASK_AGAIN_MS = 3_000;
