import { type Run, type RunEvent, RunState, type StepCompleted } from "../../../gen/retake/v1/run_pb.js";
import { RunView } from "../../../gen/retake/v1/run_service_pb.js";
import type { RunEventBody } from "../../../src/runs/run-record.ts";
import type { Connection } from "../connection.ts";

/** A run after everything is over: as GetRun shows it, and as WatchRun tells it from the first event on. */
export interface Journal {
  readonly run: Run;
  readonly events: readonly RunEvent[];
}

/** A step, and the attempt in which its result was journaled. */
export interface JournaledStep {
  readonly step: StepCompleted;
  readonly attempt: number;
}

const watchersAtOnce = 16;

/** Waits for every run of a server to end, and reads all of them. */
export async function readJournals({ runs }: Connection): Promise<Map<string, Journal>> {
  const runIds: string[] = [];
  let pageToken = "";
  do {
    const page = await runs.listRuns({ pageSize: 1000, pageToken });
    runIds.push(...page.runs.map(({ runId }) => runId));
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  const journals = new Map<string, Journal>();
  await Promise.all(
    Array.from({ length: watchersAtOnce }, async () => {
      for (let runId = runIds.pop(); runId !== undefined; runId = runIds.pop()) {
        const events: RunEvent[] = [];
        for await (const { update } of runs.watchRun({ runId, view: RunView.FULL })) {
          if (update.case === "event") {
            events.push(update.value);
          }
        }
        const { run } = await runs.getRun({ runId, view: RunView.FULL });
        if (run === undefined) {
          throw new Error(`run ${runId} is listed and watched, but GetRun shows nothing`);
        }
        journals.set(runId, { run, events });
      }
    }),
  );
  return journals;
}

type BodyOf<Kind extends RunEventBody["case"]> = Extract<RunEventBody, { case: Kind }>["value"];

/** The events of one kind. */
export function eventsOf<Kind extends RunEventBody["case"]>({ events }: Journal, kind: Kind): BodyOf<Kind>[] {
  return events.flatMap(({ event }) => (event.case === kind ? [event.value as BodyOf<Kind>] : []));
}

/** The steps of a run, each with the attempt that was open when it was journaled. */
export function stepsOf({ events }: Journal): JournaledStep[] {
  const steps: JournaledStep[] = [];
  let attempt = 0;
  for (const { event } of events) {
    if (event.case === "attemptStarted") {
      attempt = event.value.attempt;
    } else if (event.case === "stepCompleted") {
      steps.push({ step: event.value, attempt });
    }
  }
  return steps;
}

/** What a run is for people who read about a failed test. */
export function describeRun({ run, events }: Journal): string {
  return `${run.runId} (${run.workflow.split("/")[1]}, ${RunState[run.state]}): ${events.map(({ event }) => event.case).join(", ")}`;
}
