import { fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Quality } from "../../gen/retake/v1/options_pb.js";
import {
  type Accepted,
  type Failure,
  type FallbackStarted,
  type Payload,
  RunMode,
  RunState,
} from "../../gen/retake/v1/run_pb.js";
import {
  artifactIdsIn,
  converterName,
  type FallbackMapping,
  type FallbackMappings,
  type Workflow,
} from "../contract/index.ts";
import type { AcceptedRun } from "./acceptance.ts";
import { artifactConnectError } from "./artifacts/connect-error.ts";
import type { AttemptWorkServices } from "./attempt-work.ts";
import { endFailure } from "./end-error.ts";
import { equalBytes } from "./equal-bytes.ts";
import { payloadOf } from "./events.ts";
import { createFailure, failureFromConnectError } from "./failure.ts";
import type { Outcome, RunRequest } from "./handler.ts";
import type { LiveRun } from "./live-run.ts";
import { ownTraceparent } from "./own-traceparent.ts";
import { isLost } from "./payload-loss.ts";
import { digestOf } from "./ports/payloads.ts";
import { fallbackRunId } from "./run-id.ts";

export interface DelegationOptions
  extends Pick<
    AttemptWorkServices,
    "live" | "acceptance" | "contracts" | "payloads" | "artifacts" | "clock" | "maxMessageBytes" | "validate"
  > {
  /** Those of today. */
  mappings(): FallbackMappings;
}

/** Whether a workflow can take a run's place, and as which run. */
export type DelegationPlan =
  | { readonly kind: "ready"; readonly childRunId: string; readonly converter: string }
  /** It cannot, for a reason that will not go away. */
  | { readonly kind: "unfit"; readonly reason: string }
  | DelegationBlocked;

/** What is stored cannot be read or written right now. */
export type DelegationBlocked = Outcome & { readonly kind: "blocked" };

/** How it stands with a fallback that has taken a run's place. */
export type DelegationStatus =
  | { readonly kind: "working" }
  | {
      readonly kind: "answered";
      readonly result: Payload;
      readonly message: Message;
      readonly fallback: { readonly workflow: string; readonly quality: Quality };
    }
  | { readonly kind: "failed"; readonly failure: Failure }
  | DelegationBlocked;

/** When something that may mend by itself is looked at again. */
const patienceMs = 1_000;

/**
 * Lets another workflow answer in a run's place: a child with its own policy, which is asked what the contracts' mapping
 * makes of the run's input, and whose result is mapped back.
 *
 * The parent's FallbackStarted is in the journal before the child is; whoever finds it there without its child starts
 * that again. The child's id derives from its parent, its workflow and its input.
 */
export class Delegation {
  readonly #options: DelegationOptions;
  /** Orders of fallbacks that nobody has started yet, by the runs that they are to stand in for, as long as these are in memory. */
  readonly #planned = new WeakMap<Accepted, ReadyOrder>();

  constructor(options: DelegationOptions) {
    this.#options = options;
  }

  /** Sees whether a fallback can be asked, before it is. */
  async plan(request: RunRequest, name: string): Promise<DelegationPlan> {
    const converter = converterName(request.workflow, name);
    try {
      const order = await this.#order(request, name, converter);
      if (order.kind === "unfit") {
        return order;
      }
      this.#planned.set(request.run.accepted, order);
      return { kind: "ready", childRunId: order.childRunId, converter };
    } catch (error) {
      return blocked(`the run's input cannot be read at the moment: ${textOf(error)}`, this.#options.clock.now());
    }
  }

  /** Starts the fallback that the run is delegated to, unless it exists, and tells what has come of it. */
  async status(request: RunRequest, started: FallbackStarted): Promise<DelegationStatus> {
    const { live, clock } = this.#options;
    let child: LiveRun | undefined;
    const parent = live.get(request.run.accepted.runId);
    if (parent?.record !== request.run) {
      return blocked("the run is read anew", clock.now());
    }
    try {
      const planned = this.#takePlanned(request, started);
      if (planned !== undefined) {
        // Nobody has started it: the journal need not be asked, which would have it wait for what it is writing.
        child = (await this.#start(parent, started, planned)).run;
      } else {
        child = await live.hold(started.childRunId);
      }
      if (child === undefined) {
        const order = await this.#order(request, started.workflow, started.converter);
        if (order.kind === "unfit") {
          return { kind: "failed", failure: unfit(order.reason) };
        }
        child = (await this.#start(parent, started, order)).run;
      }
      await child.accepted;
      if (child.refusal !== undefined) {
        return refused(child.refusal, clock.now());
      }
      if (!child.terminal) {
        return { kind: "working" };
      }
      // What the parent makes of its end comes behind it in the journal: no answer is lost with it, and none before it.
      parent.follow(child);
      return await this.#end(request, started, child);
    } catch (error) {
      return error instanceof ConnectError
        ? refused(error, clock.now())
        : blocked(`what is stored of it cannot be used at the moment: ${textOf(error)}`, clock.now());
    } finally {
      if (child !== undefined) {
        live.release(child);
      }
    }
  }

  #takePlanned({ run }: RunRequest, { childRunId }: FallbackStarted): ReadyOrder | undefined {
    const planned = this.#planned.get(run.accepted);
    this.#planned.delete(run.accepted);
    return planned?.childRunId === childRunId && this.#options.live.get(childRunId) === undefined ? planned : undefined;
  }

  /** @throws Error when the run's input cannot be read right now */
  async #order({ run, workflow, turn }: RunRequest, name: string, converter: string): Promise<Order> {
    const { contracts, validate, maxMessageBytes } = this.#options;
    const fallback = contracts.workflow(name);
    if (fallback === undefined) {
      return { kind: "unfit", reason: `this server has no workflow ${name}` };
    }
    const mapping = this.#options.mappings().by(converter, workflow, fallback);
    const [problem] = mapping.problems;
    if (problem !== undefined) {
      return { kind: "unfit", reason: problem };
    }
    let input: Uint8Array;
    try {
      input = await turn.input();
    } catch (error) {
      if (isLost(error)) {
        return { kind: "unfit", reason: textOf(error) };
      }
      throw error;
    }
    try {
      const message = mapping.request(fromBinary(workflow.input, input));
      validate(fallback.input, message);
      const bytes = toBinary(fallback.input, message);
      if (bytes.length > maxMessageBytes) {
        const reason = `its request would have ${bytes.length} bytes, more than the ${maxMessageBytes} of max_message_bytes`;
        return { kind: "unfit", reason };
      }
      const childRunId = fallbackRunId(
        run.accepted.runId,
        name,
        digestOf(this.#options.payloads, bytes, workflow.sensitive || fallback.sensitive),
      );
      return { kind: "ready", fallback, message, childRunId };
    } catch (error) {
      return { kind: "unfit", reason: `it cannot be asked: ${textOf(error)}` };
    }
  }

  #start(
    parent: LiveRun,
    { childRunId }: FallbackStarted,
    { fallback, message }: ReadyOrder,
  ): AcceptedRun | Promise<AcceptedRun> {
    const { acceptance, clock } = this.#options;
    const { accepted, deadlineMs } = parent.record;
    return acceptance.accept({
      workflow: fallback,
      message,
      owner: { tenant: accepted.owner?.tenant ?? "", subject: accepted.owner?.subject ?? "" },
      key: "",
      mode: RunMode.DETACHED,
      priority: accepted.priority,
      minQuality: accepted.minQuality,
      timeoutMs: deadlineMs - clock.now(),
      traceparent: ownTraceparent(accepted),
      metadata: accepted.metadata,
      child: {
        runId: childRunId,
        parentRunId: accepted.runId,
        name: "fallback",
        isNew: true,
        fallback: true,
        fallbackDepth: accepted.fallbackDepth + 1,
      },
      after: parent,
    });
  }

  async #end({ run, workflow }: RunRequest, started: FallbackStarted, child: LiveRun): Promise<DelegationStatus> {
    const { contracts, payloads } = this.#options;
    const { record } = child;
    if (record.state !== RunState.SUCCEEDED) {
      return { kind: "failed", failure: endFailure(record) };
    }
    const contract = await contracts.check(record.accepted);
    if (contract.kind === "changed") {
      return { kind: "failed", failure: unusable(`its contract has changed since: ${contract.problem}`) };
    }
    const fallback = contract.workflow;
    let answer = equalBytes(record.accepted.contractSha256, fallback.contractSha256) ? child.resultMessage : undefined;
    if (answer === undefined) {
      const bytes = await payloads.get(child.id, record.result?.sha256 ?? new Uint8Array());
      if (bytes === undefined) {
        return { kind: "failed", failure: unusable("it has been deleted") };
      }
      answer = fromBinary(fallback.output, bytes);
    }
    // Another converter, or none, could make something else of it.
    const mapping = this.#options.mappings().by(started.converter, workflow, fallback);
    const mapped = this.#result(mapping, workflow, answer);
    if (mapped.kind === "failed") {
      return mapped;
    }
    const { message, bytes } = mapped;
    await this.#keepArtifacts(run.accepted.runId, workflow, message);
    const { sha256, stored } = payloads.put(run.accepted.runId, bytes, { sensitive: workflow.sensitive });
    await stored;
    return {
      kind: "answered",
      result: payloadOf(workflow.output.typeName, sha256, bytes.length),
      message,
      fallback: { workflow: started.workflow, quality: record.quality as Quality },
    };
  }

  #result(mapping: FallbackMapping, workflow: Workflow, answer: Message): MappedResult {
    const { maxMessageBytes } = this.#options;
    const [problem] = mapping.problems;
    if (problem !== undefined) {
      return { kind: "failed", failure: unusable(problem) };
    }
    try {
      const message = mapping.result(answer);
      const bytes = toBinary(workflow.output, message);
      return bytes.length > maxMessageBytes
        ? { kind: "failed", failure: unusable(`mapped, it has ${bytes.length} bytes, more than max_message_bytes`) }
        : { kind: "mapped", message, bytes };
    } catch (error) {
      return { kind: "failed", failure: unusable(textOf(error)) };
    }
  }

  /** What the answer refers to is the parent's as well. */
  async #keepArtifacts(runId: string, { output, outputArtifacts }: Workflow, message: Message): Promise<void> {
    const ids = outputArtifacts ? artifactIdsIn(output, message) : [];
    if (ids.length > 0) {
      try {
        await this.#options.artifacts.keep(runId, ids);
      } catch (error) {
        throw artifactConnectError(error);
      }
    }
  }
}

interface ReadyOrder {
  readonly kind: "ready";
  readonly fallback: Workflow;
  readonly message: Message;
  readonly childRunId: string;
}

type Order = ReadyOrder | { readonly kind: "unfit"; readonly reason: string };

type MappedResult =
  | { readonly kind: "mapped"; readonly message: Message; readonly bytes: Uint8Array }
  | { readonly kind: "failed"; readonly failure: Failure };

function unfit(reason: string): Failure {
  return createFailure({ code: Code.FailedPrecondition, reason: "FALLBACK_UNFIT", message: reason, retryable: false });
}

function unusable(reason: string): Failure {
  const message = `its result cannot be used: ${reason}`;
  return createFailure({ code: Code.Internal, reason: "FALLBACK_RESULT", message, retryable: false });
}

/** A server that is about to stop, or cannot store anything, says nothing about the fallback. */
function refused(error: ConnectError, nowMs: number): DelegationStatus {
  return error.code === Code.Unavailable
    ? blocked(error.rawMessage, nowMs)
    : { kind: "failed", failure: failureFromConnectError(error) };
}

function blocked(reason: string, nowMs: number): DelegationBlocked {
  return { kind: "blocked", gate: "fallback", reason, notBeforeMs: nowMs + patienceMs };
}

function textOf(error: unknown): string {
  if (error instanceof ConnectError) {
    return error.rawMessage;
  }
  return error instanceof Error ? error.message : String(error);
}
