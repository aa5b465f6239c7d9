// The webhook inbox: what Kombo said, and what followed from it.
import { DOCUMENTS } from "../api/documents.ts";
import { usePages } from "../api/pages.ts";
import type { Page, WebhookEvent } from "../api/types.ts";
import { Badge, Empty, Loading, Moment, More, Problem, StatusBadge } from "../parts/basics.tsx";
import { AdminOnly } from "../parts/admin_only.tsx";
import { Table, type Column } from "../parts/table.tsx";
import { toIntegration } from "../route.ts";
import { count, ENDPOINTS, MODES, OUTCOMES } from "../words.ts";

const AT_ONCE = 20;
/** Where other things follow below. */
const AT_ONCE_AMONG_OTHERS = 8;

export function Webhooks({ integration }: { integration: string | null }) {
  const Heading = integration ? "h2" : "h1";
  return (
    <section aria-labelledby="webhooks">
      <Heading id="webhooks">Webhook inbox</Heading>
      <AdminOnly what="The webhook inbox">
        <Inbox integration={integration} />
      </AdminOnly>
    </section>
  );
}

function Inbox({ integration }: { integration: string | null }) {
  const filter = integration ? { integrationKomboId: { eq: integration } } : undefined;
  const events = usePages<WebhookEvent>({
    document: DOCUMENTS.webhookEvents,
    variables: { first: integration ? AT_ONCE_AMONG_OTHERS : AT_ONCE, filter },
    pick: (data: { webhookEvents: Page<WebhookEvent> }) => data.webhookEvents,
    idOf: (event) => event.id,
  });
  const { nodes } = events;
  const columns = integration ? COLUMNS : [...COLUMNS, OF_INTEGRATION];
  return (
    <>
      <Problem error={events.error} what="The inbox could not be read." />
      {!nodes && !events.error && <Loading what="webhooks" />}
      {nodes?.length === 0 && <Empty>No webhook has come yet. The hourly catch-up finds what they would have announced.</Empty>}
      {nodes && nodes.length > 0 && <Table caption="Webhooks, newest first" columns={columns} rows={nodes} idOf={(event) => event.id} />}
      {nodes && (
        <More
          shown={nodes.length}
          total={events.totalCount}
          hasMore={events.hasMore}
          isLoading={events.isLoadingMore}
          what="webhooks"
          more={events.more}
        />
      )}
    </>
  );
}

const COLUMNS: Column<WebhookEvent>[] = [
  { name: "Event", kind: "main", cell: (event) => <Event event={event} /> },
  { name: "Received", cell: (event) => <Moment at={event.receivedAt} /> },
  { name: "Changed models", cell: (event) => event.changedModels.join(", ") || <span class="quiet">none named</span> },
  { name: "Outcome", cell: (event) => <Outcome event={event} /> },
  { name: "Runs", cell: (event) => <RunsOf event={event} /> },
];

const OF_INTEGRATION: Column<WebhookEvent> = {
  name: "Integration",
  cell: ({ integrationKomboId }) =>
    integrationKomboId ? (
      <a class="id" href={toIntegration(integrationKomboId)}>
        {integrationKomboId}
      </a>
    ) : (
      <span class="quiet">none named</span>
    ),
};

function Event({ event }: { event: WebhookEvent }) {
  return (
    <>
      {event.type || "(no type)"}
      {event.duplicates > 0 && <small class="quiet"> and {count(event.duplicates)} times more</small>}
      <small class="id">{event.id}</small>
    </>
  );
}

function Outcome({ event }: { event: WebhookEvent }) {
  const { label, tone } = OUTCOMES[event.outcome] ?? { label: event.outcome, tone: "idle" };
  return <Badge tone={tone}>{label}</Badge>;
}

function RunsOf({ event }: { event: WebhookEvent }) {
  if (event.runs.length === 0) return <span class="quiet">none</span>;
  return (
    <span class="badges">
      {event.runs.map((run) => (
        <span key={run.id}>
          {ENDPOINTS[run.endpoint]}, {MODES[run.mode]} <StatusBadge status={run.status} />
        </span>
      ))}
    </span>
  );
}
