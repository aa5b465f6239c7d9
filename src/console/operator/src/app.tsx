// The frame of every page: where one is, whether what is shown is live, whose token asks.
import { useEffect } from "preact/hooks";
import { access } from "./api/ask.ts";
import { refusal, useLiveness, useSocket, type Liveness } from "./api/live.ts";
import { Drift } from "./pages/drift.tsx";
import { Integration } from "./pages/integration.tsx";
import { Integrations } from "./pages/integrations.tsx";
import { Parked } from "./pages/parked.tsx";
import { AllRuns } from "./pages/runs.tsx";
import { TokenDoor } from "./pages/token_door.tsx";
import { Webhooks } from "./pages/webhooks.tsx";
import { Announcer } from "./parts/announcer.tsx";
import { Empty, Loading } from "./parts/basics.tsx";
import { useScope, useScopeOfToken } from "./parts/scope.tsx";
import { route, type Route } from "./route.ts";
import { useStore } from "./store.ts";
import { nextTheme, theme, type Theme } from "./theme.ts";
import { takeToken, token } from "./token.ts";

export function App() {
  useScopeOfToken();
  useSocket();
  const where = useStore(route);
  const isAccepted = useStore(access) === "accepted";
  useEffect(() => {
    document.title = `${titleOf(where)} – kombo-mirror`;
    scrollTo(0, 0);
  }, [where]);
  return (
    <>
      <a class="skip" href="#main" onClick={skip}>
        Skip to the content
      </a>
      <Bar where={where} />
      <main id="main" tabIndex={-1}>
        <Live />
        {isAccepted ? <Shown where={where} /> : <Door />}
      </main>
      <Announcer />
    </>
  );
}

/** By hand: the part after `#` is the page's address. */
function skip(event: Event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

function titleOf(where: Route): string {
  if (where.page === "integration") return where.komboId;
  return LINKS.find(({ page }) => page === where.page)?.label ?? "Console";
}

function Shown({ where }: { where: Route }) {
  switch (where.page) {
    case "integrations":
      return <Integrations />;
    case "integration":
      return <Integration key={where.komboId} komboId={where.komboId} />;
    case "runs":
      return <AllRuns />;
    case "webhooks":
      return <Webhooks integration={null} />;
    case "parked":
      return <Parked integration={null} />;
    case "drift":
      return <Drift integration={null} />;
    case "unknown":
      return (
        <Empty>
          There is no page {where.address}. <a href="#/">To the integrations</a>
        </Empty>
      );
  }
}

/** Before the server has taken a token. */
function Door() {
  const state = useStore(access);
  const liveness = useLiveness();
  if (state === "refused") return <TokenDoor />;
  return liveness === "unreachable" ? <Empty>The server cannot be reached. The console tries again by itself.</Empty> : <Loading what="the console" />;
}

const LINKS: { page: Route["page"]; href: string; label: string }[] = [
  { page: "integrations", href: "#/", label: "Integrations" },
  { page: "runs", href: "#/runs", label: "Runs" },
  { page: "webhooks", href: "#/webhooks", label: "Webhooks" },
  { page: "parked", href: "#/parked", label: "Parked records" },
  { page: "drift", href: "#/drift", label: "Schema drift" },
];

function Bar({ where }: { where: Route }) {
  const here = where.page === "integration" ? "integrations" : where.page;
  return (
    <header class="bar">
      <a class="brand" href="#/">
        kombo-mirror
      </a>
      <nav aria-label="Pages">
        {LINKS.map(({ page, href, label }) => (
          <a key={page} href={href} aria-current={page === here ? "page" : undefined}>
            {label}
          </a>
        ))}
        <a href="/graphiql">GraphiQL</a>
      </nav>
      <div class="tools">
        <LiveBadge />
        <Whose />
        <ThemeButton />
      </div>
    </header>
  );
}

const LIVENESS: Record<Liveness, { label: string; tone: string }> = {
  live: { label: "Live", tone: "good" },
  reconnecting: { label: "Reconnecting …", tone: "warn" },
  unreachable: { label: "Not reachable", tone: "bad" },
  waiting: { label: "Waiting", tone: "idle" },
};

function LiveBadge() {
  const { label, tone } = LIVENESS[useLiveness()];
  return (
    <span role="status" class={`badge ${tone}`}>
      {label}
    </span>
  );
}

/** Why nothing moves by itself, where the server does not let the console follow the runs. */
function Live() {
  const why = useStore(refusal);
  if (!why) return null;
  return <p class="notice warn">Runs are not shown live ({why}); what is shown is asked for every few seconds.</p>;
}

function Whose() {
  const bearer = useStore(token);
  const scope = useScope();
  const isAccepted = useStore(access) === "accepted";
  if (!isAccepted) return null;
  return (
    <>
      {scope !== "unknown" && <span class="quiet scope">{bearer ? `${scope} token` : "no token needed"}</span>}
      {bearer && (
        <button type="button" onClick={() => takeToken("")}>
          Forget token
        </button>
      )}
    </>
  );
}

const THEMES: Record<Theme, { sign: string; name: string }> = {
  system: { sign: "◐", name: "Auto" },
  light: { sign: "☀", name: "Light" },
  dark: { sign: "☾", name: "Dark" },
};

function ThemeButton() {
  const chosen = useStore(theme);
  const { sign, name } = THEMES[chosen];
  return (
    <button type="button" onClick={() => theme.set(nextTheme(chosen))} aria-label={`Colours: ${name}. Change them`}>
      {sign} <span class="theme-name">{name}</span>
    </button>
  );
}
