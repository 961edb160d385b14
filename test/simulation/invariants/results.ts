import { fromBinary } from "@bufbuild/protobuf";
import type { Payload } from "../../../gen/retake/v1/run_pb.js";
import {
  FilmResponseSchema,
  PaintRequestSchema,
  PaintResponseSchema,
  PrintResponseSchema,
  ScoreResponseSchema,
} from "../../gen/retake/test/simulation/v1/simulated_pb.js";
import type { MethodName } from "../plan/plan.ts";
import { madeElsewhere, madeOf } from "../world/handlers.ts";
import type { History, RunHistory } from "../world/history.ts";
import { assert, type Invariant } from "../world/witness.ts";
import type { World } from "../world/world.ts";
import { effectiveInput, hexOf } from "./effective-input.ts";

export const results: Invariant = {
  name: "a result is made of the journaled steps and children",
  witness: (world) => {
    const answers = new Map<string, string>();
    return {
      answered(runId, made) {
        const before = answers.get(runId) ?? made;
        assert(before === made, `run ${runId} has answered "${before}" and "${made}"`);
        answers.set(runId, made);
      },
      async concluded(history) {
        for (const run of history.values()) {
          const made = await resultOf(run, world);
          if (made === undefined) {
            continue;
          }
          const answer = answers.get(run.runId) ?? made;
          assert(answer === made, `run ${run.runId} has answered "${answer}", and its journal says "${made}"`);
          const expected = await partsOf(run, history, world);
          assert(
            made === expected,
            `the result of run ${run.runId} is "${made}", and its journaled parts are "${expected}"`,
          );
        }
      },
    };
  },
};

/** What a run has come to; undefined if it has not SUCCEEDED. */
async function resultOf({ runId, method, events }: RunHistory, world: World): Promise<string | undefined> {
  const last = events.at(-1)?.event;
  return last?.case === "succeeded" ? read(runId, last.value.result, method, world) : undefined;
}

/** What the journaled steps and children of a run have come to, in the order of its work. */
async function partsOf(run: RunHistory, history: History, world: World): Promise<string> {
  const { runId, accepted, events } = run;
  const fallback = events.findLast(({ event }) => event.case === "fallbackStarted")?.event;
  const start = events.findLast(({ event }) => event.case === "attemptStarted")?.event;
  if (fallback?.case === "fallbackStarted" && isOfFallback(run)) {
    const child = history.get(fallback.value.childRunId);
    return (child && (await resultOf(child, world))) ?? "nothing";
  }
  if (start?.case === "attemptStarted" && start.value.endpoint !== "in-process") {
    return madeElsewhere(start.value);
  }
  const asked = start?.case === "attemptStarted" ? effectiveInput(run, start.value) : "";
  const input = await world.disk.payload(runId, accepted.input?.sha256 ?? new Uint8Array());
  // Requests of all methods look alike.
  const { work } = fromBinary(PaintRequestSchema, input ?? new Uint8Array());
  const parts: string[] = [];
  for (const operation of world.plan.works[work]?.operations ?? []) {
    if (operation.kind === "step") {
      const step = events.find(
        ({ event }) =>
          event.case === "stepCompleted" &&
          event.value.name === operation.name &&
          hexOf(event.value.inputSha256) === asked,
      );
      const result = step?.event.case === "stepCompleted" ? step.event.value.result : undefined;
      parts.push(await read(runId, result, "paint", world));
    } else if (operation.kind === "child" && world.plan.works[operation.work] !== undefined) {
      const started = events.findLast(
        ({ event }) => event.case === "childStarted" && event.value.name === operation.name,
      );
      const child = started?.event.case === "childStarted" ? history.get(started.event.value.childRunId) : undefined;
      parts.push((child && (await resultOf(child, world))) ?? "nothing");
    } else if (operation.kind === "child") {
      parts.push("");
    }
  }
  return parts.join(" ");
}

/** Whether another workflow has answered in its place. */
function isOfFallback({ events }: RunHistory): boolean {
  const end = events.at(-1)?.event;
  return end?.case === "succeeded" && end.value.statistics?.fallbackUsed !== "";
}

async function read(runId: string, payload: Payload | undefined, method: MethodName, world: World): Promise<string> {
  const bytes = payload && (await world.disk.payload(runId, payload.sha256));
  assert(bytes !== undefined, `run ${runId} has lost a payload that its journal refers to`);
  switch (method) {
    case "paint":
      return fromBinary(PaintResponseSchema, bytes).made;
    case "print":
      return fromBinary(PrintResponseSchema, bytes).made;
    case "film":
      return madeOf(fromBinary(FilmResponseSchema, bytes));
    case "score":
      return madeOf(fromBinary(ScoreResponseSchema, bytes));
  }
}
