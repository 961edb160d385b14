import type { Message } from "@bufbuild/protobuf";
import type { ConnectError } from "@connectrpc/connect";
import type { Quality } from "../../gen/retake/v1/options_pb.js";
import type { Failure, Payload } from "../../gen/retake/v1/run_pb.js";
import type { Timer } from "../clock.ts";
import type { Workflow } from "../contract/index.ts";
import type { Permit } from "./ports/gates.ts";
import type { RunEventBody, RunRecord } from "./run-record.ts";

/**
 * What a turn hands from stage to stage. A plain object: a stage that adds something passes on a copy.
 */
export interface RunRequest {
  /** The run as it stands; it moves on as events are committed. */
  readonly run: Readonly<RunRecord>;
  readonly workflow: Workflow;
  /** The forwarded metadata of the call that started the run. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly turn: Turn;
  /** From the recovery on: the endpoint that is not asked again where another one can be. */
  readonly avoidedEndpoint?: string;
  /** From the gate on. */
  readonly permit?: Permit;
  /** From the quality on: how much of its input the attempt asks for. Absent for FULL. */
  readonly quality?: Quality;
  /** From the record on: the attempt's own copy of the effective input. */
  readonly message?: Message;
  /** From the record on. */
  readonly attempt?: Attempt;
  /** From the faults on: what a drill makes of the back-end's answer. */
  readonly disturb?: Disturb;
}

/** Makes another answer of one, as it is on its way: a promise of the result, or the messages of a stream. */
export interface Disturb {
  unary(answer: unknown): Promise<unknown>;
  stream(answer: AsyncIterable<unknown>): AsyncIterable<unknown>;
}

export interface Attempt {
  /** 1, 2, 3, … */
  readonly number: number;
  /** Unique to this attempt. */
  readonly token: string;
  readonly endpoint: string;
  readonly quality: Quality;
  /** Names what it asks for: the SHA-256 of the effective input. */
  readonly inputSha256: Uint8Array;
}

/** What the stages of one turn share with the run. */
export interface Turn {
  /** Aborted, with `abortReason`, when the attempt must stop. */
  readonly signal: AbortSignal;
  /** Why the attempt must stop, once it must. */
  readonly abortReason: ConnectError | undefined;
  /** Whether the turn has ended, with or without its back-end: what comes later is dropped. */
  readonly concluded: boolean;
  abort(reason: ConnectError): void;
  /** Ends the turn over the head of its chain; the first outcome counts. */
  conclude(outcome: Outcome): void;
  /** Lets events happen that are committed together with what the turn comes to. */
  prepare(events: readonly RunEventBody[]): void;
  /** Commits events in order; resolves when they are durable. */
  commit(events: readonly RunEventBody[]): Promise<void>;
  /** The serialised input of the run. @throws PayloadLostError */
  input(): Uint8Array | Promise<Uint8Array>;
  /** The attempt's time starts now. */
  startAttemptClock(): void;
  /** What lets go while the attempt waits for a child: the innermost stage's first, and taken up again last. */
  readonly pausables: Pausable[];
  /** Ended when the attempt's time is over although its back-end has not stopped. */
  hold: Hold | undefined;
  /** Cancelled when the chain has come to an end: later than the turn, where its back-end does not stop. */
  expiry: Timer | undefined;
  /** How long the attempt may take to stop, once it must: cancelled when the turn has been settled. */
  graces: Timer[] | undefined;
  /** Told when something moves the attempt: an update, a step, a checkpoint. */
  activity: ActivityListener | undefined;
  /** Called when the scheduler asks for a turn while this one is being taken (a gate has let the run through), and on abort. */
  onPoke: (() => void) | undefined;
}

/**
 * What an attempt holds. An object, as the activity listener is: a function made for each attempt and kept by its turn
 * was seen to keep all of that attempt, and of those after it, in memory until the next full garbage collection.
 */
export interface Hold {
  end(): void;
}

export interface ActivityListener {
  moved(): void;
}

/** Something that holds a resource or counts time for an attempt, and lets go of it meanwhile. */
export interface Pausable {
  pause(): void;
  resume(): void | Promise<void>;
}

/**
 * What a stage made of a run. A value, never an exception: stages do not throw to steer. The turn closes an open attempt
 * with the outcome's failure, commits the events, and then what the kind says, all in one append.
 */
export type Outcome =
  /** The back-end answered. */
  | {
      readonly kind: "succeeded";
      readonly result: Payload;
      readonly message?: Message | undefined;
      /** The fallback whose answer it is. */
      readonly fallback?: { readonly workflow: string; readonly quality: Quality };
    }
  /** No attempt is left, or none would help: the run fails. */
  | {
      readonly kind: "failed";
      readonly failure: Failure;
      /** What closes the open attempt, where that is another failure than the run's. */
      readonly attemptFailure?: Failure;
      readonly events?: readonly RunEventBody[];
    }
  /** No permit. Not a failure: never counted, never retried. Whatever blocks wakes the run, or `notBeforeMs` does. */
  | {
      readonly kind: "blocked";
      readonly gate: string;
      readonly reason: string;
      readonly notBeforeMs?: number | undefined;
    }
  /** The last of the events says what it waits for; `failure` closes the attempt, if there was one. */
  | {
      readonly kind: "waiting";
      readonly wakeAtMs: number | undefined;
      readonly failure?: Failure;
      readonly events: readonly RunEventBody[];
    }
  /** The attempt ended with its process: not counted, and retaken at the next start. */
  | { readonly kind: "interrupted"; readonly failure: Failure }
  /** The run's deadline has passed. */
  | { readonly kind: "expired" }
  /** The run is being cancelled, and its attempt has not stopped in time. */
  | { readonly kind: "unacknowledged" };

export type RunHandler = (request: RunRequest) => Promise<Outcome>;

/** One stage of a policy: knows nothing of its neighbours, and reads what it needs from the run on entry. */
export type RunInterceptor = (next: RunHandler) => RunHandler;

/** Nests the stages, the first one outermost. */
export function composeRun(interceptors: readonly RunInterceptor[], innermost: RunHandler): RunHandler {
  return interceptors.reduceRight<RunHandler>((next, interceptor) => interceptor(next), innermost);
}
