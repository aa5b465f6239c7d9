// Says what came of a button: shown for a while, and read out by screen readers. One place for the whole page, because
// a live region that comes and goes with its content is not heard.
import { ApiError } from "../api/ask.ts";
import { known, refreshAll } from "../api/poll.ts";
import { createStore, useStore } from "../store.ts";

interface Said {
  key: number;
  text: string;
  error: ApiError | null;
}

const said = createStore<Said | null>(null);
/** Long enough to be read twice; an error stays until it is put away. */
const SHOWN_MS = 8_000;
let key = 0;

export function say(text: string, error: ApiError | null = null): void {
  const words = { key: ++key, text, error };
  said.set(words);
  if (!error) setTimeout(() => said.get()?.key === words.key && said.set(null), SHOWN_MS);
}

/** Does what a button promises, says what came of it, and has everything asked for again. */
export async function act(what: string, deed: () => Promise<string>): Promise<void> {
  try {
    say(await deed());
  } catch (error) {
    say(`${what} did not work.`, known(error));
  } finally {
    refreshAll();
  }
}

export function Announcer() {
  const words = useStore(said);
  return (
    <div class="announcer">
      <div role="status">{words && !words.error && <p class="notice good">{words.text}</p>}</div>
      <div role="alert">
        {words?.error && (
          <p class="notice bad">
            {words.text} <code>{words.error.code}</code> {words.error.message}{" "}
            <button type="button" onClick={() => said.set(null)}>
              Close
            </button>
          </p>
        )}
      </div>
    </div>
  );
}
