// The dialog in which somebody decides about rows that the removal guard kept: it shows the very rows that would go, and
// the button says how many. Nothing is removed that was not offered here.
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, ask } from "../api/ask.ts";
import { DOCUMENTS } from "../api/documents.ts";
import { useHeldBackRuns, type HeldBackRun } from "../api/held_back_runs.ts";
import { usePages } from "../api/pages.ts";
import { known, refreshAll } from "../api/poll.ts";
import type { Endpoint, HeldBackRow, Page } from "../api/types.ts";
import { say } from "../parts/announcer.tsx";
import { Empty, Loading, Moment, More, Problem } from "../parts/basics.tsx";
import { NEEDS_ADMIN, useScope } from "../parts/scope.tsx";
import { Table, type Column } from "../parts/table.tsx";
import { counted, ENDPOINTS, MODES, plain } from "../words.ts";

interface DialogProps {
  komboId: string;
  endpoint: Endpoint;
  /** How many rows the endpoint says are held back. */
  wanted: number;
  close: () => void;
}

export function RemovalsDialog({ komboId, endpoint, wanted, close }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  // A modal dialog keeps the focus, ends with Escape, and gives the focus back to the button that opened it.
  useEffect(() => dialog.current?.showModal(), []);
  const { runs, error } = useHeldBackRuns(komboId, endpoint, wanted);
  return (
    <dialog ref={dialog} class="removals" aria-labelledby="removals-title" onClose={close}>
      <header>
        <h2 id="removals-title">Held-back removals: {ENDPOINTS[endpoint]}</h2>
        <button type="button" aria-label="Close" onClick={() => dialog.current?.close()}>
          ✕
        </button>
      </header>
      <p>
        A fetch of <span class="id">{komboId}</span> no longer showed these rows. So many at once may be a fault of Kombo or of
        the learning system, so they were kept. Rows that Kombo shows again leave this list by themselves, and the next full
        fetch judges anew.
      </p>
      <Problem error={error} what="The runs could not be read." />
      {!runs && !error && <Loading what="the rows" />}
      {runs?.length === 0 && <Empty>Nothing waits any more.</Empty>}
      {runs?.map((run) => (
        <OfRun key={run.id} run={run} close={() => dialog.current?.close()} />
      ))}
    </dialog>
  );
}

interface RowsAnswer {
  syncRun: { heldBackRemovals: Page<HeldBackRow> } | null;
}

const ROWS_AT_ONCE = 20;

function OfRun({ run, close }: { run: HeldBackRun; close: () => void }) {
  const rows = usePages<HeldBackRow>({
    document: DOCUMENTS.heldBackRows,
    variables: { run: run.id, first: ROWS_AT_ONCE },
    pick: (data: RowsAnswer) => data.syncRun?.heldBackRemovals ?? null,
    idOf,
  });
  return (
    <section aria-label={`Kept by the ${MODES[run.mode]} fetch`}>
      <p class="quiet">
        Kept by the {MODES[run.mode]} fetch that ended <Moment at={run.finishedAt} />:
      </p>
      <Problem error={rows.error} what="The rows could not be read." />
      {!rows.nodes && !rows.error && <Loading what="the rows" />}
      {rows.nodes && (
        <>
          <div class="rows" tabIndex={0} role="region" aria-label="Rows that would be removed">
            <Table caption="Rows that would be removed" columns={COLUMNS} rows={rows.nodes} idOf={idOf} />
            <More
              shown={rows.nodes.length}
              total={rows.totalCount}
              hasMore={rows.hasMore}
              isLoading={rows.isLoadingMore}
              what="rows"
              more={rows.more}
            />
          </div>
          <Decision run={run} count={rows.totalCount ?? 0} close={close} />
        </>
      )}
    </section>
  );
}

/** Errors are shown here: what stands behind a modal dialog is not heard. */
function Decision({ run, count, close }: { run: HeldBackRun; count: number; close: () => void }) {
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError | null>(null);
  const mayNot = useScope() === "read";
  const approve = async () => {
    if (isBusy) return;
    setBusy(true);
    try {
      const answer = await ask<{ approveRemovals: { removalsHeldBack: number } }>(DOCUMENTS.approveRemovals, { run: run.id });
      say(`${counted(count - answer.approveRemovals.removalsHeldBack, "row")} removed.`);
      refreshAll();
      close();
    } catch (failure) {
      setError(known(failure));
      setBusy(false);
    }
  };
  return (
    <>
      <Problem error={error} what="Nothing was removed." />
      {mayNot && <p class="notice idle">{NEEDS_ADMIN}</p>}
      <p class="decision">
        <button type="button" class="danger" disabled={mayNot || count === 0} aria-disabled={isBusy} onClick={approve}>
          Remove {counted(count, "row")}
        </button>
        <button type="button" onClick={close}>
          Keep them
        </button>
      </p>
    </>
  );
}

const COLUMNS: Column<HeldBackRow>[] = [
  { name: "Record", kind: "main", cell: (row) => title(row) },
  { name: "Model", cell: (row) => plain(row.model) },
  { name: "Kombo's id", cell: (row) => <span class="id">{row.komboId}</span> },
  { name: "Id in the LMS", cell: (row) => <span class="id">{row.record?.remoteId ?? "none"}</span> },
  { name: "Changed", cell: (row) => <Moment at={row.record?.changedAt ?? null} none="not known" /> },
];

function idOf(row: HeldBackRow): string {
  return [row.model, row.komboId, row.linkedKomboId ?? ""].join(" ");
}

/** By what a person would know the row. */
function title(row: HeldBackRow) {
  const { record, linkedKomboId } = row;
  const person = (of: { firstName?: string | null; lastName?: string | null } | null | undefined) =>
    [of?.firstName, of?.lastName].filter(Boolean).join(" ");
  const enrolled = [person(record?.user), record?.courseRevision?.title].filter(Boolean).join(" in ");
  const name = record?.title ?? record?.name ?? (person(record) || enrolled || record?.workEmail || row.komboId);
  if (!linkedKomboId) return name;
  return (
    <>
      skill <span class="id">{linkedKomboId}</span> of {name}
    </>
  );
}
