import { hash, timingSafeEqual } from "node:crypto";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type ApiKeyEvent, ApiKeyEventSchema } from "../../../gen/retake/v1/api_key_pb.js";
import type { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import type { Clock, RandomSource } from "../../clock.ts";
import {
  eventTimeMs,
  type Journal,
  JournalConflictError,
  type Logger,
  msFromTimestamp,
  recordsOf,
  type StreamAppend,
  streamsNamed,
  timestampFromMs,
} from "../../runs/index.ts";
import { ApiKeyRecord } from "./api-key.ts";
import { createKey, type NewKey } from "./key-format.ts";
import { KeyUses } from "./key-uses.ts";

const prefix = "api-key/";

/** Each costs some 600 bytes of memory. */
const mostKeys = 10_000;

/** So long those that have ended can be looked at. */
const keepEndedMs = 90 * 24 * 3_600_000;

/** A key's last use is told to the minute. */
const useResolutionMs = 60_000;

/** What a key is made with. */
export interface ApiKeyInit {
  readonly label: string;
  readonly tenant: string;
  readonly subject: string;
  readonly level: AccessLevel;
  readonly groups: readonly string[];
  readonly workflows: readonly string[];
  /** Absent for never. */
  readonly ttlMs?: number;
  readonly requestedBy: string;
}

export interface Rotation {
  readonly overlapMs: number;
  /** Absent for as long as the old one was to be. */
  readonly ttlMs?: number;
  readonly requestedBy: string;
}

export interface Revocation {
  readonly requestedBy: string;
  readonly reason: string;
  /** Also the last one of level ADMIN. */
  readonly force: boolean;
}

/** A key that has been made, which nobody can tell again. */
export interface MadeKey {
  readonly text: string;
  readonly record: ApiKeyRecord;
}

/** A change of keys that cannot be. */
export class ApiKeyRefused extends Error {
  override readonly name = "ApiKeyRefused";
  readonly reason: "unknown" | "ended" | "replaced" | "last_admin" | "too_many";

  constructor(reason: ApiKeyRefused["reason"]) {
    super(reason);
    this.reason = reason;
  }
}

export interface ApiKeysOptions {
  readonly journal: Pick<Journal, "append" | "read" | "listStreams" | "deleteStreams">;
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly log: Logger;
}

/**
 * The API keys of a server, each with a stream of its own in the journal, which has a digest and never the key.
 *
 * 1. Nobody is told of a change before it is durable.
 * 2. What is asked of a key goes by its newest event: a key that is revoked is refused from then on.
 * 3. Whether a key that is shown exists makes no difference to what is done to find that out.
 */
export class ApiKeys {
  readonly #options: ApiKeysOptions;
  readonly #uses: KeyUses;
  readonly #records = new Map<string, ApiKeyRecord>();
  /** What keys that do not exist are compared with. */
  readonly #noDigest = new Uint8Array(32);
  /** Changes come one after the other. */
  #changing: Promise<unknown> = Promise.resolve();

  constructor(options: ApiKeysOptions) {
    this.#options = options;
    this.#uses = new KeyUses(options);
    options.random.fill(this.#noDigest);
  }

  /** How many there are, those that have ended among them. */
  get size(): number {
    return this.#records.size;
  }

  /** By their ids. */
  list(): readonly ApiKeyRecord[] {
    return [...this.#records.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  get(id: string): ApiKeyRecord | undefined {
    return this.#records.get(id);
  }

  /** Reads what earlier processes have left. */
  async open(): Promise<void> {
    const { journal, clock } = this.#options;
    const gone: string[] = [];
    const nowMs = clock.now();
    for await (const stream of streamsNamed(journal, prefix)) {
      const record = await this.#read(stream);
      const endedMs = record?.endedMs(nowMs);
      if (record !== undefined && endedMs !== undefined && nowMs - endedMs > keepEndedMs) {
        this.#records.delete(record.id);
        gone.push(stream);
      }
    }
    for (const [id, usedMs] of await this.#uses.open()) {
      const record = this.#records.get(id);
      if (record === undefined) this.#uses.forget(id);
      else record.lastUsedMs = usedMs;
    }
    // It waits for as long as the storage fails, and no start for it.
    if (gone.length > 0) void journal.deleteStreams(gone).catch(() => undefined);
  }

  /**
   * @param key for those who have to keep the key somewhere before it is taken. Default: a new one
   * @throws ApiKeyRefused, JournalUnavailableError
   */
  create(init: ApiKeyInit, key: NewKey = createKey(this.#options.random)): Promise<MadeKey> {
    return this.#change(async () => {
      this.#assertRoom();
      const nowMs = this.#nowMs();
      await this.#append([[key.id, created(init, key, nowMs, "")]], nowMs);
      return { text: key.text, record: this.#known(key.id) };
    });
  }

  /** Makes a key in the place of another. @throws ApiKeyRefused, JournalUnavailableError */
  rotate(id: string, rotation: Rotation): Promise<MadeKey & { readonly replaced: ApiKeyRecord }> {
    return this.#change(async () => {
      const old = this.#known(id);
      const nowMs = this.#nowMs();
      if (old.endedMs(nowMs) !== undefined) throw new ApiKeyRefused("ended");
      if (old.replacedBy !== "") throw new ApiKeyRefused("replaced");
      this.#assertRoom();
      const { principal, label, createdMs, expiresMs } = old;
      const ttlMs = rotation.ttlMs ?? (expiresMs === undefined ? undefined : expiresMs - createdMs);
      const key = createKey(this.#options.random);
      const init: ApiKeyInit = {
        label,
        tenant: principal.tenant,
        subject: principal.subject,
        level: principal.level,
        groups: principal.groups,
        workflows: [...(principal.workflows ?? [])],
        requestedBy: rotation.requestedBy,
        ...(ttlMs === undefined ? {} : { ttlMs }),
      };
      const rotated: EventInit = {
        case: "rotated",
        value: {
          replacedBy: key.id,
          overlapEndTime: timestampFromMs(nowMs + rotation.overlapMs),
          requestedBy: rotation.requestedBy,
        },
      };
      await this.#append(
        [
          [key.id, created(init, key, nowMs, id)],
          [id, rotated],
        ],
        nowMs,
      );
      return { text: key.text, record: this.#known(key.id), replaced: old };
    });
  }

  /** Refuses a key from now on; one that is revoked stays so as it is. @throws ApiKeyRefused, JournalUnavailableError */
  revoke(id: string, { requestedBy, reason, force }: Revocation): Promise<ApiKeyRecord> {
    return this.#change(async () => {
      const record = this.#known(id);
      if (record.revoked !== undefined) return record;
      const nowMs = this.#nowMs();
      if (!force && record.isAdmin(nowMs) && !this.#hasAdmin(nowMs, id)) throw new ApiKeyRefused("last_admin");
      await this.#append([[id, { case: "revoked", value: { requestedBy, reason } }]], nowMs);
      return record;
    });
  }

  /** The key with this id, if the text is the whole of it and it is taken now. */
  verify(id: string, text: string): ApiKeyRecord | undefined {
    const digest = digestOf(text);
    const record = this.#records.get(id);
    const equal = timingSafeEqual(digest, record?.digest ?? this.#noDigest);
    return equal && record !== undefined && this.#options.clock.now() < record.usableUntilMs ? record : undefined;
  }

  /** Has been shown, and was taken. */
  used(record: ApiKeyRecord, nowMs: number): void {
    if (nowMs - record.lastUsedMs < useResolutionMs) return;
    record.lastUsedMs = nowMs;
    this.#uses.note(record.id, nowMs);
  }

  /** Stores what is not stored yet. */
  close(): Promise<void> {
    return this.#uses.close();
  }

  #hasAdmin(nowMs: number, butId: string): boolean {
    for (const record of this.#records.values()) if (record.id !== butId && record.isAdmin(nowMs)) return true;
    return false;
  }

  #assertRoom(): void {
    if (this.#records.size >= mostKeys) throw new ApiKeyRefused("too_many");
  }

  #known(id: string): ApiKeyRecord {
    const record = this.#records.get(id);
    if (record === undefined) throw new ApiKeyRefused("unknown");
    return record;
  }

  #nowMs(): number {
    return eventTimeMs(this.#options.clock.now());
  }

  #change<T>(change: () => Promise<T>): Promise<T> {
    const changed = this.#changing.then(change);
    this.#changing = changed.catch(() => undefined);
    return changed;
  }

  async #append(entries: readonly (readonly [id: string, event: EventInit])[], nowMs: number): Promise<void> {
    const events = entries.map(
      ([id, event]) => [id, create(ApiKeyEventSchema, { time: timestampFromMs(nowMs), event })] as const,
    );
    const appends = events.map(
      ([id, event]): StreamAppend => ({
        stream: `${prefix}${id}`,
        expectedSequence: this.#records.get(id)?.sequence ?? 0,
        records: [toBinary(ApiKeyEventSchema, event)],
      }),
    );
    try {
      await this.#options.journal.append(appends, { impatient: true });
    } catch (error) {
      if (error instanceof JournalConflictError) {
        // A change that was answered as lost has been stored after all.
        for (const { stream } of appends) await this.#read(stream);
      }
      throw error;
    }
    for (const [id, event] of events) this.#apply(id, event);
  }

  #apply(id: string, event: ApiKeyEvent): void {
    if (event.event.case === "created") {
      const { clock } = this.#options;
      this.#records.set(id, new ApiKeyRecord(id, msFromTimestamp(event.time), event.event.value, clock));
    } else {
      this.#records.get(id)?.apply(event);
    }
  }

  async #read(stream: string): Promise<ApiKeyRecord | undefined> {
    const id = stream.slice(prefix.length);
    // Records are shared with those who have shown the key: one that is known goes on.
    const known = this.#records.get(id)?.sequence ?? 0;
    for await (const { data } of recordsOf(this.#options.journal, stream, known)) {
      this.#apply(id, fromBinary(ApiKeyEventSchema, data));
    }
    return this.#records.get(id);
  }
}

type EventInit = NonNullable<MessageInitShape<typeof ApiKeyEventSchema>["event"]>;

function created(init: ApiKeyInit, key: NewKey, nowMs: number, replaces: string): EventInit {
  const { label, tenant, subject, level, groups, workflows, ttlMs, requestedBy } = init;
  return {
    case: "created",
    value: {
      ...{ label, tenant, subject, level, requestedBy, replaces },
      digest: digestOf(key.text),
      groups: [...groups],
      workflows: [...workflows],
      ...(ttlMs === undefined ? {} : { expireTime: timestampFromMs(nowMs + ttlMs) }),
    },
  };
}

/** Of the whole key, of which 256 bits are random: nobody finds another text for it, or this one by trying. */
function digestOf(text: string): Uint8Array<ArrayBuffer> {
  return hash("sha256", text, "buffer") as Uint8Array<ArrayBuffer>;
}
