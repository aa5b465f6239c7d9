// The buttons that change something, each with what it asks of the API and what it says afterwards.
import { useId, useState } from "preact/hooks";
import { ask } from "../api/ask.ts";
import { DOCUMENTS } from "../api/documents.ts";
import type { Endpoint, Mode, Run } from "../api/types.ts";
import { counted, ENDPOINTS, MODES } from "../words.ts";
import { act } from "./announcer.tsx";
import { NEEDS_ADMIN, useScope } from "./scope.tsx";

interface ActionProps {
  /** What the button says. */
  label: string;
  /** The whole name, where the label alone does not say of what. */
  name?: string;
  kind?: "strong" | "danger";
  deed: () => Promise<string>;
}

/** A button that needs the admin scope; with a lesser token it is there, disabled, and says why. */
export function Action({ label, name = label, kind, deed }: ActionProps) {
  const scope = useScope();
  const [isBusy, setBusy] = useState(false);
  const reason = useId();
  const press = async () => {
    // Not `disabled` meanwhile, which would take the focus away from whoever pressed it by keyboard.
    if (isBusy) return;
    setBusy(true);
    await act(name, deed);
    setBusy(false);
  };
  const mayNot = scope === "read";
  return (
    <>
      <button
        type="button"
        class={kind}
        aria-label={name === label ? undefined : name}
        aria-describedby={mayNot ? reason : undefined}
        title={mayNot ? NEEDS_ADMIN : undefined}
        aria-disabled={isBusy}
        disabled={mayNot}
        onClick={press}
      >
        {label}
      </button>
      {mayNot && (
        <span id={reason} class="unseen">
          {NEEDS_ADMIN}
        </span>
      )}
    </>
  );
}

interface Resynced {
  triggerResync: { coalesced: boolean; runs: Pick<Run, "id">[] };
}

export function Resync({ komboId, endpoint, mode }: { komboId: string; endpoint?: Endpoint; mode: Mode }) {
  const of = endpoint ? ENDPOINTS[endpoint] : "all endpoints";
  const name = `${mode === "FULL" ? "Full" : "Delta"} resync of ${of}`;
  const deed = async () => {
    const input = { integrationKomboId: komboId, endpoints: endpoint ? [endpoint] : null, mode };
    const { triggerResync } = await ask<Resynced>(DOCUMENTS.resync, { input });
    const runs = counted(triggerResync.runs.length, `${MODES[mode]} run`);
    return triggerResync.coalesced ? `${runs} of ${of} waited already.` : `${runs} of ${of} asked for.`;
  };
  return <Action label={mode === "FULL" ? "Full resync" : "Delta resync"} name={name} deed={deed} />;
}

export function PauseOrResume({ komboId, isPaused }: { komboId: string; isPaused: boolean }) {
  const deed = async () => {
    await ask(isPaused ? DOCUMENTS.resume : DOCUMENTS.pause, { komboId });
    return isPaused
      ? "Resumed: each run goes on where it stopped."
      : "Paused: nothing is fetched; webhooks are still accepted, and what they ask for waits.";
  };
  return <Action label={isPaused ? "Resume" : "Pause"} deed={deed} />;
}

export function CancelRun({ run }: { run: Run }) {
  const name = `Cancel the ${MODES[run.mode]} run of ${ENDPOINTS[run.endpoint]}`;
  const deed = async () => {
    await ask(DOCUMENTS.cancelRun, { id: run.id });
    return `Cancelled the ${MODES[run.mode]} run of ${ENDPOINTS[run.endpoint]}; what it has stored stays.`;
  };
  return <Action label="Cancel" name={name} deed={deed} />;
}

export function RequestKomboSync({ komboId }: { komboId: string }) {
  const deed = async () => {
    const document = DOCUMENTS.requestKomboSync;
    const answer = await ask<{ requestKomboSync: { alreadyQueued: boolean } }>(document, { komboId });
    return answer.requestKomboSync.alreadyQueued
      ? "Kombo was already about to sync; the data arrives by webhook."
      : "Kombo syncs with the learning system; the data arrives by webhook.";
  };
  return <Action label="Ask Kombo to sync" deed={deed} />;
}

/** Shown once beside the buttons that a token cannot press. */
export function ReadOnlyNote() {
  if (useScope() !== "read") return null;
  return <p class="notice idle">This token may read. Buttons that change something need one with the admin scope.</p>;
}
