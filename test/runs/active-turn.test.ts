import { expect, it } from "vitest";
import { ActiveTurn } from "../../src/runs/active-turn.ts";
import type { Outcome, RunHandler, RunRequest } from "../../src/runs/handler.ts";
import type { LiveRun } from "../../src/runs/live-run.ts";
import { createVirtualClock } from "../../src/testing/index.ts";

const turnOf = () => new ActiveTurn({} as LiveRun, createVirtualClock(), () => Promise.reject(new Error("no input")));
const never: RunHandler = () => new Promise(() => undefined);
const expired: Outcome = { kind: "expired" };

it("a turn that is concluded before its chain is entered, as by a drain, has that outcome and enters it no more", async () => {
  const turn = turnOf();
  turn.conclude(expired);
  let entered = false;
  const chain: RunHandler = (request) => {
    entered = true;
    return never(request);
  };
  expect(await turn.outcome(chain, {} as RunRequest)).toBe(expired);
  expect(entered).toBe(false);
});

it("a turn that is concluded over the head of its chain has that outcome, and what the chain comes to later is dropped", async () => {
  const turn = turnOf();
  const { promise, resolve } = Promise.withResolvers<Outcome>();
  const outcome = turn.outcome(() => promise, {} as RunRequest);
  turn.conclude(expired);
  resolve({ kind: "unacknowledged" });
  expect(await outcome).toBe(expired);
  turn.conclude({ kind: "unacknowledged" });
  expect(await turn.outcome(never, {} as RunRequest)).toBe(expired);
});
