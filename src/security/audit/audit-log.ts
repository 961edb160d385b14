import { fromJsonString } from "@bufbuild/protobuf";
import { type AuditRecord, AuditRecordSchema } from "../../../gen/retake/v1/audit_pb.js";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import type { Clock, Timer } from "../../clock.ts";
import type { Logger } from "../../runs/index.ts";
import type { Principal } from "../principal.ts";
import type { Audit, AuditEvent, AuditSink } from "./audit.ts";
import { AuditBatch } from "./audit-batch.ts";
import type { OtlpAuditSink } from "./audit-otlp.ts";
import { type AuditPage, type AuditQuery, matchesAction } from "./audit-query.ts";
import type { Appended, AuditStore } from "./audit-store.ts";
import { type AuditTally, addTally, damagedAction, emptyTally, lostAction } from "./audit-tally.ts";
import { Denials } from "./denials.ts";

export interface AuditLogOptions {
  readonly store: AuditStore;
  readonly clock: Clock;
  readonly log: Logger;
  /** Actions that are not recorded. */
  readonly except: readonly string[];
  readonly reads: boolean;
  readonly maxDelayMs: number;
  readonly maxWaiting: number;
  /** Whether calls are refused while the log cannot be written. */
  readonly refuseOnFailure: boolean;
  readonly sinks: readonly AuditSink[];
  /** Who exports it. */
  readonly exported?: OtlpAuditSink | undefined;
}

/** What the server does by itself. */
export const ownPrincipal: Principal = {
  tenant: "default",
  subject: "server",
  level: AccessLevel.ADMIN,
  groups: [],
  authentication: "in_process",
};

/** So much goes over at once, whatever the delay is. */
const enoughBytes = 128 * 1024;
const retryDelayMs = 1_000;
/** So long a server that starts has other things to do than to look whether its log is as it was. */
const openAfterMs = 1_000;
/** Portions of a search that one call waits for. */
const mostPortions = 8;

/**
 * The audit log, as the rest of the server sees it. Recording makes a line of text, and nothing else happens until there is
 * enough of that or `maxDelayMs` has passed. While the store fails, records wait in memory; when there are too many, more are
 * counted, and that count is the first thing recorded once it can be.
 */
export class AuditLog implements Audit {
  readonly reads: boolean;
  readonly #options: AuditLogOptions;
  readonly #denials = new Denials();
  readonly #wanted = new Map<string, boolean>();
  readonly #batch = new AuditBatch();
  #lost = 0;
  #lostTold = 0;
  #timer: Timer | undefined;
  #openTimer: Timer | undefined;
  /** What the store has not taken yet, and what becomes of it. */
  #underWay: Promise<void> | undefined;
  #refused: { readonly text: string; readonly count: number } | undefined;
  #failure: string | undefined;
  #copyFailure: string | undefined;
  #closed = false;

  constructor(options: AuditLogOptions) {
    this.#options = options;
    this.reads = options.reads;
  }

  get refuses(): boolean {
    return this.#failure !== undefined && this.#options.refuseOnFailure;
  }

  /** Why the log cannot be written, while it cannot. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** Events that are on no record, since the start. */
  get lost(): number {
    return this.#lost;
  }

  wants(action: string): boolean {
    let wanted = this.#wanted.get(action);
    if (wanted === undefined) {
      wanted = !this.#options.except.some((pattern) => matchesAction(pattern, action));
      this.#wanted.set(action, wanted);
    }
    return wanted;
  }

  record(event: AuditEvent): void {
    if (this.#closed || !this.wants(event.action)) return;
    if (event.outcome === "denied") {
      this.#denials.add(event, this.#options.clock.now());
    } else {
      this.#add(event, this.#options.clock.now(), 1);
    }
    if (this.#timer === undefined) this.#flushLater(this.#options.maxDelayMs);
    else if (this.#batch.bytes >= enoughBytes && this.#underWay === undefined) this.#send();
  }

  /** Opens the log, or begins one, before anything is recorded. */
  async open(): Promise<void> {
    this.#damaged(await this.#options.store.open());
  }

  /** Looks soon whether the log is as it was, though nothing may be recorded. */
  openSoon(): void {
    // Where it cannot be opened, whoever records something is told.
    this.#openTimer = this.#options.clock.setTimeout(() => this.open().catch(() => undefined), openAfterMs);
  }

  /** Resolves when what was recorded up to now is durable, or cannot be. What comes meanwhile is not waited for. */
  async flush(): Promise<void> {
    await this.#underWay;
    if (this.#refused !== undefined) return;
    if (this.#underWay === undefined) this.#send();
    await this.#underWay;
  }

  /** A page of records: those that a bounded search finds, and where the next begins. */
  async list(query: AuditQuery, page: AuditPage): Promise<{ records: AuditRecord[]; next?: number }> {
    await this.flush();
    const records: AuditRecord[] = [];
    let from = page.from;
    for (let portion = 0; portion < mostPortions; portion++) {
      const { oldestFirst, limit } = page;
      const slice = await this.#options.store.search(query, {
        ...{ oldestFirst, limit: limit - records.length },
        ...(from === undefined ? {} : { from }),
      });
      records.push(...slice.lines.map(recordFromLine));
      from = slice.next;
      if (from === undefined || records.length >= limit) break;
    }
    return { records, ...(from === undefined ? {} : { next: from }) };
  }

  /** Counts what was recorded in a time. */
  async tally(sinceMs: number, untilMs: number, signal?: AbortSignal): Promise<AuditTally> {
    await this.flush();
    const tally = emptyTally();
    let from: number | undefined;
    do {
      signal?.throwIfAborted();
      const slice = await this.#options.store.tally(sinceMs, untilMs, from);
      addTally(tally, slice.tally);
      from = slice.next;
    } while (from !== undefined);
    return tally;
  }

  /** Writes what can be written, once more, and ends. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#timer?.cancel();
    this.#openTimer?.cancel();
    await this.#underWay;
    if (this.#refused !== undefined) {
      this.#send();
      await this.#underWay;
    }
    await this.flush();
    this.#timer?.cancel();
    if (this.#refused !== undefined) {
      const records = this.#batch.count + this.#refused.count;
      this.#options.log.error({ records }, "records of the audit log are lost: it could not be written to the end");
    }
    await this.#options.store.close();
  }

  #add(event: AuditEvent, timeMs: number, count: number): void {
    if (this.#batch.count + (this.#refused?.count ?? 0) >= this.#options.maxWaiting) {
      this.#lost += count;
    } else {
      this.#batch.add(event, timeMs, count);
    }
  }

  #flushLater(delayMs: number): void {
    this.#timer?.cancel();
    this.#timer = this.#options.clock.setTimeout(() => {
      this.#timer = undefined;
      if (this.#underWay === undefined) this.#send();
    }, delayMs);
  }

  #send(): void {
    const { store, clock } = this.#options;
    if (this.#refused === undefined) {
      for (const { event, timeMs, count } of this.#denials.take()) this.#add(event, timeMs, count);
      if (this.#lost > this.#lostTold) {
        const details = { records: String(this.#lost - this.#lostTold) };
        this.#lostTold = this.#lost;
        this.#batch.add({ ...own, action: lostAction, outcome: "failed", details }, clock.now(), 1);
      }
    }
    if (this.#refused === undefined && this.#batch.count === 0) return;
    const { count } = this.#batch;
    const batch = this.#refused ?? { text: this.#batch.take(), count };
    this.#underWay = store.append(batch.text, clock.now()).then(
      (appended) => {
        this.#underWay = undefined;
        this.#refused = undefined;
        this.#succeeded(appended);
        if (this.#batch.count > 0 && !this.#closed) this.#flushLater(this.#options.maxDelayMs);
      },
      (error: Error) => {
        this.#underWay = undefined;
        this.#refused = batch;
        this.#failed(error);
        if (!this.#closed) this.#flushLater(retryDelayMs);
      },
    );
  }

  #succeeded({ lines, otlp, damage, copyFailure }: Appended): void {
    const { log, sinks, exported } = this.#options;
    if (this.#failure !== undefined) {
      this.#failure = undefined;
      log.info({ lost: this.#lost }, "the audit log can be written again");
    }
    this.#damaged(damage);
    if (copyFailure !== this.#copyFailure) {
      this.#copyFailure = copyFailure;
      if (copyFailure !== undefined) log.error({ problem: copyFailure }, "the copy of the audit log cannot be written");
    }
    if (sinks.length > 0 && lines !== undefined) {
      const records = lines.map(recordFromLine);
      for (const sink of sinks) sink.write(records);
    }
    if (otlp !== undefined) exported?.take(otlp);
  }

  #damaged(damage: string | undefined): void {
    if (damage === undefined) return;
    const { log, clock, maxDelayMs } = this.#options;
    log.error({ damage }, "the audit log was damaged or tampered with: a new one has begun");
    // No exception is made of it: until it is on record, each start tells it again.
    this.#batch.add({ ...own, action: damagedAction, outcome: "failed", details: { damage } }, clock.now(), 1);
    if (!this.#closed && this.#timer === undefined) this.#flushLater(maxDelayMs);
  }

  #failed(error: Error): void {
    if (this.#failure === undefined) {
      const { refuseOnFailure, log } = this.#options;
      const calls = refuseOnFailure ? "calls that would be recorded are refused" : "records wait in memory";
      log.error({ err: error }, `the audit log cannot be written; ${calls} until it can`);
    }
    this.#failure = error.message;
  }
}

const own = { principal: ownPrincipal, resource: "audit", source: "" } as const;

export function recordFromLine(line: string): AuditRecord {
  return fromJsonString(AuditRecordSchema, line, { ignoreUnknownFields: true });
}
