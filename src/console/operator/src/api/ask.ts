// One question to /graphql and its answer. Every way in which an answer can fail becomes an `ApiError` with a code and a
// sentence, so that nothing is swallowed between here and the screen.
import { learnSkew } from "../clock.ts";
import { createStore } from "../store.ts";
import { authorization, given, isNeeded, token } from "../token.ts";

/** Longer than the server's own limit for a request. */
const PATIENCE_MS = 40_000;

export class ApiError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly requestId: string | null = null,
  ) {
    super(message);
  }
}

/** What the last answer said about the token. */
export type Access = "unknown" | "accepted" | "refused";
export const access = createStore<Access>("unknown");
given.watch(() => access.set("unknown"));

/** Whether the last question reached the server at all. */
export const reachable = createStore(true);

interface GraphqlError {
  message?: string;
  extensions?: { code?: string; requestId?: string };
}

function asApiError(errors: GraphqlError[], status: number): ApiError {
  const [first] = errors;
  const code = first?.extensions?.code ?? `HTTP ${status}`;
  return new ApiError(code, first?.message ?? "no message", first?.extensions?.requestId ?? null);
}

async function send(body: string, signal: AbortSignal): Promise<Response> {
  try {
    const headers = {
      accept: "application/graphql-response+json, application/json;q=0.9",
      "content-type": "application/json",
      ...authorization(),
    };
    const response = await fetch("/graphql", { method: "POST", headers, body, signal, cache: "no-store" });
    reachable.set(true);
    learnSkew(response.headers.get("date"));
    return response;
  } catch (cause) {
    if (signal.aborted && signal.reason !== TOO_SLOW) throw cause;
    reachable.set(false);
    const why = signal.aborted ? "the server took too long" : "the server cannot be reached";
    throw new ApiError("UNREACHABLE", why);
  }
}

const TOO_SLOW = new Error("no answer in time");

/** Asks; `signal` takes the question back. */
export async function ask<T>(document: string, variables: object = {}, signal?: AbortSignal): Promise<T> {
  if (isNeeded && !token.get()) {
    access.set("refused");
    throw new ApiError("UNAUTHENTICATED", "this server asks for a token");
  }
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(TOO_SLOW), PATIENCE_MS);
  const giveUp = () => limit.abort(signal?.reason);
  signal?.addEventListener("abort", giveUp);
  const asked = token.get();
  try {
    const response = await send(JSON.stringify({ query: document, variables }), limit.signal);
    const answer = await read(response);
    // What is said about a token that was replaced meanwhile concerns nobody.
    if (asked === token.get()) access.set(response.status === 401 ? "refused" : "accepted");
    if (answer.errors?.length) throw asApiError(answer.errors, response.status);
    return answer.data as T;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", giveUp);
  }
}

async function read(response: Response): Promise<{ data?: unknown; errors?: GraphqlError[] }> {
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    // A proxy's page, for instance.
    throw new ApiError(`HTTP ${response.status}`, `not the mirror's answer: ${text.slice(0, 200) || "(empty)"}`);
  }
}
