import { assert, type Invariant } from "../world/witness.ts";
import { promptMs } from "./times.ts";

interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Whatever a run waits for but the end of its attempt, it waits for without a turn. */
export const drains: Invariant = {
  name: "a server that stops waits for attempts, and for nothing else",
  witness: ({ plan, chronicle }) => {
    const drained: Span[] = [];
    /** While the disk takes nothing, nothing comes to its end. */
    const troubles = plan.faults.flatMap((fault) =>
      fault.kind === "disk" || fault.kind === "reads"
        ? [{ fromMs: fault.atMs, toMs: fault.atMs + fault.forMs + aftermathMs }]
        : [],
    );
    return {
      drained(fromMs, toMs) {
        drained.push({ fromMs, toMs });
      },
      concluded(history) {
        const attempts: Span[] = [];
        for (const { runId, events } of history.values()) {
          events.forEach(({ event, sequence }, index) => {
            if (event.case === "attemptStarted") {
              const end = events.slice(index).find(({ event: { case: kind } }) => kind !== undefined && ends.has(kind));
              const toMs = end === undefined ? Number.POSITIVE_INFINITY : chronicle.timeOf(runId, end.sequence);
              attempts.push({ fromMs: chronicle.timeOf(runId, sequence), toMs });
            }
          });
        }
        attempts.sort((a, b) => a.fromMs - b.fromMs);
        for (const drain of drained) {
          if (troubles.some((trouble) => overlap(trouble, drain))) {
            continue;
          }
          // What begins when nothing has been going on any more, is nothing that it had to wait for.
          let atWorkUntilMs = drain.fromMs;
          for (const { fromMs, toMs } of attempts) {
            if (toMs >= drain.fromMs && fromMs <= Math.min(atWorkUntilMs + promptMs, drain.toMs)) {
              atWorkUntilMs = Math.max(atWorkUntilMs, toMs);
            }
          }
          assert(
            drain.toMs <= atWorkUntilMs + promptMs,
            `the server was to stop at ${drain.fromMs}, its last attempt ended at ${atWorkUntilMs}, and it stopped at ${drain.toMs}`,
          );
        }
      },
    };
  },
};

const ends: ReadonlySet<string> = new Set(["attemptFailed", "succeeded"]);

/** A journal that has failed is tried again after 5 s at most. */
const aftermathMs = 6_000;

function overlap(a: Span, b: Span): boolean {
  return a.fromMs <= b.toMs && b.fromMs <= a.toMs;
}
