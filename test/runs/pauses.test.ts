import { expect, it } from "vitest";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import { Pauses } from "../../src/runs/pauses.ts";
import { JournalUnavailableError } from "../../src/runs/ports/journal.ts";
import { createVirtualClock } from "../../src/testing/index.ts";

it("wakes runs whose parking was ordered, but not durable, when their workflow was resumed", async () => {
  const clock = createVirtualClock();
  const { journal } = createMemoryStorage({ clock });
  let durable = false;
  journal.flush = async () => {
    durable = true;
  };
  journal.listRuns = async () =>
    durable ? [{ runId: "parked", workflow: "a.B/C", state: RunState.PARKED, lastSequence: 2, position: 1 }] : [];
  const woken: string[] = [];
  const pauses = new Pauses({ journal, clock, scheduler: { wake: (runId) => woken.push(runId) } });
  const settled = async <T>(change: Promise<T>): Promise<T> => {
    await clock.advance(0);
    return change;
  };
  await settled(pauses.pause("a.B/C", "ana", ""));
  expect(await settled(pauses.resume("a.B/C", "ana"))).toBe(true);
  expect(woken).toEqual(["parked"]);
});

it("wakes what was parked when a resume is called again after half of it has failed", async () => {
  const clock = createVirtualClock();
  const { journal } = createMemoryStorage({ clock });
  let away = true;
  journal.listRuns = async () => {
    if (away) throw new JournalUnavailableError("the disk is away");
    return [{ runId: "parked", workflow: "a.B/C", state: RunState.PARKED, lastSequence: 2, position: 1 }];
  };
  const woken: string[] = [];
  const pauses = new Pauses({ journal, clock, scheduler: { wake: (runId) => woken.push(runId) } });
  const settled = async <T>(change: Promise<T>): Promise<PromiseSettledResult<T>> => {
    const [result] = await Promise.all([Promise.allSettled([change]), clock.advance(0)]);
    return result[0];
  };
  await settled(pauses.pause("a.B/C", "ana", ""));
  expect(await settled(pauses.resume("a.B/C", "ana"))).toMatchObject({ status: "rejected" });
  expect(pauses.of("a.B/C")).toBeUndefined();
  away = false;
  expect(await settled(pauses.resume("a.B/C", "ana"))).toEqual({ status: "fulfilled", value: true });
  expect(woken).toEqual(["parked"]);
  // Nothing is owed any more.
  expect(await settled(pauses.resume("a.B/C", "ana"))).toEqual({ status: "fulfilled", value: false });
});
