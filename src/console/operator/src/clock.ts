// What time it is for the server, and how moments and durations are written. Ages are shown by the server's clock: a
// laptop that is minutes wrong would show fetches of the future.
import { createStore } from "./store.ts";

/** Redraws ages; more often would only make the page restless. */
const TICK_MS = 1_000;
/** A `Date` header has whole seconds and took its time: smaller differences mean nothing. */
const SKEW_THAT_MATTERS_MS = 3_000;

let skewMs = 0;

export function learnSkew(date: string | null): void {
  const server = Date.parse(date ?? "");
  if (Number.isNaN(server)) return;
  const skew = server - Date.now();
  skewMs = Math.abs(skew) > SKEW_THAT_MATTERS_MS ? skew : 0;
}

export function now(): number {
  return Date.now() + skewMs;
}

export const tick = createStore(now());
setInterval(() => document.visibilityState === "visible" && tick.set(now()), TICK_MS);

const UNITS: readonly [string, number][] = [
  ["d", 86_400],
  ["h", 3_600],
  ["min", 60],
  ["s", 1],
];

/** A duration in its two largest units: `2 d 3 h`, `45 s`. */
export function duration(seconds: number): string {
  if (seconds < 0.95) return `${Math.max(0, Math.round(seconds * 1000))} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1).replace(/\.0$/, "")} s`;
  let left = Math.round(seconds);
  const parts: string[] = [];
  for (const [unit, size] of UNITS) {
    const count = Math.floor(left / size);
    if (count > 0 || (unit === "s" && parts.length === 0)) parts.push(`${count} ${unit}`);
    left -= count * size;
    if (parts.length === 2 || (parts.length === 1 && left === 0)) break;
  }
  return parts.join(" ");
}

/** `5 min ago`, `in 6 d 2 h`. */
export function relative(moment: string, at: number): string {
  const seconds = (at - Date.parse(moment)) / 1000;
  if (Math.abs(seconds) < 1) return "now";
  const words = duration(Math.abs(Math.round(seconds)));
  return seconds > 0 ? `${words} ago` : `in ${words}`;
}

/** `2026-01-31 08:05:09 UTC`. */
export function exact(moment: string): string {
  const date = new Date(moment);
  if (Number.isNaN(date.getTime())) return moment;
  return `${date.toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

export function secondsBetween(from: string | null, to: string | null): number | null {
  if (!from || !to) return null;
  return Math.max(0, (Date.parse(to) - Date.parse(from)) / 1000);
}
