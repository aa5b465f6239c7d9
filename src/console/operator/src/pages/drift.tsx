// Members and words that Kombo sends and this version does not know.
import { DOCUMENTS } from "../api/documents.ts";
import { usePages } from "../api/pages.ts";
import type { Page, SchemaDrift } from "../api/types.ts";
import { AdminOnly } from "../parts/admin_only.tsx";
import { Empty, Loading, Moment, More, Problem } from "../parts/basics.tsx";
import { ofIntegration } from "../parts/of_integration.ts";
import { Table, type Column } from "../parts/table.tsx";
import { toIntegration } from "../route.ts";
import { count, plain } from "../words.ts";

const AT_ONCE = 50;
const AT_ONCE_TO_NARROW = 200;
const EVERY_MS = 15_000;

export function Drift({ integration }: { integration: string | null }) {
  const Heading = integration ? "h2" : "h1";
  return (
    <section aria-labelledby="drift">
      <Heading id="drift">Schema drift</Heading>
      <AdminOnly what="Schema drift">
        <List integration={integration} />
      </AdminOnly>
    </section>
  );
}

function List({ integration }: { integration: string | null }) {
  const drift = usePages<SchemaDrift>({
    document: DOCUMENTS.schemaDrift,
    variables: { first: integration ? AT_ONCE_TO_NARROW : AT_ONCE },
    pick: (data: { schemaDrift: Page<SchemaDrift> }) => data.schemaDrift,
    idOf,
    everyMs: EVERY_MS,
  });
  const { rows, isPartial } = ofIntegration(drift, integration);
  const isLoaded = drift.nodes !== null;
  return (
    <>
      <Problem error={drift.error} what="The schema drift could not be read." />
      {!isLoaded && !drift.error && <Loading what="schema drift" />}
      {isLoaded && rows.length === 0 && (
        <Empty>Kombo sends nothing that this version does not know{isPartial ? ", among what was loaded" : ""}.</Empty>
      )}
      {rows.length > 0 && (
        <Table caption="Schema drift" columns={integration ? COLUMNS : [...COLUMNS, OF_INTEGRATION]} rows={rows} idOf={idOf} />
      )}
      {isLoaded && (rows.length > 0 || isPartial) && (
        <More
          shown={drift.nodes?.length ?? 0}
          total={drift.totalCount}
          hasMore={drift.hasMore}
          isLoading={drift.isLoadingMore}
          what={integration ? "sightings of all integrations" : "sightings"}
          more={drift.more}
        />
      )}
    </>
  );
}

function idOf(drift: SchemaDrift): string {
  return [drift.integration.komboId, drift.model, drift.kind, drift.name].join(" ");
}

const OF_INTEGRATION: Column<SchemaDrift> = {
  name: "Integration",
  cell: ({ integration: { komboId } }) => (
    <a class="id" href={toIntegration(komboId)}>
      {komboId}
    </a>
  ),
};

const COLUMNS: Column<SchemaDrift>[] = [
  { name: "Name", kind: "main", cell: (drift) => <code>{drift.name}</code> },
  { name: "Model", cell: (drift) => plain(drift.model) },
  { name: "What", cell: (drift) => (drift.kind === "MEMBER" ? "unknown member, kept beside the known ones" : "unknown word, shown as UNKNOWN") },
  { name: "Records", kind: "number", cell: (drift) => count(drift.sightings) },
  { name: "First seen", cell: (drift) => <Moment at={drift.firstSeenAt} /> },
  { name: "Last seen", cell: (drift) => <Moment at={drift.lastSeenAt} /> },
];
