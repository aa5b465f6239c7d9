// The API's words as people read them, and which of them are good news. A word that is not listed is shown as it came.
import type { Endpoint, EndpointSummary, Health, IntegrationSummary, Mode, RunStatus } from "./api/types.ts";

/** How a word is coloured; the word itself always stands beside the colour. */
export type Tone = "good" | "busy" | "warn" | "bad" | "idle";

export const ENDPOINTS: Record<Endpoint, string> = {
  USERS: "Users",
  COURSES: "Courses",
  SKILLS: "Skills",
  COURSE_PROGRESSIONS: "Course progressions",
};

export const MODES: Record<Mode, string> = { DELTA: "delta", FULL: "full" };

export const HEALTH: Record<Health, { label: string; tone: Tone; meaning: string }> = {
  FAILING: { label: "Failing", tone: "bad", meaning: "The last attempts failed." },
  STALE: { label: "Stale", tone: "warn", meaning: "The catch-up is overdue." },
  AWAITING_FIRST_SYNC: { label: "Awaiting first sync", tone: "warn", meaning: "Nothing was fetched completely yet." },
  SYNCING: { label: "Syncing", tone: "busy", meaning: "A fetch is going on." },
  UP_TO_DATE: { label: "Up to date", tone: "good", meaning: "The last fetch was complete, the next is not overdue." },
  UNAVAILABLE: { label: "Unavailable", tone: "idle", meaning: "The connector has no such model, or it is switched off." },
  PAUSED: { label: "Paused", tone: "idle", meaning: "The integration is paused or deleted." },
};

/** From the one that needs somebody most to the one that needs nobody. */
export const HEALTHS = Object.keys(HEALTH) as Health[];

export const STATUSES: Record<RunStatus, { label: string; tone: Tone }> = {
  QUEUED: { label: "Queued", tone: "busy" },
  RUNNING: { label: "Running", tone: "busy" },
  SUCCEEDED: { label: "Succeeded", tone: "good" },
  FAILED: { label: "Failed", tone: "bad" },
  CANCELLED: { label: "Cancelled", tone: "idle" },
};

export const TRIGGERS: Record<string, string> = {
  CATCH_UP: "catch-up",
  INITIAL: "first load",
  MANUAL: "by hand",
  SCHEDULE: "schedule",
  WEBHOOK: "webhook",
};

export const OUTCOMES: Record<string, { label: string; tone: Tone }> = {
  QUEUED_SYNC: { label: "Queued a run", tone: "good" },
  COALESCED: { label: "Joined a waiting run", tone: "good" },
  INTEGRATION_UPDATED: { label: "Updated the integration", tone: "good" },
  IGNORED: { label: "Ignored", tone: "idle" },
};

/** An integration's health is that of its endpoint which needs somebody most. */
export function worst(endpoints: Pick<EndpointSummary, "health">[]): Health {
  return HEALTHS.find((health) => endpoints.some((endpoint) => endpoint.health === health)) ?? "AWAITING_FIRST_SYNC";
}

/** The age of the mirror's data, by the endpoint that is furthest behind; null before the first complete fetch. */
export function lag(endpoints: EndpointSummary[]): number | null {
  const known = endpoints.filter((endpoint) => endpoint.health !== "UNAVAILABLE");
  if (known.length === 0 || known.some((endpoint) => endpoint.lagSeconds === null)) return null;
  return Math.max(...known.map((endpoint) => endpoint.lagSeconds ?? 0));
}

export function heldBack(endpoints: Pick<EndpointSummary, "removalsHeldBack">[]): number {
  return endpoints.reduce((sum, endpoint) => sum + endpoint.removalsHeldBack, 0);
}

export function nameOf(integration: Pick<IntegrationSummary, "organizationName" | "komboId">): string {
  return integration.organizationName ?? integration.komboId;
}

const NUMBERS = new Intl.NumberFormat("en");
export const count = (value: number): string => NUMBERS.format(value);

/** `1 row`, `12 rows`. */
export function counted(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** `SOME_WORD` as `some word`. */
export const plain = (word: string): string => word.toLowerCase().replaceAll("_", " ");
