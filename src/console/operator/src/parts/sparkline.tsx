// Small pictures of a history, drawn as SVG attributes: the page's policy knows no inline styles. What they show is said
// in words too.
import { duration } from "../clock.ts";
import { counted } from "../words.ts";
import type { History } from "./history.ts";

const WIDTH = 100;
const HEIGHT = 24;

export function LagSparkline({ history, of }: { history: History | null; of: string }) {
  const known = history?.lags.filter((lag) => lag !== null) ?? [];
  if (!history || known.length < 2) return <NoHistory />;
  const most = Math.max(...known, 1);
  const step = WIDTH / (history.lags.length - 1);
  const points = history.lags.flatMap((lag, index) =>
    lag === null ? [] : `${(index * step).toFixed(2)},${(HEIGHT - 1 - (lag / most) * (HEIGHT - 3)).toFixed(2)}`,
  );
  const label = `Lag of ${of} over the last ${duration(history.spanSeconds)}: at most ${duration(most)}, now ${duration(known.at(-1) ?? 0)}`;
  return (
    <svg class="sparkline lag" role="img" aria-label={label} viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none">
      <title>{label}</title>
      <polyline points={points.join(" ")} />
    </svg>
  );
}

export function ChangesSparkline({ history, of }: { history: History | null; of: string }) {
  if (!history) return <NoHistory />;
  const sum = history.changes.reduce((total, changes) => total + changes, 0);
  const most = Math.max(...history.changes, 1);
  const step = WIDTH / history.changes.length;
  const label = `Changes of ${of} over the last ${duration(history.spanSeconds)}: ${counted(sum, "record")}`;
  return (
    <svg class="sparkline changes" role="img" aria-label={label} viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none">
      <title>{label}</title>
      {history.changes.map((changes, index) => {
        // A single change is still to be seen beside thousands.
        const height = changes === 0 ? 0.6 : Math.max(2, (changes / most) * (HEIGHT - 2));
        return <rect key={index} x={index * step + 0.4} width={step - 0.8} y={HEIGHT - height} height={height} />;
      })}
    </svg>
  );
}

function NoHistory() {
  return <span class="quiet">no runs yet</span>;
}
