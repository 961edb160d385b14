import { fromBinary } from "@bufbuild/protobuf";
import { type BreakerEvent, BreakerEventSchema } from "../../../gen/retake/v1/breaker_pb.js";
import type { RunEvent } from "../../../gen/retake/v1/run_pb.js";
import type { Clock } from "../../../src/clock.ts";
import { decodeEvent } from "../../../src/runs/events.ts";
import {
  createMemoryStorage,
  type MemoryStorage,
  type MemoryStorageOptions,
  UnsyncedError,
} from "../../../src/runs/memory/index.ts";
import { JournalUnavailableError } from "../../../src/runs/ports/journal.ts";
import type { MethodName } from "../plan/plan.ts";
import { methodOf } from "./history.ts";

export const breakerPrefix = "breaker/";

/** As many as there are. */
const all = Number.MAX_SAFE_INTEGER;

/** The workflow that a stream of a breaker is about. */
export function workflowOfStream(stream: string): string {
  return stream.slice(breakerPrefix.length, stream.lastIndexOf("@"));
}

export interface DiskOptions {
  readonly clock: Clock;
  /** How long the next commit takes to be durable. */
  syncMs(): number;
  /** Told of each try to make a commit durable, before it is, with its number; true when the server has been killed by that. */
  onCommit(number: number): boolean;
}

/** What outlives servers: their journal and payloads, with syncs that take time, fail, and are cut short. */
export class Disk {
  readonly #options: DiskOptions;
  readonly #decoded = new Map<string, RunEvent[]>();
  #storage: MemoryStorage;
  #commits = 0;
  /** How many troubles it has; while it has any, no commit becomes durable. */
  failing = 0;
  /** For how many of them that is because syncs fail: what has been written then is not taken back. */
  unsynced = 0;
  /** The shares of what is read that cannot be, one for each trouble. */
  readonly failingReads = new Set<{ readonly share: number }>();

  constructor(options: DiskOptions) {
    this.#options = options;
    this.#storage = createMemoryStorage(this.#storageOptions(options.clock));
  }

  /** Whether it takes nothing, not even what may be lost. */
  get isFull(): boolean {
    return this.failing > this.unsynced;
  }

  get commits(): number {
    return this.#commits;
  }

  /** Where the next process keeps its data, once the one before has been killed or has closed. */
  mount(clock: Clock, batchIsStored: boolean): MemoryStorage {
    this.#storage = this.#storage.crash(this.#storageOptions(clock), batchIsStored);
    return this.#storage;
  }

  /** The durable events of a run at the moment of the call. */
  async events(runId: string): Promise<readonly RunEvent[]> {
    const stream = `run/${runId}`;
    const decoded = this.#decoded.get(runId) ?? [];
    this.#decoded.set(runId, decoded);
    const fresh = await this.#read(({ journal }) => journal.read(stream, decoded.length, all));
    const known = decoded.length;
    for (const record of fresh) {
      // Others may have read on meanwhile.
      if (record.sequence > decoded.length) {
        decoded.push(decodeEvent(stream, record));
      }
    }
    return decoded.slice(0, known + fresh.length);
  }

  /** The newest durable transition of each breaker. */
  async breakers(): Promise<ReadonlyMap<MethodName, BreakerEvent>> {
    const newest = new Map<MethodName, BreakerEvent>();
    for (const stream of await this.#names(breakerPrefix)) {
      const method = methodOf(workflowOfStream(stream));
      for (const data of await this.records(stream)) {
        const event = fromBinary(BreakerEventSchema, data);
        if (event.generation >= (newest.get(method)?.generation ?? 0n)) {
          newest.set(method, event);
        }
      }
    }
    return newest;
  }

  /** The durable records of a stream, at the moment of the call. */
  async records(stream: string): Promise<readonly Uint8Array[]> {
    const records = await this.#read(({ journal }) => journal.read(stream, 0, all));
    return records.map(({ data }) => data);
  }

  /** All streams with their records, by name. */
  async streams(): Promise<ReadonlyMap<string, readonly Uint8Array[]>> {
    const streams = new Map<string, readonly Uint8Array[]>();
    for (const name of await this.#names("")) {
      streams.set(name, await this.records(name));
    }
    return streams;
  }

  /** The ids of all runs, in the order of their names. */
  async runIds(): Promise<readonly string[]> {
    const names = await this.#names("run/");
    return names.map((name) => name.slice("run/".length));
  }

  payload(runId: string, sha256: Uint8Array): Promise<Uint8Array | undefined> {
    return this.#read(({ payloads }) => payloads.get(runId, sha256));
  }

  #names(prefix: string): Promise<readonly string[]> {
    return this.#read(({ journal }) => journal.listStreams(prefix, "", all));
  }

  /** What is durable can be read all the time: a server that stops closes its journal, and the next one opens it later. */
  async #read<Value>(query: (storage: MemoryStorage) => Promise<Value>): Promise<Value> {
    try {
      return await query(this.#storage);
    } catch (error) {
      if (!(error instanceof JournalUnavailableError)) {
        throw error;
      }
      return query(this.mount(this.#options.clock, false));
    }
  }

  #storageOptions(clock: Clock): MemoryStorageOptions {
    return { clock, durable: () => this.#sync(clock) };
  }

  async #sync(clock: Clock): Promise<void> {
    const { syncMs, onCommit } = this.#options;
    await new Promise<void>((resolve) => clock.setTimeout(resolve, syncMs()));
    if (onCommit(++this.#commits)) {
      await new Promise<never>(() => undefined);
    }
    if (this.isFull) {
      throw new Error("the disk is full");
    }
    if (this.failing > 0) {
      throw new UnsyncedError("the disk does not say that it has stored anything");
    }
  }
}
