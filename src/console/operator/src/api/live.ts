// Runs as they move, over one socket that finds its way back by itself. What is shown between two answers of the polling
// comes from here.
import { createClient, type Client } from "graphql-ws/client";
import { useEffect, useState } from "preact/hooks";
import { createStore, useStore, type Store } from "../store.ts";
import { authorization, token } from "../token.ts";
import { access, reachable } from "./ask.ts";
import { DOCUMENTS } from "./documents.ts";
import { refreshAll } from "./poll.ts";
import type { Run } from "./types.ts";

type Socket = "closed" | "connecting" | "open";
const socket = createStore<Socket>("closed");

/** Why the subscription itself was refused, where it was. */
export const refusal = createStore<string | null>(null);

const KEEP_ALIVE_MS = 10_000;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
/** The close codes of graphql-transport-ws for a token that is missing or refused. */
const REFUSED_CLOSE_CODES = [4401, 4403];
/** The page may stay open for weeks. */
const MOST_REMEMBERED = 2_000;
/** Runs that end together ask for one refreshing, not for one each. */
const SETTLE_MS = 300;

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function connect(): Client {
  const url = new URL("/graphql/ws", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  let wasOpen = false;
  return createClient({
    url: url.href,
    connectionParams: authorization,
    // Open on pages that follow nothing too: it is how the page knows that what it shows is live.
    lazy: false,
    onNonLazyError: (cause) => refusal.set(describe(cause)),
    keepAlive: KEEP_ALIVE_MS,
    retryAttempts: Infinity,
    retryWait: (retries) => {
      const most = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(retries, 10));
      return wait(most / 2 + (Math.random() * most) / 2);
    },
    shouldRetry: (event) => !(event instanceof CloseEvent && REFUSED_CLOSE_CODES.includes(event.code)),
    on: {
      connecting: () => socket.set("connecting"),
      connected: () => {
        socket.set("open");
        // What moved while nobody listened is asked for.
        if (wasOpen) refreshAll();
        wasOpen = true;
      },
      closed: () => socket.set("connecting"),
    },
  });
}

/** The one socket of the page; null while the server takes no token. */
const client = createStore<Client | null>(null);

/** Keeps the socket: a new token means a new one. */
export function useSocket(): void {
  const bearer = useStore(token);
  const isAccepted = useStore(access) === "accepted";
  useEffect(() => {
    if (!isAccepted) return;
    const opened = connect();
    client.set(opened);
    return () => {
      client.set(null);
      // What was still being connected may be refused: nobody wants to know any more.
      Promise.resolve(opened.dispose()).catch(() => undefined);
      socket.set("closed");
      refusal.set(null);
    };
  }, [bearer, isAccepted]);
}

export type Liveness = "live" | "reconnecting" | "unreachable" | "waiting";

/** In one word, how far what is shown can be trusted to be new. */
export function useLiveness(): Liveness {
  const state = useStore(socket);
  const isReachable = useStore(reachable);
  if (useStore(access) !== "accepted") return isReachable ? "waiting" : "unreachable";
  if (!isReachable) return "unreachable";
  return state === "open" ? "live" : "reconnecting";
}

/** The newest state of each run that moved since the page was opened, by its id. */
export type LiveRuns = ReadonlyMap<string, Run>;

function follow(from: Client, integration: string | null, runs: Store<LiveRuns>): () => void {
  let settling: ReturnType<typeof setTimeout> | undefined;
  const hear = (run: Run) => {
    runs.set(remembered(runs.get(), run));
    if (run.status === "QUEUED" || run.status === "RUNNING") return;
    // Of all integrations some run ends all the time: there the polling is enough.
    if (integration === null) return;
    settling ??= setTimeout(() => {
      settling = undefined;
      refreshAll();
    }, SETTLE_MS);
  };
  const stop = from.subscribe<{ syncRunUpdated: Run }>(
    { query: DOCUMENTS.runUpdated, variables: { integration } },
    {
      next: ({ data, errors }) => {
        refusal.set(errors?.[0]?.message ?? null);
        if (data) hear(data.syncRunUpdated);
      },
      error: (cause) => refusal.set(describe(cause)),
      complete: () => undefined,
    },
  );
  return () => {
    clearTimeout(settling);
    stop();
    refusal.set(null);
  };
}

/** The runs with one more, or one anew; those that were heard of longest ago are forgotten. */
function remembered(runs: LiveRuns, run: Run): LiveRuns {
  const next = new Map(runs);
  next.delete(run.id);
  next.set(run.id, run);
  for (const id of next.keys()) {
    if (next.size <= MOST_REMEMBERED) break;
    next.delete(id);
  }
  return next;
}

function describe(cause: unknown): string {
  if (Array.isArray(cause)) return cause.map((error: { message?: string }) => error.message).join("; ");
  if (cause instanceof CloseEvent) return `the socket was closed: ${cause.code} ${cause.reason}`;
  return String(cause);
}

/** Follows the runs of one integration, or of all. */
export function useLiveRuns(integration: string | null): LiveRuns {
  const from = useStore(client);
  const [runs, setRuns] = useState<LiveRuns>(new Map());
  useEffect(() => {
    if (!from) return;
    const store = createStore<LiveRuns>(new Map());
    setRuns(store.get());
    let frame = 0;
    // A thousand integrations may move at once: drawn once for each frame, not once for each message.
    const forget = store.watch(() => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        setRuns(store.get());
      });
    });
    const stop = follow(from, integration, store);
    return () => {
      stop();
      forget();
      cancelAnimationFrame(frame);
    };
  }, [from, integration]);
  return runs;
}

/** Whether a run is still to be waited for. */
export const isOpen = (run: Pick<Run, "status">): boolean => run.status === "QUEUED" || run.status === "RUNNING";

/** Of two states of one run the later one: an answer that was on its way may be older than what was heard. */
export function newer(shown: Run, heard: Run | undefined): Run {
  if (!heard) return shown;
  if (!isOpen(shown)) return shown;
  return !isOpen(heard) || heard.pagesFetched >= shown.pagesFetched ? heard : shown;
}
