import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Run } from "../../gen/retake/v1/run_pb.js";
import { type OutboxEvent, OutboxEventSchema, type WebhookFailed } from "../../gen/retake/v1/webhook_pb.js";
import { BinaryHeap, type HeapItem } from "../binary-heap.ts";
import type { Clock, RandomSource, Timer } from "../clock.ts";
import type { ResolvedWebhooks } from "../config/index.ts";
import type { ContractRegistry } from "../contract/index.ts";
import {
  backoffMs,
  durationFromMs,
  type Gates,
  type Journal,
  type Logger,
  msFromTimestamp,
  type Outbox,
  type Pauses,
  type Payloads,
  type RunRecord,
  type StreamAppend,
  streamsNamed,
  timestampFromMs,
  viewRun,
  withValue,
} from "../runs/index.ts";
import { runFields } from "../trace-fields.ts";
import { isAllowedUrl } from "./allowed-urls.ts";
import { Lanes } from "./lanes.ts";
import { endPayload, payloadJson } from "./payload.ts";
import { type PostOutcome, post } from "./post.ts";
import type { WebhookSecrets } from "./secrets.ts";
import { signWebhook } from "./sign.ts";

export interface WebhookOutboxOptions {
  readonly config: ResolvedWebhooks;
  readonly secrets: WebhookSecrets;
  readonly contracts: ContractRegistry;
  readonly journal: Journal;
  readonly payloads: Payloads;
  readonly gates: Gates;
  readonly pauses: Pauses;
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly log: Logger;
  /** Told what has come of each POST. */
  readonly onOutcome?: ((workflow: string, outcome: WebhookOutcome) => void) | undefined;
}

/** `given_up`: the end is not told to anybody any more. */
export type WebhookOutcome = "delivered" | "failed" | "given_up";

const prefix = "outbox/";

/** Ends that wait in memory, 200 bytes each. Others wait in the journal until half of these have been told. */
const mostInMemory = 100_000;

/** An end that is to be told. */
interface Pending extends HeapItem {
  readonly runId: string;
  readonly workflow: string;
  /** Of the run; undefined where an earlier process has begun to tell it. */
  readonly traceparent?: string;
  /** Empty for where the workflow's policy says. */
  readonly url: string;
  readonly endMs: number;
  /** POSTs that have failed. */
  failures: number;
  dueMs: number;
}

/**
 * Tells the ends of runs to those who asked for it.
 *
 * 1. Each end has a stream of its own in the journal, begun in the same append as the run's last event. So an end is told
 *    if and only if it has happened, whatever dies in between.
 * 2. The stream is deleted once a receiver has taken the message, or it is given up. Until that is durable the message
 *    may be posted again: receivers know it by its id, which is the run's.
 * 3. A POST that fails is journaled with the time of the next one, so that a restart neither hurries nor forgets it.
 */
export class WebhookOutbox implements Outbox {
  readonly #options: WebhookOutboxOptions;
  readonly #known = new Map<string, Pending>();
  readonly #due = new BinaryHeap<Pending>((a, b) => a.dueMs < b.dueMs);
  readonly #lanes: Lanes<Pending>;
  readonly #stop = new AbortController();
  /** The journal may hold ends that are not in memory. */
  #unread = true;
  #scanning: Promise<void> | undefined;
  /** Told or given up, and not yet gone from the journal. */
  readonly #done = new Set<string>();
  #deleting = false;
  #timer: Timer | undefined;
  #started = false;
  /** Whether any workflow's ends are told, by the contracts of that revision. */
  #anyTells = false;
  #tellingAsOf = 0;

  constructor(options: WebhookOutboxOptions) {
    this.#options = options;
    const { concurrency, concurrencyPerHost } = options.config;
    this.#lanes = new Lanes({ concurrency, perLane: concurrencyPerHost }, (end) => this.#deliver(end));
  }

  /** How many ends wait in memory to be told. */
  get size(): number {
    return this.#known.size;
  }

  endOf(run: RunRecord): StreamAppend | undefined {
    const { runId, workflow, notifyUrl, parentRunId } = run.accepted;
    if (notifyUrl === "" && !this.#workflowTells(workflow)) {
      return undefined;
    }
    if (parentRunId !== "") {
      return undefined;
    }
    const { clock, gates, pauses } = this.#options;
    const nowMs = clock.now();
    const record = eventBytes(nowMs, {
      case: "stored",
      value: { $typeName: "retake.v1.RunEndStored", url: notifyUrl, run: viewRun(run, { nowMs, gates, pauses }) },
    });
    return { stream: streamOf(runId), expectedSequence: 0, records: [record] };
  }

  stored({ accepted, endTimeMs }: RunRecord): void {
    const { runId, workflow, notifyUrl, traceparent } = accepted;
    const nowMs = this.#options.clock.now();
    const of = { runId, workflow, traceparent, url: notifyUrl };
    this.#add({ ...of, endMs: endTimeMs ?? nowMs, failures: 0, dueMs: nowMs, heapIndex: -1 });
  }

  /** Begins to post, with what an earlier process has left behind first of all. */
  start(): void {
    this.#started = true;
    this.#scan();
    this.#pump();
  }

  /** Begins no more POSTs; resolves when those that are under way have ended. */
  settle(): Promise<void> {
    this.#started = false;
    this.#timer?.cancel();
    return this.#lanes.stop();
  }

  /** Ends for good: POSTs that are under way are given up, and made again by the next process. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.settle();
    await this.#scanning;
  }

  #add(end: Pending): void {
    if (this.#known.has(end.runId) || this.#done.has(end.runId)) {
      return;
    }
    if (this.#known.size >= mostInMemory) {
      this.#unread = true;
      return;
    }
    this.#known.set(end.runId, end);
    this.#due.push(end);
    this.#pump();
  }

  /** What is due goes into the lane of its host. */
  #pump(): void {
    this.#timer?.cancel();
    const { clock } = this.#options;
    const nowMs = clock.now();
    for (let first = this.#due.peek(); first !== undefined && this.#started; first = this.#due.peek()) {
      if (first.dueMs > nowMs) {
        this.#timer = clock.setTimeout(() => this.#pump(), Math.min(first.dueMs - nowMs, longestNapMs));
        return;
      }
      this.#due.remove(first);
      this.#lanes.add(hostOf(this.#urlOf(first)), first);
    }
  }

  /** Most servers tell of no workflow: theirs need not be looked up for each run. */
  #workflowTells(name: string): boolean {
    const { revision, workflows } = this.#options.contracts;
    if (revision !== this.#tellingAsOf) {
      this.#tellingAsOf = revision;
      this.#anyTells = [...workflows.values()].some(({ policy }) => policy.notify !== undefined);
    }
    return this.#anyTells && workflows.get(name)?.policy.notify !== undefined;
  }

  #urlOf({ url, workflow }: Pending): string {
    return url || (this.#options.contracts.workflows.get(workflow)?.policy.notify?.url ?? "");
  }

  /** Posts one end; whether its host is well. Never rejects. */
  async #deliver(end: Pending): Promise<boolean> {
    const { config, clock, log } = this.#options;
    const url = this.#urlOf(end);
    try {
      if (url === "" || (end.url !== "" && !isAllowedUrl(url, config.allowedUrls))) {
        const why =
          url === "" ? "its workflow tells nobody any more" : "webhooks.allowed_urls no longer allows its URL";
        this.#giveUp(end, url, why);
        return true;
      }
      const [first] = await this.#options.journal.read(streamOf(end.runId), 0, 1);
      const stored = first === undefined ? undefined : fromBinary(OutboxEventSchema, first.data).event;
      if (stored?.case !== "stored" || stored.value.run === undefined) {
        this.#giveUp(end, url, "the journal does not hold it any more");
        return true;
      }
      const body = payloadJson(endPayload(await this.#withResult(stored.value.run)), this.#options.contracts.registry);
      const secrets = await this.#options.secrets.get();
      const outcome: PostOutcome =
        secrets.length === 0
          ? { kind: "unanswered", error: "no secret signs: webhooks.secrets is empty", elapsedMs: 0 }
          : await post({
              url,
              body,
              headers: { ...signWebhook(end.runId, clock.now(), body, secrets) },
              timeoutMs: config.timeoutMs,
              clock,
              signal: this.#stop.signal,
            });
      return this.#settle(end, url, outcome);
    } catch (error) {
      if (!this.#stop.signal.aborted) {
        log.error({ err: error, ...fieldsOf(end) }, "the end of a run could not be told; tried again");
        this.#again(end, clock.now() + config.maxBackoffMs);
      }
      return false;
    }
  }

  #settle(end: Pending, url: string, outcome: PostOutcome): boolean {
    const { config, clock, random, log } = this.#options;
    const status = outcome.kind === "answered" ? outcome.status : 0;
    if (status >= 200 && status < 300) {
      log.debug({ ...fieldsOf(end), url, status, elapsedMs: outcome.elapsedMs }, "the end of a run was told");
      this.#options.onOutcome?.(end.workflow, "delivered");
      this.#forget(end);
      return true;
    }
    if (this.#stop.signal.aborted) {
      return false;
    }
    if (status === 410) {
      this.#giveUp(end, url, "the receiver answered 410 (Gone)");
      return true;
    }
    this.#options.onOutcome?.(end.workflow, "failed");
    const error = outcome.kind === "answered" ? `HTTP status ${status}` : outcome.error;
    const nowMs = clock.now();
    const failures = end.failures + 1;
    const askedMs = (outcome.kind === "answered" ? outcome.retryAfterMs : undefined) ?? 0;
    const waitMs = Math.max(backoffMs({ ...config, backoffMultiplier: 2 }, failures, random), askedMs);
    const wakeAtMs = Math.ceil(nowMs + waitMs);
    if (wakeAtMs > end.endMs + config.giveUpAfterMs) {
      this.#giveUp(end, url, `${failures} POSTs have failed (webhooks.give_up_after), the last one by: ${error}`);
      return false;
    }
    log.warn(
      { ...fieldsOf(end), url, attempt: failures, error, wakeAtMs },
      "the end of a run was not taken; told again",
    );
    const failed: WebhookFailed = {
      $typeName: "retake.v1.WebhookFailed",
      attempt: failures,
      status,
      error,
      executionTime: durationFromMs(outcome.elapsedMs),
      wakeAt: timestampFromMs(wakeAtMs),
    };
    this.#options.journal
      .append([
        {
          stream: streamOf(end.runId),
          expectedSequence: failures,
          records: [eventBytes(nowMs, { case: "failed", value: failed })],
        },
      ])
      .catch((cause: unknown) =>
        log.warn(
          { err: cause, ...fieldsOf(end) },
          "a POST that failed could not be journaled; a restart repeats it sooner",
        ),
      );
    end.failures = failures;
    this.#again(end, wakeAtMs);
    return false;
  }

  #again(end: Pending, dueMs: number): void {
    end.dueMs = dueMs;
    this.#due.push(end);
    this.#pump();
  }

  #giveUp(end: Pending, url: string, why: string): void {
    this.#options.log.error({ ...fieldsOf(end), url, why }, "the end of a run is not told");
    this.#options.onOutcome?.(end.workflow, "given_up");
    this.#forget(end);
  }

  #forget(end: Pending): void {
    this.#known.delete(end.runId);
    this.#done.add(end.runId);
    this.#delete();
    if (this.#unread && this.#known.size < mostInMemory / 2) {
      this.#scan();
    }
  }

  /** Many at once share a transaction, since those that come meanwhile wait. */
  #delete(): void {
    if (this.#deleting || this.#done.size === 0) {
      return;
    }
    this.#deleting = true;
    const runIds = [...this.#done];
    this.#options.journal.deleteStreams(runIds.map(streamOf)).then(
      () => {
        for (const runId of runIds) {
          this.#done.delete(runId);
        }
        this.#deleting = false;
        this.#delete();
      },
      (error: unknown) => {
        // The journal is closed: the next process posts them once more.
        this.#options.log.debug({ err: error }, "ends that were told could not be deleted");
      },
    );
  }

  async #withResult(run: Run): Promise<Run> {
    const { result } = run;
    const { config, payloads } = this.#options;
    if (
      result === undefined ||
      result.size > BigInt(config.maxInlineResultBytes) ||
      config.maxInlineResultBytes === 0
    ) {
      return run;
    }
    const full = await withValue(result, run.runId, payloads);
    return full === undefined ? run : { ...run, result: full };
  }

  /** Reads ends out of the journal that are not in memory. */
  #scan(): void {
    if (this.#scanning !== undefined || !this.#unread || !this.#started) {
      return;
    }
    this.#scanning = this.#readAll()
      .catch((error: unknown) => {
        this.#unread = true;
        if (!this.#stop.signal.aborted) {
          this.#options.log.error({ err: error }, "ends that are to be told could not be read; tried again later");
        }
      })
      .finally(() => {
        this.#scanning = undefined;
      });
  }

  async #readAll(): Promise<void> {
    const { journal } = this.#options;
    this.#unread = false;
    for await (const stream of streamsNamed(journal, prefix)) {
      const runId = stream.slice(prefix.length);
      if (this.#stop.signal.aborted || this.#known.size >= mostInMemory) {
        this.#unread = true;
        return;
      }
      if (!this.#known.has(runId) && !this.#done.has(runId)) {
        await this.#restore(stream, runId);
      }
    }
  }

  async #restore(stream: string, runId: string): Promise<void> {
    const { journal, log, clock } = this.#options;
    try {
      let end: Pending | undefined;
      // Repeated for 30 days every hour, it has failed less often than this.
      for (const { data } of await journal.read(stream, 0, mostRecords)) {
        const { event, time } = fromBinary(OutboxEventSchema, data);
        if (event.case === "stored") {
          const { run, url } = event.value;
          const endMs = msFromTimestamp(time);
          end = { runId, workflow: run?.workflow ?? "", url, endMs, failures: 0, dueMs: clock.now(), heapIndex: -1 };
        } else if (event.case === "failed" && end !== undefined) {
          end.failures = event.value.attempt;
          end.dueMs = msFromTimestamp(event.value.wakeAt);
        }
      }
      if (end !== undefined) {
        this.#add(end);
      }
    } catch (error) {
      log.error({ err: error, stream }, "the end of a run could not be read, and is not told");
    }
  }
}

/** Timers run on the monotonic clock. A wall clock that jumps ahead is noticed after this time. */
const longestNapMs = 60_000;

const mostRecords = 100_000;

function streamOf(runId: string): string {
  return `${prefix}${runId}`;
}

function eventBytes(nowMs: number, event: OutboxEvent["event"]): Uint8Array {
  return toBinary(OutboxEventSchema, create(OutboxEventSchema, { time: timestampFromMs(nowMs), event }));
}

function hostOf(url: string): string {
  return URL.parse(url)?.host ?? "";
}

function fieldsOf({ runId, traceparent }: Pending): { readonly run_id: string } {
  return traceparent === undefined ? { run_id: runId } : runFields({ runId, traceparent });
}
