// Taking up an integration that no webhook has named yet.
import { useState } from "preact/hooks";
import { ask } from "../api/ask.ts";
import { DOCUMENTS } from "../api/documents.ts";
import { Action } from "../parts/actions.tsx";

export function Register() {
  const [komboId, setKomboId] = useState("");
  const deed = async () => {
    const id = komboId.trim();
    await ask(DOCUMENTS.register, { komboId: id });
    setKomboId("");
    return `${id} is mirrored from now on.`;
  };
  return (
    <details class="card">
      <summary>Register an integration</summary>
      <p class="search">
        <label for="register">Kombo's integration id</label>
        <input
          id="register"
          type="text"
          autocomplete="off"
          spellcheck={false}
          placeholder="moodle:7C9M5s…"
          value={komboId}
          onInput={(event) => setKomboId(event.currentTarget.value)}
        />
        <Action label="Register" name="Register the integration" deed={deed} />
      </p>
    </details>
  );
}
