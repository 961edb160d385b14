import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { LockoutsEventSchema, type StoredLockout, StoredLockoutSchema } from "../../../gen/retake/v1/storage_pb.js";
import type { Clock, Timer } from "../../clock.ts";
import { type Journal, type Logger, msFromTimestamp, ReplacedRecord, timestampFromMs } from "../../runs/index.ts";
import type { LockedName } from "./failure-counts.ts";
import type { Lockout } from "./lockout.ts";

const prefix = "lockouts/";

/** One append tells all that were locked out meanwhile: who attacks from many addresses must not write with each of them. */
const storeAfterMs = 1_000;

const mostStored = 1_000;

export interface StoredLockoutsOptions {
  readonly lockout: Lockout;
  readonly journal: Pick<Journal, "append" | "listStreams" | "read" | "deleteStreams">;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Keeps lock-outs in the journal as long as they last, so that a restart frees nobody. */
export class StoredLockouts {
  readonly #options: StoredLockoutsOptions;
  readonly #record: ReplacedRecord;
  #changed = false;
  #timer: Timer | undefined;
  #storing: Promise<void> = Promise.resolve();

  constructor(options: StoredLockoutsOptions) {
    this.#options = options;
    this.#record = new ReplacedRecord(options.journal, prefix);
  }

  /** Locks those out again that an earlier process had, for what was left of their time. */
  async open(): Promise<void> {
    const { lockout, clock } = this.#options;
    const data = await this.#record.open();
    if (data !== undefined) {
      const nowMs = clock.now();
      const { sources, keys, subjects } = fromBinary(LockoutsEventSchema, data);
      lockout.restore({
        sources: left(sources, nowMs),
        keys: left(keys, nowMs),
        subjects: left(subjects, nowMs),
      });
      this.#storeAtEnd();
    }
    lockout.onLocked = () => {
      if (this.#changed) return;
      this.#changed = true;
      this.#storeIn(storeAfterMs);
    };
  }

  /** Stores what is not stored yet. */
  async close(): Promise<void> {
    this.#options.lockout.onLocked = undefined;
    this.#timer?.cancel();
    await this.#storing;
    if (this.#changed) await this.#store();
    this.#timer?.cancel();
  }

  #storeIn(ms: number): void {
    this.#timer?.cancel();
    this.#timer = this.#options.clock.setTimeout(() => {
      this.#storing = this.#storing.then(() => this.#store());
    }, ms);
  }

  /** Nobody's address stays when there is no more need of it. */
  #storeAtEnd(): void {
    const { sources, keys, subjects } = this.#options.lockout.locked();
    this.#storeIn(Math.max(...[sources, keys, subjects].map(([longest]) => longest?.forMs ?? 0)) + storeAfterMs);
  }

  async #store(): Promise<void> {
    this.#changed = false;
    const { lockout, clock, log } = this.#options;
    const { sources, keys, subjects } = lockout.locked();
    try {
      if (sources.length + keys.length + subjects.length > 0) {
        const nowMs = clock.now();
        const event = create(LockoutsEventSchema, {
          time: timestampFromMs(nowMs),
          sources: sources.slice(0, mostStored).map((each) => stored(each, nowMs)),
          keys: keys.slice(0, mostStored).map((each) => stored(each, nowMs)),
          subjects: subjects.slice(0, mostStored).map((each) => stored(each, nowMs)),
        });
        await this.#record.store(toBinary(LockoutsEventSchema, event));
        if (!this.#changed) this.#storeAtEnd();
      } else {
        await this.#record.store(undefined);
      }
    } catch (error) {
      // It is no reason to refuse calls, and the next one to be locked out brings these with it.
      log.warn({ err: error }, "lock-outs could not be stored: a restart would forget them");
    }
  }
}

function left(locked: readonly StoredLockout[], nowMs: number): LockedName[] {
  return locked
    .map(({ name, endTime, failures }) => ({ name, failures, forMs: msFromTimestamp(endTime) - nowMs }))
    .filter(({ forMs }) => forMs > 0);
}

function stored({ name, failures, forMs }: LockedName, nowMs: number): StoredLockout {
  return create(StoredLockoutSchema, { name, failures, endTime: timestampFromMs(nowMs + forMs) });
}
