// Lists that the API has for all integrations only, narrowed here to one.
import type { Pages } from "../api/pages.ts";

interface Narrowed<T> {
  rows: T[];
  /** Whether some of those that were not loaded may belong to it as well. */
  isPartial: boolean;
}

export function ofIntegration<T extends { integration: { komboId: string } }>(pages: Pages<T>, komboId: string | null): Narrowed<T> {
  const all = pages.nodes ?? [];
  const rows = komboId ? all.filter((row) => row.integration.komboId === komboId) : all;
  return { rows, isPartial: komboId !== null && pages.hasMore };
}
