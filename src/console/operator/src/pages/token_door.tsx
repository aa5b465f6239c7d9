// Asks for the bearer token when the server does.
import { useState } from "preact/hooks";
import { readToken, takeToken, token } from "../token.ts";
import { useStore } from "../store.ts";

export function TokenDoor() {
  const bearer = useStore(token);
  const [typed, setTyped] = useState("");
  const [fault, setFault] = useState<string | null>(null);
  const give = (event: Event) => {
    event.preventDefault();
    const read = readToken(typed);
    if (read === null) return setFault("A token has no spaces and no special characters, and is not empty.");
    setFault(null);
    takeToken(read);
  };
  const hint = fault ?? (bearer ? "The server did not accept this token (401)." : null);
  return (
    <form class="card door" onSubmit={give}>
      <h1>Operator's console</h1>
      <p>This server asks for a token: one of its API_READ_TOKENS or API_ADMIN_TOKENS, or a JWT.</p>
      <label for="token">Bearer token</label>
      <input
        id="token"
        type="password"
        autocomplete="off"
        spellcheck={false}
        aria-describedby="token-hint"
        aria-invalid={hint !== null}
        value={typed}
        onInput={(event) => setTyped(event.currentTarget.value)}
      />
      <p id="token-hint" class="hint" role="alert">
        {hint}
      </p>
      <button type="submit" class="strong">
        Open
      </button>
      <p class="quiet">It stays in this tab and goes to this server only.</p>
    </form>
  );
}
