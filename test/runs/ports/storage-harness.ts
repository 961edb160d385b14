import type { Clock } from "../../../src/clock.ts";
import type { Journal, RunIndexEntry, StreamAppend } from "../../../src/runs/ports/journal.ts";
import { runStream } from "../../../src/runs/ports/journal.ts";
import type { Payloads } from "../../../src/runs/ports/payloads.ts";

export interface Storage {
  readonly journal: Journal;
  readonly payloads: Payloads;
  close(): Promise<void>;
}

/** Opens an empty storage on a clock, whose syncs are under control. */
export type OpenStorage = (clock: Clock, sync: () => Promise<void>) => Storage;

export const owner = { tenant: "default", subject: "ada" };
export const workflow = "test.v1.Service/Work";

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function records(...texts: readonly string[]): readonly Uint8Array[] {
  return texts.map(bytes);
}

/** The append that creates a run. */
export function creation(runId: string, more: Partial<StreamAppend & RunIndexEntry> = {}): StreamAppend {
  const { key, parentRunId, createTimeMs = 1_000, state, retireAtMs } = more;
  return {
    stream: runStream(runId),
    expectedSequence: 0,
    records: more.records ?? records("accepted"),
    create: {
      runId,
      workflow: more.workflow ?? workflow,
      owner: more.owner ?? owner,
      createTimeMs,
      ...(key === undefined ? {} : { key }),
      ...(parentRunId === undefined ? {} : { parentRunId }),
    },
    ...(state === undefined ? {} : { state }),
    ...(retireAtMs === undefined ? {} : { retireAtMs }),
  };
}

/** What a promise has come to by now, after everything that needs no time. */
export async function settled<Value>(promise: Promise<Value>): Promise<Value | "open" | Error> {
  const turns = (async () => {
    for (let turn = 0; turn < 20; turn++) {
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    return "open" as const;
  })();
  return Promise.race([promise.catch((error: Error) => error), turns]);
}
