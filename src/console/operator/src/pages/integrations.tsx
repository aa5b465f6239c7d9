// The first page: every integration with what an operator looks for first. A thousand of them are loaded page by page,
// and searched and filtered here, because the API has no filter by health.
import { useMemo, useState } from "preact/hooks";
import { useLiveRuns, type LiveRuns } from "../api/live.ts";
import type { Health, IntegrationSummary } from "../api/types.ts";
import { useAllIntegrations } from "../api/all_integrations.ts";
import { Empty, Loading, More, Problem } from "../parts/basics.tsx";
import { useHistories } from "../parts/histories.ts";
import { count, HEALTH, HEALTHS, heldBack, worst } from "../words.ts";
import { IntegrationTable } from "./integration_table.tsx";
import { Register } from "./register.tsx";

/** As many rows as a person scans; more are a button away. */
const SHOWN_AT_ONCE = 25;

type Choice = Health | "ALL" | "HELD_BACK";

function matches(integration: IntegrationSummary, words: string): boolean {
  const { komboId, organizationName, tool } = integration;
  return [komboId, organizationName, tool].some((text) => text?.toLowerCase().includes(words));
}

function isChosen(integration: IntegrationSummary, choice: Choice): boolean {
  if (choice === "ALL") return true;
  if (choice === "HELD_BACK") return heldBack(integration.syncStatus) > 0;
  return worst(integration.syncStatus) === choice;
}

/** Those that need somebody come first; among equals the order stays that of the API. */
function inOrder(integrations: IntegrationSummary[]): IntegrationSummary[] {
  const rank = (integration: IntegrationSummary) => HEALTHS.indexOf(worst(integration.syncStatus));
  const calm = HEALTHS.indexOf("SYNCING");
  // What comes and goes with every fetch must not make rows jump about.
  return integrations.toSorted((a, b) => Math.min(rank(a), calm) - Math.min(rank(b), calm));
}

export function Integrations() {
  const { integrations, totalCount, error } = useAllIntegrations();
  const live = useLiveRuns(null);
  const [search, setSearch] = useState("");
  const [choice, setChoice] = useState<Choice>("ALL");
  const [limit, setLimit] = useState(SHOWN_AT_ONCE);
  const found = useMemo(() => {
    const words = search.trim().toLowerCase();
    return inOrder(integrations ?? []).filter((each) => matches(each, words) && isChosen(each, choice));
  }, [integrations, search, choice]);
  const shown = found.slice(0, limit);

  return (
    <>
      <h1>Integrations</h1>
      <Problem error={error} what="The integrations could not be read." />
      {!integrations && !error && <Loading what="integrations" />}
      {integrations?.length === 0 && (
        <Empty>The mirror knows no integration yet. Kombo's webhooks bring them, or register one by its id below.</Empty>
      )}
      {integrations && integrations.length > 0 && (
        <>
          <Filters integrations={integrations} choice={choice} choose={setChoice} />
          <p class="search">
            <label for="search">Search by name, id or tool</label>
            <input id="search" type="search" value={search} onInput={(event) => setSearch(event.currentTarget.value)} />
            {totalCount !== null && integrations.length < totalCount && (
              <span class="quiet" role="status">
                loaded {count(integrations.length)} of {count(totalCount)} …
              </span>
            )}
          </p>
          <p class="unseen" role="status">
            {found.length} integrations found
          </p>
          {found.length === 0 && <Empty>No integration fits the search and the filter.</Empty>}
          <Rows shown={shown} live={live} />
          <More
            shown={shown.length}
            total={found.length}
            hasMore={shown.length < found.length}
            what="integrations"
            more={() => setLimit(limit + SHOWN_AT_ONCE)}
          />
        </>
      )}
      {integrations && <Register />}
    </>
  );
}

function Rows({ shown, live }: { shown: IntegrationSummary[]; live: LiveRuns }) {
  const histories = useHistories(shown.map((integration) => integration.komboId));
  return shown.length > 0 ? <IntegrationTable rows={shown} histories={histories} live={live} /> : null;
}

interface FiltersProps {
  integrations: IntegrationSummary[];
  choice: Choice;
  choose: (choice: Choice) => void;
}

/** How many there are of each health; each is a button that shows only those. */
function Filters({ integrations, choice, choose }: FiltersProps) {
  const healths = HEALTHS.map((health) => ({ choice: health as Choice, ...HEALTH[health] }));
  const choices = [
    { choice: "ALL" as Choice, label: "All", tone: "idle" },
    ...healths,
    { choice: "HELD_BACK" as Choice, label: "Removals held back", tone: "warn" },
  ];
  return (
    <div class="filters" role="group" aria-label="Filter by health">
      {choices.map(({ choice: one, label, tone }) => {
        const number = integrations.filter((integration) => isChosen(integration, one)).length;
        if (number === 0 && one !== choice && one !== "ALL") return null;
        return (
          <button key={one} type="button" class={`filter ${tone}`} aria-pressed={one === choice} onClick={() => choose(one)}>
            <strong>{count(number)}</strong> {label}
          </button>
        );
      })}
    </div>
  );
}
