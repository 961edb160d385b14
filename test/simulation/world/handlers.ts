import { Code, ConnectError } from "@connectrpc/connect";
import { RetryInfoSchema } from "../../../gen/google/rpc/error_details_pb.js";
import { call, step } from "../../../src/index.ts";
import type { WorkflowContext } from "../../../src/runs/index.ts";
import { sleep } from "../../../src/runs/sleep.ts";
import { durationFromMs } from "../../../src/runs/time.ts";
import type { WorkflowImpl } from "../../../src/server/server.ts";
import { PaintResponseSchema, SimulatedService } from "../../gen/retake/test/simulation/v1/simulated_pb.js";
import type { MethodName } from "../plan/plan.ts";
import type { Operation, WorkPlan } from "../plan/work-plan.ts";
import type { ServerProcess } from "./server-process.ts";
import type { AttemptSight } from "./witness.ts";
import type { World } from "./world.ts";

type Impl = Required<WorkflowImpl<typeof SimulatedService>>;

/** What a streaming handler yields before its result. */
interface Update {
  readonly update:
    | { readonly case: "progress"; readonly value: { readonly stage: string } }
    | { readonly case: "preview" | "scene"; readonly value: string };
}

/** The back-ends: what they do is in the plan. */
export function createHandlers(world: World, process: ServerProcess): Impl {
  const unary: Impl["paint"] & Impl["print"] = async ({ work }, context) => {
    const making = new Attempt(world, process, work, context).make();
    try {
      for (;;) {
        const next = await making.next();
        if (next.done === true) {
          return { made: next.value };
        }
        if (next.value.update.case === "progress") {
          context.progress(next.value.update.value);
        }
      }
    } finally {
      await making.return("");
    }
  };
  const streaming = async function* ({ work }: { readonly work: number }, context: WorkflowContext) {
    const made = yield* new Attempt(world, process, work, context).make();
    yield { update: { case: "made" as const, value: made } };
  };
  return { paint: unary, print: unary, film: streaming, score: streaming };
}

/** One call of a back-end. */
class Attempt {
  readonly #world: World;
  readonly #process: ServerProcess;
  readonly #context: WorkflowContext;
  readonly #work: WorkPlan;
  readonly #sight: AttemptSight;

  constructor(world: World, process: ServerProcess, work: number, context: WorkflowContext) {
    const { runId, attempt, deadline } = context.run;
    const nowMs = world.clock.monotonic();
    this.#world = world;
    this.#process = process;
    this.#context = context;
    // Works that the plan has lost by being shrunk do nothing.
    this.#work = world.plan.works[work] ?? { method: "paint", operations: [] };
    this.#sight = {
      runId,
      number: attempt,
      work: this.#work,
      context,
      server: process.number,
      startedMs: nowMs,
      deadlineMs: nowMs + deadline.getTime() - world.clock.now(),
      movedMs: nowMs,
      isWaiting: false,
      waitedMs: 0,
      stepsDone: [],
      endedMs: Number.POSITIVE_INFINITY,
    };
  }

  /** Does what the plan says; returns what the steps and children came to. */
  async *make(): AsyncGenerator<Update, string, undefined> {
    const made: string[] = [];
    this.#tell("called", this.#sight);
    try {
      for (const operation of this.#work.operations) {
        yield* this.#operate(operation, made);
      }
      return made.join(" ");
    } finally {
      this.#sight.endedMs = this.#world.clock.monotonic();
    }
  }

  async *#operate(operation: Operation, made: string[]): AsyncGenerator<Update, void, undefined> {
    const { signal, run } = this.#context;
    switch (operation.kind) {
      case "wait":
        await sleep(this.#process.clock, operation.forMs, signal);
        return;
      case "step":
        made.push(await this.#step(operation));
        return;
      case "checkpoint":
        await this.#context.checkpoint(operation.handle);
        this.#kept("attemptCheckpoint");
        return;
      case "progress":
        this.#moved();
        yield { update: { case: "progress", value: { stage: `attempt ${run.attempt}` } } };
        return;
      case "update":
        this.#moved();
        yield { update: { case: operation.keep === "all" ? "scene" : "preview", value: `attempt ${run.attempt}` } };
        if (operation.keep === "all") {
          this.#kept("updateRecorded");
        }
        return;
      case "child":
        made.push(await this.#child(operation.name, operation.work));
        return;
      case "fail":
        if (run.attempt <= operation.upToAttempt) {
          throw failureOf(operation);
        }
        return;
      case "stall":
        if (run.attempt <= operation.upToAttempt) {
          await sleep(this.#process.clock, operation.forMs, operation.isDeaf ? new AbortController().signal : signal);
        }
        return;
    }
  }

  async #step({ name, forMs, failures, tries }: Operation & { kind: "step" }): Promise<string> {
    const { made } = await step(
      this.#context,
      name,
      PaintResponseSchema,
      async ({ signal }) => {
        this.#tell("stepped", this.#sight, name);
        const execution = this.#world.countExecution(this.#sight.runId, name);
        await sleep(this.#process.clock, forMs, signal);
        if (execution <= failures) {
          throw new ConnectError(`${name} fails`, Code.Unavailable);
        }
        return { made: `${name}#${execution}` };
      },
      { retry: { maxAttempts: tries, initialBackoffMs: 100 } },
    );
    this.#sight.stepsDone.push(name);
    this.#moved();
    return made;
  }

  async #child(name: string, work: number): Promise<string> {
    const plan = this.#world.plan.works[work];
    if (plan === undefined) {
      return "";
    }
    const sinceMs = this.#world.clock.monotonic();
    this.#sight.isWaiting = true;
    const made = await callChild(this.#context, name, plan.method, work);
    this.#sight.isWaiting = false;
    this.#sight.waitedMs += this.#world.clock.monotonic() - sinceMs;
    this.#moved();
    return made;
  }

  #kept(what: "attemptCheckpoint" | "updateRecorded"): void {
    this.#moved();
    this.#tell("kept", this.#sight, what);
  }

  #moved(): void {
    this.#sight.movedMs = this.#world.clock.monotonic();
  }

  /** What a dead process still does in promises that have been settled is no more. */
  #tell: World["tell"] = (...sight) => {
    if (this.#process.isAlive) {
      this.#world.tell(...sight);
    }
  };
}

async function callChild(context: WorkflowContext, name: string, method: MethodName, work: number): Promise<string> {
  const { paint, print, film, score } = SimulatedService.method;
  switch (method) {
    case "paint":
      return (await call(context, name, paint, { work })).made;
    case "print":
      return (await call(context, name, print, { work })).made;
    case "film":
      return madeOf(await call(context, name, film, { work }));
    case "score":
      return madeOf(await call(context, name, score, { work }));
  }
}

/** The result among what a streaming method answers. */
export function madeOf({
  update,
}: {
  readonly update: { readonly case: string | undefined; readonly value?: unknown };
}) {
  return update.case === "made" ? String(update.value) : "";
}

function failureOf({ code, retryDelayMs }: Operation & { kind: "fail" }): Error {
  if (code === undefined) {
    return new Error("the back-end has a fault");
  }
  const error = new ConnectError("the back-end fails", codeNamed(code));
  if (retryDelayMs !== undefined) {
    error.details.push({ desc: RetryInfoSchema, value: { retryDelay: durationFromMs(retryDelayMs) } });
  }
  return error;
}

/** The code that a policy calls by that name. */
export function codeNamed(name: string): Code {
  const camel = name.toLowerCase().replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return Code[camel as keyof typeof Code];
}
