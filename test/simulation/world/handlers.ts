import { Code, ConnectError } from "@connectrpc/connect";
import { RetryInfoSchema } from "../../../gen/google/rpc/error_details_pb.js";
import { RecoveryAction } from "../../../gen/retake/v1/options_pb.js";
import type { ServiceJobs } from "../../../src/backends/index.ts";
import { call, fail, step } from "../../../src/index.ts";
import type { WorkflowContext } from "../../../src/runs/index.ts";
import { durationFromMs } from "../../../src/runs/time.ts";
import type { WorkflowImpl } from "../../../src/server/server.ts";
import { sleep } from "../../../src/sleep.ts";
import { PaintResponseSchema, SimulatedService } from "../../gen/retake/test/simulation/v1/simulated_pb.js";
import { isStreaming, type MethodName } from "../plan/plan.ts";
import type { ActionName } from "../plan/policy-plan.ts";
import type { Operation, WorkPlan } from "../plan/work-plan.ts";
import type { ServerProcess } from "./server-process.ts";
import type { AttemptSight, RecoverySight } from "./witness.ts";
import type { World } from "./world.ts";

/** The attempts that the back-ends of one server know of, by token. */
export type Sights = Map<string, AttemptSight>;

type Impl = Required<WorkflowImpl<typeof SimulatedService>>;

/** What a streaming handler yields before its result. */
interface Update {
  readonly update:
    | { readonly case: "progress"; readonly value: { readonly stage: string } }
    | { readonly case: "preview" | "scene"; readonly value: string };
}

/** The back-ends: what they do is in the plan. */
export function createHandlers(world: World, process: ServerProcess, sights: Sights): Impl {
  const attempt = (method: MethodName, request: Request, context: WorkflowContext): Attempt => {
    const { run, signal } = context;
    const { runId, attempt: number, token, owner } = run;
    const call = { runId, number, token, owner: owner.subject, endpoint: "in-process", signal };
    const called = new Attempt(world, process, method, request, { call, signal, context });
    sights.set(token, called.sight);
    return called;
  };
  const unary = async (method: MethodName, request: Request, context: WorkflowContext) => {
    const making = attempt(method, request, context).make();
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
  const streaming = async function* (method: MethodName, request: Request, context: WorkflowContext) {
    const made = yield* attempt(method, request, context).make();
    yield { update: { case: "made" as const, value: made } };
  };
  return {
    paint: (request, context) => unary("paint", request, context),
    print: (request, context) => unary("print", request, context),
    film: (request, context) => streaming("film", request, context),
    score: (request, context) => streaming("score", request, context),
  };
}

/** What the back-ends do in order to recover, and how they answer who asks about jobs, is in the plan. */
export function createJobs(
  world: World,
  process: ServerProcess,
  sights: Sights,
  endpoint = "in-process",
): Required<Pick<ServiceJobs, "probe" | "recover">> {
  const { probes } = world.plan.server;
  return {
    async probe({ runId, attempt: number, token }, signal) {
      if (probes === undefined) {
        return undefined;
      }
      await sleep(process.clock, probes.afterMs, signal);
      const sight = sights.get(token);
      const isAlive = sight?.isAlive === true && sight.endedMs > world.clock.monotonic();
      world.tell("asked", { runId, number }, probes.isFailing ? "failing" : isAlive ? "alive" : "dead");
      if (probes.isFailing) {
        throw new Error("nobody knows");
      }
      return { alive: isAlive };
    },
    async recover(action, { runId, attempt }, signal) {
      const name = RecoveryAction[action] as ActionName;
      const { is, forMs } = world.plan.server.recoveries[name] ?? notOffered;
      if (is === "not offered") {
        return false;
      }
      const sight: RecoverySight = {
        action: name,
        endpoint,
        runId,
        attempt,
        server: process.number,
        startedMs: world.clock.monotonic(),
        endedMs: Number.POSITIVE_INFINITY,
      };
      world.recovering(sight);
      try {
        await sleep(process.clock, forMs, signal);
      } finally {
        sight.endedMs = world.clock.monotonic();
      }
      if (is === "failing") {
        throw new Error(`${name} fails`);
      }
      return true;
    },
  };
}

/** What only the server itself does, and not its handlers. */
const notOffered = { is: "not offered", forMs: 0 } as const;

/** What requests of all methods look like. */
export interface Request {
  readonly work: number;
  readonly detail?: number;
}

/** What children are asked for, always the same: they are joined by it. */
const detailOfChildren = 10;

/** Stands for a work that is in no plan, and takes a moment. */
export const probeWork = -1;
const probePlan: WorkPlan = { method: "paint", operations: [{ kind: "wait", forMs: 300 }] };

/** What a back-end is told of an attempt. */
interface Call extends Pick<AttemptSight, "runId" | "number" | "token" | "owner" | "endpoint" | "signal"> {}

interface Way {
  readonly call: Call;
  /** Ends the work: it was told to stop, or the connection is gone. */
  readonly signal: AbortSignal;
  /** Absent where it is carried out elsewhere: the server then sees nothing of it but its messages. */
  readonly context?: WorkflowContext;
}

/** One call of a back-end. */
export class Attempt {
  readonly #world: World;
  readonly #process: ServerProcess;
  readonly #context: WorkflowContext | undefined;
  readonly #signal: AbortSignal;
  readonly #work: WorkPlan;
  readonly sight: AttemptSight;

  constructor(
    world: World,
    process: ServerProcess,
    method: MethodName,
    { work, detail }: Request,
    { call, signal, context }: Way,
  ) {
    const nowMs = world.clock.monotonic();
    this.#world = world;
    this.#process = process;
    this.#context = context;
    this.#signal = signal;
    // Works that the plan has lost by being shrunk do nothing.
    this.#work = work === probeWork ? probePlan : (world.plan.works[work] ?? { method: "paint", operations: [] });
    this.sight = {
      ...call,
      work: this.#work,
      method,
      detail,
      ...(context && { context }),
      server: process.number,
      startedMs: nowMs,
      deadlineMs: nowMs + world.deadlineOf(call.runId) - world.clock.now(),
      movedMs: nowMs,
      heardMs: nowMs,
      isAlive: true,
      isWaiting: false,
      waitedMs: 0,
      stepsDone: [],
      endedMs: Number.POSITIVE_INFINITY,
    };
  }

  /** Does what the plan says; returns what the steps and children came to. */
  async *make(): AsyncGenerator<Update, string, undefined> {
    const made: string[] = [];
    this.#tell("called", this.sight);
    try {
      for (const operation of this.#work.operations) {
        yield* this.#operate(operation, made);
      }
      return this.#context === undefined ? madeElsewhere(this.sight) : made.join(" ");
    } finally {
      this.sight.endedMs = this.#world.clock.monotonic();
    }
  }

  async *#operate(operation: Operation, made: string[]): AsyncGenerator<Update, void, undefined> {
    const signal = this.#signal;
    const context = this.#context;
    const { number, method } = this.sight;
    if (context === undefined && !(isStreaming(method) ? elsewhere : silentElsewhere).has(operation.kind)) {
      await sleep(this.#process.clock, operation.kind === "step" ? operation.forMs : 0, signal);
      return;
    }
    switch (operation.kind) {
      case "wait":
        await sleep(this.#process.clock, operation.forMs, signal);
        return;
      case "step":
        made.push(await this.#step(operation, contextOf(context)));
        return;
      case "checkpoint":
        this.#moved();
        await context?.checkpoint(operation.handle);
        this.#kept("attemptCheckpoint");
        return;
      case "progress":
        this.#moved();
        yield { update: { case: "progress", value: { stage: `attempt ${number}` } } };
        return;
      case "update":
        this.#moved();
        yield { update: { case: operation.keep === "all" ? "scene" : "preview", value: `attempt ${number}` } };
        if (operation.keep === "all") {
          this.#kept("updateRecorded");
        }
        return;
      case "child":
        made.push(await this.#child(operation.name, operation.work, contextOf(context)));
        return;
      case "fail":
        if (number <= operation.upToAttempt && !(operation.sparesFallbacks && this.#standsIn)) {
          throw failureOf(operation);
        }
        return;
      case "stall":
        if (number <= operation.upToAttempt) {
          this.sight.isAlive = operation.isAlive;
          await sleep(this.#process.clock, operation.forMs, operation.isDeaf ? new AbortController().signal : signal);
          this.sight.isAlive = true;
        }
        return;
    }
  }

  /** Whether it is done by a workflow that stands in for its own. */
  get #standsIn(): boolean {
    return this.sight.method !== this.#work.method;
  }

  async #step(
    { name, forMs, failures, tries }: Operation & { kind: "step" },
    context: WorkflowContext,
  ): Promise<string> {
    const { made } = await step(
      context,
      name,
      PaintResponseSchema,
      async ({ signal }) => {
        this.#tell("stepped", this.sight, name);
        const execution = this.#world.countExecution(this.sight.runId, name);
        await sleep(this.#process.clock, forMs, signal);
        if (execution <= failures) {
          throw new ConnectError(`${name} fails`, Code.Unavailable);
        }
        this.#moved();
        return { made: `${name}#${execution}` };
      },
      { retry: { maxAttempts: tries, initialBackoffMs: 100 } },
    );
    this.sight.stepsDone.push(name);
    this.#heard();
    return made;
  }

  async #child(name: string, work: number, context: WorkflowContext): Promise<string> {
    const plan = this.#world.plan.works[work];
    if (plan === undefined) {
      return "";
    }
    const sinceMs = this.#world.clock.monotonic();
    this.sight.isWaiting = true;
    const made = await callChild(context, name, plan.method, work);
    this.sight.isWaiting = false;
    const waitedMs = this.#world.clock.monotonic() - sinceMs;
    this.sight.waitedMs += waitedMs;
    // Its end is a sign of life only the first time that its parent hears of it; till then time stands still.
    this.sight.movedMs += waitedMs;
    this.#heard();
    return made;
  }

  #kept(what: "attemptCheckpoint" | "updateRecorded"): void {
    this.#heard();
    this.#tell("kept", this.sight, what);
  }

  /** It says something: that counts at once, and not when it is durable. */
  #moved(): void {
    this.#tell("moving", this.sight);
    this.sight.movedMs = this.#world.clock.monotonic();
    this.#heard();
  }

  #heard(): void {
    this.sight.heardMs = this.#world.clock.monotonic();
  }

  /** What a dead process still does in promises that have been settled is no more. */
  #tell: World["tell"] = (...sight) => {
    if (this.#process.isAlive) {
      this.#world.tell(...sight);
    }
  };
}

/** What back-ends elsewhere do of a work. Of the rest they only take the time. */
const silentElsewhere: ReadonlySet<Operation["kind"]> = new Set(["wait", "fail", "stall"]);
const elsewhere: ReadonlySet<Operation["kind"]> = new Set([...silentElsewhere, "progress", "update"]);

function contextOf(context: WorkflowContext | undefined): WorkflowContext {
  if (context === undefined) {
    throw new Error("nothing is journaled of what is done elsewhere");
  }
  return context;
}

/** The result of an attempt that was carried out elsewhere. */
export function madeElsewhere({ endpoint, token }: Pick<AttemptSight, "endpoint" | "token">): string {
  return `${token} at ${endpoint}`;
}

async function callChild(context: WorkflowContext, name: string, method: MethodName, work: number): Promise<string> {
  const { paint, print, film, score } = SimulatedService.method;
  const detail = detailOfChildren;
  switch (method) {
    case "paint":
      return (await call(context, name, paint, { work, detail })).made;
    case "print":
      return (await call(context, name, print, { work })).made;
    case "film":
      return madeOf(await call(context, name, film, { work, detail }));
    case "score":
      return madeOf(await call(context, name, score, { work, detail }));
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

function failureOf({ code, retryDelayMs, isOutOfMemory }: Operation & { kind: "fail" }): Error {
  if (isOutOfMemory) {
    fail({
      category: "MEMORY",
      message: "the back-end has no memory left",
      ...(code === undefined ? {} : { code: codeNamed(code) }),
      ...(retryDelayMs === undefined ? {} : { retryDelayMs }),
    });
  }
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
