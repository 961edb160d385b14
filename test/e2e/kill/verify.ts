import { equals, fromBinary } from "@bufbuild/protobuf";
import { expect } from "vitest";
import { RunEventSchema, RunMode, RunState } from "../../../gen/retake/v1/run_pb.js";
import { isTerminal, reduceRun } from "../../../src/runs/index.ts";
import { StepResultSchema, StreamResponseSchema, WorkloadService } from "../../gen/retake/test/e2e/v1/workload_pb.js";
import type { Mark } from "../marks.ts";
import { describeRun, eventsOf, type Journal, stepsOf } from "./journals.ts";
import type { Told } from "./load.ts";

const workflow = (name: string) => `${WorkloadService.typeName}/${name}`;

/** Every journal is whole, follows the table of states and events, ends once, and is what GetRun shows. */
export function verifyJournals(journals: ReadonlyMap<string, Journal>): void {
  for (const journal of journals.values()) {
    const { run, events } = journal;
    const what = describeRun(journal);
    expect(
      events.map(({ sequence }) => sequence),
      what,
    ).toEqual(events.map((_, index) => BigInt(index + 1)));
    const record = reduceRun(events);
    if (record === undefined) {
      throw new Error(`run ${run.runId} has no events`);
    }
    expect(isTerminal(record.state), what).toBe(true);
    expect(
      events.filter(({ event }) => ["succeeded", "failed", "cancelled", "expired"].includes(event.case ?? "")),
      what,
    ).toHaveLength(1);
    const attempts = eventsOf(journal, "attemptStarted");
    expect(
      attempts.map(({ attempt }) => attempt),
      what,
    ).toEqual(attempts.map((_, index) => index + 1));
    expect(new Set(attempts.map(({ token }) => token)).size, what).toBe(attempts.length);
    const closed = eventsOf(journal, "attemptFailed").length + (record.state === RunState.SUCCEEDED ? 1 : 0);
    expect(closed, what).toBe(attempts.length);
    expect(run, what).toMatchObject({
      state: record.state,
      lastSequence: BigInt(events.length),
      mode: record.accepted.mode,
      idempotencyKey: record.accepted.idempotencyKey,
      parentRunId: record.accepted.parentRunId,
      statistics: {
        attempts: attempts.length,
        retries: record.retries,
        interruptions: record.interruptions,
        steps: record.steps.size,
      },
      cancelReason: record.cancelRequest?.reason ?? "",
    });
    expect(run.result?.sha256, what).toEqual(record.result?.sha256);
    expect(run.failure?.reason, what).toBe(record.failure?.reason);
  }
}

/** Every run came to the end that its callers may expect. */
export function verifyEnds(journals: ReadonlyMap<string, Journal>): void {
  for (const journal of journals.values()) {
    const { run } = journal;
    const allowed: string[] = ["SUCCEEDED"];
    const [accepted] = eventsOf(journal, "accepted");
    const [reason] = eventsOf(journal, "cancelled").map((cancelled) => cancelled.reason);
    if (run.mode === RunMode.ATTACHED) {
      allowed.push("CANCELLED because CALLER_LOST");
    } else if (run.workflow === workflow("Held")) {
      // Nobody ever releases it.
      allowed.splice(0, 1, `CANCELLED because ${run.idempotencyKey}`);
    } else if (run.workflow === workflow("Flaky") && (accepted?.input?.value?.value.length ?? 0) > 0) {
      const { failures } = fromBinary(
        WorkloadService.method.flaky.input,
        accepted?.input?.value?.value ?? new Uint8Array(),
      );
      if (failures > 2) {
        allowed.splice(0, 1, "FAILED");
      }
    }
    const end = reason === undefined ? RunState[run.state] : `${RunState[run.state]} because ${reason}`;
    expect(allowed, describeRun(journal)).toContain(end);
  }
}

/** What was told to clients is so: nothing acknowledged is lost, and a key means one run with one result. */
export function verifyTold(journals: ReadonlyMap<string, Journal>, told: Told): void {
  for (const [runId, { workflow: name, key }] of told.accepted) {
    expect(journals.get(runId)?.run, `acknowledged run ${runId}`).toMatchObject({
      workflow: name,
      idempotencyKey: key,
    });
  }
  for (const runId of told.cancelled) {
    expect(journals.get(runId)?.run.state).toBe(RunState.CANCELLED);
  }
  verifyKeys(journals);
  for (const { key, answers } of told.calls.values()) {
    const [first] = answers;
    expect(new Set(answers.map(({ runId }) => runId)), `the runs that answered ${key}`).toEqual(
      new Set([first?.runId]),
    );
    const { run } = journals.get(first?.runId ?? "") ?? {};
    for (const { response } of answers) {
      expect(Buffer.from(response).equals(run?.result?.value?.value ?? new Uint8Array()), `an answer to ${key}`).toBe(
        true,
      );
    }
  }
  for (const [runId, lines] of told.lines) {
    const journal = journals.get(runId);
    const kept = new Set(journal && linesOf(journal));
    const unkept = [...lines].filter((line) => !kept.has(line));
    expect(unkept, `lines of run ${runId} that were sent but are not in its journal`).toEqual([]);
  }
}

/**
 * A key means one run. Only one that failed in a way that may mend is taken over by another, which names it: a client
 * whose StartRun was answered by a kill may come back so late.
 */
function verifyKeys(journals: ReadonlyMap<string, Journal>): void {
  const byKey = Map.groupBy(
    Array.from(journals.values()).filter(({ run }) => run.idempotencyKey !== ""),
    ({ run }) => run.idempotencyKey,
  );
  for (const [key, runs] of byKey) {
    const what = `the runs of ${key}: ${runs.map(describeRun).join("; ")}`;
    const takenOver = runs.map(({ run }) => run.rerunOf).filter((runId) => runId !== "");
    expect(takenOver, what).toHaveLength(runs.length - 1);
    expect(new Set(takenOver).size, what).toBe(takenOver.length);
    for (const runId of takenOver) {
      expect(runs.find(({ run }) => run.runId === runId)?.run, what).toMatchObject({
        workflow: workflow("Flaky"),
        state: RunState.FAILED,
        failure: { retryable: true },
      });
    }
  }
}

/** Watchers saw each event once, in order, whatever happened to their connections: the very ones of the journal. */
export function verifyWatched(journals: ReadonlyMap<string, Journal>, { watched }: Told): void {
  for (const { runId, events } of watched) {
    const journal = journals.get(runId);
    expect(events.map(({ sequence }) => sequence)).toEqual(journal?.events.map(({ sequence }) => sequence));
    for (const [index, event] of events.entries()) {
      const kept = journal?.events[index];
      const same = kept !== undefined && equals(RunEventSchema, kept, event);
      expect(same, `event ${event.sequence} of run ${runId} is the one that was seen`).toBe(true);
    }
  }
}

/**
 * No work was done that the journal does not account for, and none again that it had recorded.
 *
 * Attempts are numbered by the journal, and a mark carries its attempt's number. So "again after it was journaled" is a
 * mark by an attempt later than the one in which the step's result was journaled: exact, and whatever the time of a kill.
 */
export function verifyMarks(journals: ReadonlyMap<string, Journal>, marks: readonly Mark[]): void {
  const markedSteps = new Map<string, Mark[]>();
  for (const mark of marks) {
    const { runId, attempt, token } = mark;
    const journal = journals.get(runId);
    const started = journal && eventsOf(journal, "attemptStarted")[attempt - 1];
    expect(started?.token, `the attempt of a mark, ${JSON.stringify(mark)}: it worked before it was journaled`).toBe(
      token,
    );
    if (mark.step !== undefined) {
      const key = `${runId} ${mark.step}`;
      markedSteps.set(key, [...(markedSteps.get(key) ?? []), mark]);
    }
  }
  const attempts = marks.filter(({ step }) => step === undefined).map(({ token }) => token);
  expect(attempts.length - new Set(attempts).size, "attempts that called their handler twice").toBe(0);
  for (const journal of journals.values()) {
    const { run } = journal;
    const what = describeRun(journal);
    const journaled = stepsOf(journal);
    expect(
      journaled.map(({ step }) => step.name),
      what,
    ).toEqual([...new Set(journaled.map(({ step }) => step.name))]);
    for (const { step, attempt } of journaled) {
      const executed = markedSteps.get(`${run.runId} ${step.name}`)?.map((mark) => mark.attempt) ?? [];
      const name = `executions of step ${step.name} of run ${what}`;
      if (step.keptFrom !== "") {
        const kept = journals.get(step.keptFrom);
        const original = kept && stepsOf(kept).find((one) => one.step.name === step.name);
        expect(executed, `${name}: it was kept from another run`).toEqual([]);
        expect(step.result?.sha256, name).toEqual(original?.step.result?.sha256);
        continue;
      }
      expect(
        executed.filter((one) => one > attempt),
        `${name}: again after it was journaled`,
      ).toEqual([]);
      expect(
        executed.filter((one) => one === attempt),
        `${name}: in the attempt that journaled it`,
      ).toHaveLength(1);
      const { token } = fromBinary(StepResultSchema, step.result?.value?.value ?? new Uint8Array());
      expect(token, name).toBe(eventsOf(journal, "attemptStarted")[attempt - 1]?.token);
    }
    for (const [index, later] of journaled.entries()) {
      const before = journaled[index - 1];
      const executed = markedSteps.get(`${run.runId} ${later.step.name}`)?.map((mark) => mark.attempt) ?? [];
      expect(
        executed.filter((one) => before !== undefined && one < before.attempt),
        `executions of step ${later.step.name} of run ${what}, built on a step that was not journaled yet`,
      ).toEqual([]);
    }
  }
}

/** Parents have one child of each name, and have told how it ended. */
export function verifyChildren(journals: ReadonlyMap<string, Journal>): void {
  const children = Array.from(journals.values()).filter(({ run }) => run.parentRunId !== "");
  expect(
    children.length - new Set(children.map(({ run }) => `${run.parentRunId} ${run.childName}`)).size,
    "children that share a name",
  ).toBe(0);
  for (const child of children) {
    const parent = journals.get(child.run.parentRunId);
    expect(
      parent && eventsOf(parent, "childStarted").filter(({ childRunId }) => childRunId === child.run.runId),
      describeRun(child),
    ).toHaveLength(1);
  }
  for (const parent of journals.values()) {
    if (parent.run.workflow === workflow("Family") && parent.run.state === RunState.SUCCEEDED) {
      const names = (events: readonly { readonly name: string }[]) => events.map(({ name }) => name).toSorted();
      expect(names(eventsOf(parent, "childStarted")), describeRun(parent)).toEqual(["single", "steps"]);
      expect(names(eventsOf(parent, "childEnded")), describeRun(parent)).toEqual(["single", "steps"]);
    }
  }
}

function linesOf(journal: Journal): string[] {
  return eventsOf(journal, "updateRecorded").flatMap(({ update }) => {
    const message = fromBinary(StreamResponseSchema, update?.value?.value ?? new Uint8Array());
    return message.update.case === "line" ? [message.update.value] : [];
  });
}
