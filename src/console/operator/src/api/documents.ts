// Everything the console ever asks, as files that the server's tests check against the schema. Nothing is asked that is
// not listed here.
import approveRemovals from "../documents/approve_removals.graphql?raw";
import cancelRun from "../documents/cancel_run.graphql?raw";
import heldBackRows from "../documents/held_back_rows.graphql?raw";
import heldBackRuns from "../documents/held_back_runs.graphql?raw";
import integration from "../documents/integration.graphql?raw";
import integrations from "../documents/integrations.graphql?raw";
import parkedRecords from "../documents/parked_records.graphql?raw";
import pause from "../documents/pause.graphql?raw";
import recentRuns from "../documents/recent_runs.graphql?raw";
import register from "../documents/register.graphql?raw";
import requestKomboSync from "../documents/request_kombo_sync.graphql?raw";
import resume from "../documents/resume.graphql?raw";
import resync from "../documents/resync.graphql?raw";
import runParts from "../documents/run_parts.graphql?raw";
import runUpdated from "../documents/run_updated.graphql?raw";
import runs from "../documents/runs.graphql?raw";
import schemaDrift from "../documents/schema_drift.graphql?raw";
import scope from "../documents/scope.graphql?raw";
import webhookEvents from "../documents/webhook_events.graphql?raw";

export const DOCUMENTS = {
  approveRemovals,
  cancelRun,
  heldBackRows,
  heldBackRuns,
  integration: integration + runParts,
  integrations,
  parkedRecords,
  pause,
  recentRuns,
  register,
  requestKomboSync,
  resume,
  resync,
  runUpdated: runUpdated + runParts,
  runs: runs + runParts,
  schemaDrift,
  scope,
  webhookEvents,
};
