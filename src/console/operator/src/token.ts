// The bearer token: kept in this tab's sessionStorage under the name that the query page uses too, sent to this origin
// only. It must never reach a URL, localStorage or another host.
import { createStore } from "./store.ts";

const STORAGE_KEY = "kombo-mirror.token";

// sessionStorage throws where the browser blocks it; the token then lives in memory until the page is left.
function stored(): string {
  try {
    return sessionStorage.getItem(STORAGE_KEY) ?? "";
  } catch {
    return "";
  }
}

export const token = createStore(stored());

/** How often a token was given. The same one again is another try: the server may know it by now. */
export const given = createStore(0);

export function takeToken(value: string): void {
  try {
    if (value) sessionStorage.setItem(STORAGE_KEY, value);
    else sessionStorage.removeItem(STORAGE_KEY);
  } catch {
    // Kept in memory only.
  }
  token.set(value);
  given.set(given.get() + 1);
}

/**
 * Whether the server asks for a token, which it says in the page: a question without one would only be refused, and the
 * browser would report that as an error.
 */
export const isNeeded = document.querySelector('meta[name="kombo-mirror-auth"]')?.getAttribute("content") === "on";

/** What somebody pasted as a token, which may be the whole header; null: it can be none. */
export function readToken(pasted: string): string | null {
  const value = pasted.trim().replace(/^(authorization:\s*)?bearer\s+/i, "");
  return /^[\x21-\x7e]+$/.test(value) ? value : null;
}

export function authorization(): Record<string, string> {
  const value = token.get();
  return value ? { Authorization: `Bearer ${value}` } : {};
}
