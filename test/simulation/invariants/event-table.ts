import { type RunEvent, RunMode } from "../../../gen/retake/v1/run_pb.js";
import type { RunHistory } from "../world/history.ts";
import { assert, type Invariant } from "../world/witness.ts";

type Kind = Exclude<RunEvent["event"]["case"], undefined>;
type Open = "QUEUED" | "RUNNING" | "BACKING_OFF" | "PARKED" | "DELEGATED" | "CANCELLING";
type Ended = "SUCCEEDED" | "FAILED" | "CANCELLED" | "EXPIRED";
type State = Open | Ended;

/** Where an event is allowed, and where the run is becomes: in one state, or in the same, or in one that depends on where it was. */
interface Row {
  readonly in: readonly Open[];
  readonly becomes: State | "same" | Readonly<Partial<Record<Open, State>>>;
}

const open: readonly Open[] = ["QUEUED", "RUNNING", "BACKING_OFF", "PARKED", "DELEGATED", "CANCELLING"];
const openButCancelling = open.filter((state) => state !== "CANCELLING");

/** The table of design.md, written down once more: what the server's own reducer says does not count here. */
const table: Readonly<Record<Exclude<Kind, "accepted">, Row>> = {
  attemptStarted: { in: ["QUEUED"], becomes: "RUNNING" },
  attemptCheckpoint: { in: ["RUNNING"], becomes: "same" },
  progressSampled: { in: ["RUNNING"], becomes: "same" },
  faultInjected: { in: ["RUNNING"], becomes: "same" },
  updateRecorded: { in: ["RUNNING"], becomes: "same" },
  stepCompleted: { in: ["RUNNING"], becomes: "same" },
  childStarted: { in: ["RUNNING"], becomes: "same" },
  childEnded: { in: ["RUNNING", "CANCELLING"], becomes: "same" },
  attemptFailed: { in: ["RUNNING", "CANCELLING"], becomes: { RUNNING: "QUEUED", CANCELLING: "CANCELLING" } },
  recoveryActed: { in: ["QUEUED"], becomes: "same" },
  fallbackSkipped: { in: ["QUEUED"], becomes: "same" },
  retryScheduled: { in: ["QUEUED"], becomes: "BACKING_OFF" },
  parked: { in: ["QUEUED"], becomes: "PARKED" },
  woken: { in: ["BACKING_OFF", "PARKED"], becomes: "QUEUED" },
  fallbackStarted: { in: ["QUEUED"], becomes: "DELEGATED" },
  fallbackEnded: { in: ["DELEGATED", "CANCELLING"], becomes: { DELEGATED: "QUEUED", CANCELLING: "CANCELLING" } },
  orphaned: { in: open, becomes: "same" },
  rejoined: { in: open, becomes: "same" },
  cancelRequested: { in: openButCancelling, becomes: "CANCELLING" },
  succeeded: { in: ["RUNNING", "DELEGATED"], becomes: "SUCCEEDED" },
  failed: { in: ["QUEUED"], becomes: "FAILED" },
  cancelled: { in: ["CANCELLING"], becomes: "CANCELLED" },
  expired: { in: openButCancelling, becomes: "EXPIRED" },
};

/** Events that never come alone: what follows them is in the same append. */
const commitTogether: ReadonlySet<Kind> = new Set(["attemptFailed", "fallbackEnded"]);

export const eventTable: Invariant = {
  name: "the table of events holds",
  witness: () => {
    /** Runs that make no more attempts of their own. The others go on waiting when their fallback has ended. */
    const givenUp = new Set<string>();
    return {
      appended(runId, events) {
        for (const { event } of events) {
          if (event.case === "fallbackStarted" && event.value.failure !== undefined) {
            givenUp.add(runId);
          }
        }
        const last = events.at(-1)?.event;
        // An interruption is followed by nothing: the next server takes the run from there.
        const isInterruption = last?.case === "attemptFailed" && !last.value.counted;
        const isHeldBack = last?.case === "fallbackEnded" && !givenUp.has(runId);
        assert(
          last?.case === undefined || !commitTogether.has(last.case) || isInterruption || isHeldBack,
          `${last?.case} of run ${runId} was appended without what follows it`,
        );
      },
      concluded(history) {
        for (const run of history.values()) {
          assertFollowsTable(run);
        }
      },
    };
  },
};

/** @throws Violation */
export function assertFollowsTable({ runId, accepted, events }: RunHistory): void {
  let state: State = "QUEUED";
  let attempt = 0;
  let openAttempt: number | undefined;
  let isOrphaned = false;
  events.forEach(({ event, sequence }, index) => {
    const where = `event ${sequence} (${event.case}) of run ${runId}`;
    assert(sequence === BigInt(index + 1), `${where} stands at place ${index + 1}`);
    if (index === 0) {
      assert(
        event.case === "accepted" && event.value.runId === runId,
        `${where} is first, and no acceptance of its own`,
      );
      return;
    }
    assert(event.case !== undefined && event.case !== "accepted", `${where} is not first`);
    const row = table[event.case];
    const from = state;
    assert(isOpen(from), `${where} follows the end of the run, which is ${from}`);
    assert(row.in.includes(from), `${where} is not allowed where the run is ${from}`);
    switch (event.case) {
      case "attemptStarted":
        assert(openAttempt === undefined, `${where} comes before attempt ${openAttempt} was closed`);
        assert(event.value.attempt === ++attempt, `${where} is attempt ${event.value.attempt}, and ${attempt} is next`);
        openAttempt = attempt;
        break;
      case "attemptCheckpoint":
      case "progressSampled":
      case "faultInjected":
      case "updateRecorded":
        assert(event.value.attempt === openAttempt, `${where} is of attempt ${event.value.attempt}, which is not open`);
        break;
      case "attemptFailed":
        assert(
          event.value.attempt === openAttempt,
          `${where} closes attempt ${event.value.attempt}, which is not open`,
        );
        openAttempt = undefined;
        break;
      case "succeeded":
        assert(openAttempt !== undefined || from === "DELEGATED", `${where} comes without an open attempt`);
        openAttempt = undefined;
        break;
      case "cancelled":
      case "expired":
        assert(openAttempt === undefined, `${where} leaves attempt ${openAttempt} open`);
        break;
      case "orphaned":
      case "rejoined":
        assert(accepted.mode === RunMode.ATTACHED_KEYED, `${where} happens to a run that is not attached with a key`);
        assert(isOrphaned === (event.case === "rejoined"), `${where} comes twice in a row`);
        isOrphaned = event.case === "orphaned";
        break;
    }
    state = nextState(row, from);
  });
}

function nextState({ becomes }: Row, from: Open): State {
  if (becomes === "same") {
    return from;
  }
  return typeof becomes === "string" ? becomes : (becomes[from] ?? from);
}

function isOpen(state: State): state is Open {
  return (open as readonly State[]).includes(state);
}
