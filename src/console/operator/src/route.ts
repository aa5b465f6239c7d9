// Which page is shown: the part of the address after `#`, so that a deep link works without any route in the server.
import { createStore } from "./store.ts";

export type Route =
  | { page: "integrations" }
  | { page: "integration"; komboId: string }
  | { page: "runs" }
  | { page: "webhooks" }
  | { page: "parked" }
  | { page: "drift" }
  | { page: "unknown"; address: string };

const LISTS = ["runs", "webhooks", "parked", "drift"] as const;

export function read(hash: string): Route {
  const [first = "", ...rest] = hash.replace(/^#\/?/, "").split("/");
  const list = LISTS.find((name) => name === first);
  if (first === "" || (first === "integrations" && rest.length === 0)) return { page: "integrations" };
  if (list && rest.length === 0) return { page: list };
  if (first === "integrations" && rest.length === 1 && rest[0]) {
    try {
      return { page: "integration", komboId: decodeURIComponent(rest[0]) };
    } catch {
      // An address that somebody cut off in the middle of an escape.
    }
  }
  return { page: "unknown", address: hash };
}

export function toIntegration(komboId: string): string {
  return `#/integrations/${encodeURIComponent(komboId)}`;
}

export const route = createStore(read(location.hash));
addEventListener("hashchange", () => route.set(read(location.hash)));
