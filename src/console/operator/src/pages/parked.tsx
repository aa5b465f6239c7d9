// Records that could not be read or stored. Their text may hold personal data: it is on the screen only where somebody
// opens it.
import { DOCUMENTS } from "../api/documents.ts";
import { usePages } from "../api/pages.ts";
import type { Page, ParkedRecord } from "../api/types.ts";
import { AdminOnly } from "../parts/admin_only.tsx";
import { Empty, Loading, Moment, More, Problem } from "../parts/basics.tsx";
import { ofIntegration } from "../parts/of_integration.ts";
import { Table, type Column } from "../parts/table.tsx";
import { toIntegration } from "../route.ts";
import { ENDPOINTS } from "../words.ts";

const AT_ONCE = 20;
/** Without the texts, so that most integrations are seen whole. */
const AT_ONCE_TO_NARROW = 200;
const EVERY_MS = 15_000;

export function Parked({ integration }: { integration: string | null }) {
  const Heading = integration ? "h2" : "h1";
  return (
    <section aria-labelledby="parked">
      <Heading id="parked">Parked records</Heading>
      <AdminOnly what="The list of parked records">
        <List integration={integration} />
      </AdminOnly>
    </section>
  );
}

function List({ integration }: { integration: string | null }) {
  const parked = usePages<ParkedRecord>({
    document: DOCUMENTS.parkedRecords,
    variables: { first: integration ? AT_ONCE_TO_NARROW : AT_ONCE, withText: !integration },
    pick: (data: { parkedRecords: Page<ParkedRecord> }) => data.parkedRecords,
    idOf,
    everyMs: EVERY_MS,
  });
  const { rows, isPartial } = ofIntegration(parked, integration);
  const columns = integration ? COLUMNS : [OF_INTEGRATION, ...COLUMNS, TEXT];
  const isLoaded = parked.nodes !== null;
  return (
    <>
      <Problem error={parked.error} what="The parked records could not be read." />
      {!isLoaded && !parked.error && <Loading what="parked records" />}
      {isLoaded && rows.length === 0 && <Empty>No record is parked{isPartial ? " among those that were loaded" : ""}.</Empty>}
      {rows.length > 0 && <Table caption="Parked records" columns={columns} rows={rows} idOf={idOf} />}
      {isLoaded && (rows.length > 0 || isPartial) && (
        <More
          shown={parked.nodes?.length ?? 0}
          total={parked.totalCount}
          hasMore={parked.hasMore}
          isLoading={parked.isLoadingMore}
          what={integration ? "parked records of all integrations" : "parked records"}
          more={parked.more}
        />
      )}
      {integration && rows.length > 0 && (
        <p>
          <a href="#/parked">Their texts as they came</a>
        </p>
      )}
    </>
  );
}

function idOf(record: ParkedRecord): string {
  return [record.integration.komboId, record.endpoint, record.komboId ?? "", record.firstSeenAt].join(" ");
}

const OF_INTEGRATION: Column<ParkedRecord> = {
  name: "Integration",
  cell: ({ integration: { komboId } }) => (
    <a class="id" href={toIntegration(komboId)}>
      {komboId}
    </a>
  ),
};

const COLUMNS: Column<ParkedRecord>[] = [
  { name: "Endpoint", cell: (record) => ENDPOINTS[record.endpoint] },
  { name: "Kombo's id", cell: (record) => <span class="id">{record.komboId ?? "unreadable"}</span> },
  { name: "What is wrong", cell: (record) => record.error },
  { name: "First seen", cell: (record) => <Moment at={record.firstSeenAt} /> },
  { name: "Last seen", cell: (record) => <Moment at={record.lastSeenAt} /> },
];

const TEXT: Column<ParkedRecord> = {
  name: "Text",
  cell: (record) => (
    <details>
      <summary>Show</summary>
      <pre tabIndex={0} aria-label="The record's text as it came">
        {record.record}
      </pre>
    </details>
  ),
};
