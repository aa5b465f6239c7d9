// The smallest parts: a word with its colour, a moment, a number with its name, an error as the API told it, a wait.
import type { ComponentChildren } from "preact";
import type { ApiError } from "../api/ask.ts";
import type { SyncError } from "../api/types.ts";
import { exact, relative, tick } from "../clock.ts";
import { useStore } from "../store.ts";
import { HEALTH, STATUSES, type Tone } from "../words.ts";
import type { Health, RunStatus } from "../api/types.ts";

interface BadgeProps {
  tone: Tone;
  title?: string;
  children: ComponentChildren;
}

export function Badge({ tone, title, children }: BadgeProps) {
  return (
    <span class={`badge ${tone}`} title={title}>
      {children}
    </span>
  );
}

export function HealthBadge({ health }: { health: Health }) {
  const { label, tone, meaning } = HEALTH[health] ?? { label: health, tone: "idle", meaning: "" };
  return (
    <Badge tone={tone} title={meaning}>
      {label}
    </Badge>
  );
}

export function StatusBadge({ status }: { status: RunStatus }) {
  const { label, tone } = STATUSES[status] ?? { label: status, tone: "idle" };
  return <Badge tone={tone}>{label}</Badge>;
}

/** A moment as its age, exact where one points at it. */
export function Moment({ at, none = "never" }: { at: string | null; none?: string }) {
  const now = useStore(tick);
  if (!at) return <span class="quiet">{none}</span>;
  return (
    <time dateTime={at} title={exact(at)}>
      {relative(at, now)}
    </time>
  );
}

/** A name and its value in a `<dl>`. */
export function Fact({ name, title, children }: { name: string; title?: string; children: ComponentChildren }) {
  return (
    <div class="fact" title={title}>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** What the API refused, in its own words. */
export function Problem({ error, what }: { error: ApiError | null; what: string }) {
  if (!error) return null;
  return (
    <p class="notice bad" role="alert">
      <strong>{what}</strong> <code>{error.code}</code> {error.message}
      {error.requestId && <span class="quiet"> (request {error.requestId})</span>}
    </p>
  );
}

/** Why a fetch did not succeed. */
export function FetchError({ error }: { error: SyncError }) {
  // Kombo's word: only an address of the web becomes a link.
  const logUrl = error.logUrl && /^https?:\/\//i.test(error.logUrl) ? error.logUrl : null;
  return (
    <p class="notice bad">
      <code>{error.code}</code> {error.message}{" "}
      <span class="quiet">
        <Moment at={error.at} />, {error.retryable ? "tried again by itself" : "not tried again by itself"}
      </span>{" "}
      {logUrl && (
        <a href={logUrl} target="_blank" rel="noopener noreferrer">
          Kombo's log entry
        </a>
      )}
    </p>
  );
}

export function Loading({ what }: { what: string }) {
  return (
    <p class="loading" role="status">
      Loading {what} …
    </p>
  );
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="empty">{children}</p>;
}

interface MoreProps {
  shown: number;
  total: number | null;
  hasMore: boolean;
  isLoading?: boolean;
  what: string;
  more: () => void;
}

/** How much of a list is shown, and the button for more. */
export function More({ shown, total, hasMore, isLoading = false, what, more }: MoreProps) {
  if (shown === 0) return null;
  return (
    <p class="more">
      <span class="quiet">
        {shown}
        {total !== null && ` of ${total}`} {what}
      </span>
      {hasMore && (
        <button type="button" onClick={more} disabled={isLoading}>
          {isLoading ? "Loading …" : `Show more ${what}`}
        </button>
      )}
    </p>
  );
}
