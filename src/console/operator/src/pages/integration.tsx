// One integration: how fresh both hops are, each endpoint, and what happened lately.
import { useMemo } from "preact/hooks";
import { isOpen, newer, useLiveRuns, type LiveRuns } from "../api/live.ts";
import { DOCUMENTS } from "../api/documents.ts";
import { usePolled } from "../api/poll.ts";
import type { EndpointStatus, Integration as Shape, PastRun } from "../api/types.ts";
import { duration, now } from "../clock.ts";
import { PauseOrResume, ReadOnlyNote, RequestKomboSync, Resync } from "../parts/actions.tsx";
import { Badge, Empty, Fact, HealthBadge, Loading, Moment, Problem } from "../parts/basics.tsx";
import { historyOf } from "../parts/history.ts";
import { ENDPOINTS, nameOf, plain, worst } from "../words.ts";
import { EndpointCard } from "./endpoint.tsx";
import { Drift } from "./drift.tsx";
import { Parked } from "./parked.tsx";
import { Runs } from "./runs.tsx";
import { Timeline } from "./timeline.tsx";
import { Webhooks } from "./webhooks.tsx";

const HISTORY_EVERY_MS = 15_000;

export function Integration({ komboId }: { komboId: string }) {
  const { data, error } = usePolled<{ integration: Shape | null }>(DOCUMENTS.integration, { komboId });
  const live = useLiveRuns(komboId);
  const integration = data?.integration;
  return (
    <>
      <p class="crumbs">
        <a href="#/">Integrations</a> / <span class="id">{komboId}</span>
      </p>
      <Problem error={error} what="The integration could not be read." />
      {!data && !error && <Loading what="the integration" />}
      {data && !integration && <Empty>The mirror knows no integration {komboId}, or your token may not see it.</Empty>}
      {integration && <Known integration={integration} live={live} />}
    </>
  );
}

function Known({ integration, live }: { integration: Shape; live: LiveRuns }) {
  const { komboId } = integration;
  const isGone = integration.deletedAt !== null;
  return (
    <>
      <header class="title">
        <div>
          <h1>{nameOf(integration)}</h1>
          <p class="badges">
            {isGone ? <Badge tone="idle">Deleted</Badge> : <HealthBadge health={worst(integration.syncStatus)} />}
            {integration.paused && <Badge tone="idle">Paused by request</Badge>}
            <Badge tone={stateTone(integration.state)}>{plain(integration.state)} at Kombo</Badge>
            {integration.tool && <span class="quiet">{integration.tool}</span>}
          </p>
        </div>
        {!isGone && (
          <div class="actions" role="group" aria-label="The whole integration">
            <Resync komboId={komboId} mode="DELTA" />
            <Resync komboId={komboId} mode="FULL" />
            <PauseOrResume komboId={komboId} isPaused={integration.paused} />
            <RequestKomboSync komboId={komboId} />
          </div>
        )}
      </header>
      <ReadOnlyNote />
      <Hops integration={integration} />
      <Endpoints integration={integration} live={live} />
      <Timeline komboId={komboId} live={live} />
      <Runs integration={komboId} live={live} />
      <Webhooks integration={komboId} />
      <Parked integration={komboId} />
      <Drift integration={komboId} />
    </>
  );
}

function stateTone(state: Shape["state"]) {
  if (state === "ACTIVE") return "good";
  return state === "INVALID" ? "bad" : "idle";
}

function Endpoints({ integration, live }: { integration: Shape; live: LiveRuns }) {
  const variables = { integrations: [integration.komboId] };
  const { data } = usePolled<{ syncRuns: { nodes: PastRun[] } }>(DOCUMENTS.recentRuns, variables, HISTORY_EVERY_MS);
  const histories = useMemo(() => {
    const byEndpoint = Map.groupBy(data?.syncRuns.nodes ?? [], (run) => run.endpoint);
    return new Map([...byEndpoint].map(([endpoint, runs]) => [endpoint, historyOf(runs, now())]));
  }, [data]);
  return (
    <section aria-labelledby="endpoints">
      <h2 id="endpoints">Endpoints</h2>
      <div class="endpoints">
        {inOrder(integration.syncStatus).map((status) => (
          <EndpointCard
            key={status.endpoint}
            komboId={integration.komboId}
            isGone={integration.deletedAt !== null}
            status={moved(status, live)}
            history={histories.get(status.endpoint) ?? null}
          />
        ))}
      </div>
    </section>
  );
}

/** As people think of them, not as the alphabet has them. */
function inOrder(endpoints: EndpointStatus[]): EndpointStatus[] {
  const order = Object.keys(ENDPOINTS);
  return endpoints.toSorted((a, b) => order.indexOf(a.endpoint) - order.indexOf(b.endpoint));
}

/** The state as polled, with the runs as last heard: of an endpoint at most one works and one waits. */
function moved(status: EndpointStatus, live: LiveRuns): EndpointStatus {
  const heard = [...live.values()].filter((run) => run.endpoint === status.endpoint);
  const polled = status.activeRun && newer(status.activeRun, live.get(status.activeRun.id));
  const open = [...heard.filter(isOpen), ...(polled && isOpen(polled) && !live.has(polled.id) ? [polled] : [])];
  const activeRun = open.find((run) => run.status === "RUNNING") ?? open[0] ?? null;
  const ended = [...heard.filter((run) => !isOpen(run)), ...(status.lastRun ? [status.lastRun] : [])];
  const lastRun = ended.toSorted((a, b) => (b.finishedAt ?? "").localeCompare(a.finishedAt ?? ""))[0] ?? null;
  return { ...status, activeRun, lastRun };
}

/** The way of the data: from the learning system to Kombo, and from Kombo to here. */
function Hops({ integration }: { integration: Shape }) {
  const known = integration.syncStatus.filter((endpoint) => endpoint.health !== "UNAVAILABLE");
  const oldest = known.every((endpoint) => endpoint.lagSeconds !== null)
    ? Math.max(0, ...known.map((endpoint) => endpoint.lagSeconds ?? 0))
    : null;
  return (
    <section class="hops" aria-label="Freshness">
      <div class="card">
        <h2>LMS → Kombo</h2>
        <p class="figure">
          <Moment at={integration.lastKomboSyncAt} none="no word yet" />
        </p>
        <dl class="facts">
          <Fact name="Last sync ended as">{integration.lastKomboSyncState ? plain(integration.lastKomboSyncState) : "unknown"}</Fact>
          <Fact name="Data outdated since">
            {integration.dataExpiredAt ? (
              <Badge tone="bad">
                <Moment at={integration.dataExpiredAt} />
              </Badge>
            ) : (
              "not outdated"
            )}
          </Fact>
          <Fact name="Set-up at Kombo">{integration.setupStatus ? plain(integration.setupStatus) : "unknown"}</Fact>
          {integration.unavailableModels.length > 0 && (
            <Fact name="Models that Kombo lacks">{integration.unavailableModels.join(", ")}</Fact>
          )}
        </dl>
      </div>
      <div class="card">
        <h2>Kombo → mirror</h2>
        <p class="figure">{oldest === null ? <span class="quiet">not complete yet</span> : `${duration(oldest)} behind`}</p>
        <dl class="facts">
          <Fact name="Last webhook">
            <Moment at={integration.lastWebhookAt} />
          </Fact>
          <Fact name="Known since">
            <Moment at={integration.registeredAt} />
          </Fact>
          {integration.originId && <Fact name="Your own id">{integration.originId}</Fact>}
          {integration.deletedAt && (
            <Fact name="Deleted at Kombo">
              <Moment at={integration.deletedAt} />
            </Fact>
          )}
          {integration.purgedAt && (
            <Fact name="Mirrored data removed">
              <Moment at={integration.purgedAt} />
            </Fact>
          )}
        </dl>
      </div>
    </section>
  );
}
