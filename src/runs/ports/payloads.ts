import { hash } from "node:crypto";

/**
 * The messages that runs refer to: inputs, results, step results, updates. Kept beside the journal under their digest,
 * each owned by the runs that put it, so that it can be deleted before they are.
 */
export interface Payloads {
  /**
   * Stores bytes for a run. `stored` is absent when they are ordered before the next `Journal.append` and become
   * durable no later than it; otherwise (large payloads) it must be awaited before the append that refers to them.
   * The bytes are not copied and must not change. Who then does not create the run deletes its payloads again.
   */
  put(runId: string, bytes: Uint8Array, options?: PutOptions): StoredPayload;

  /**
   * The bytes, checked against their digest; undefined once they are deleted.
   *
   * @throws PayloadDamagedError
   */
  get(runId: string, sha256: Uint8Array): Promise<Uint8Array | undefined>;

  /**
   * Deletes all payloads of the runs, in small portions; bytes that other runs own too stay. Resolves when that is
   * durable. Nobody puts payloads of these runs meanwhile.
   */
  deleteRuns(runIds: readonly string[]): Promise<void>;

  /**
   * A digest of bytes for what is told apart by its contents (steps, children): by `sensitive` ones nobody can find out
   * what they are by guessing. Absent where it is the SHA-256 of the bytes always.
   */
  digest?(bytes: Uint8Array, sensitive: boolean): Uint8Array;

  /** Whether a payload with this digest holds these bytes, where the digest is not that of the bytes. */
  matches?(sha256: Uint8Array, bytes: Uint8Array): boolean;

  /** What the journal keeps of a back-end's handle that may hold what is sensitive, and the handle again. */
  sealHandle?(handle: Uint8Array): Uint8Array;
  openHandle?(handle: Uint8Array): Uint8Array;
}

/** A digest for what is told apart by its contents. */
export function digestOf(payloads: Pick<Payloads, "digest">, bytes: Uint8Array, sensitive: boolean): Uint8Array {
  return payloads.digest?.(bytes, sensitive) ?? payloadDigest(bytes);
}

export interface PutOptions {
  /** Let `stored` rather be rejected with a JournalUnavailableError than wait for a storage that fails. Default: wait. */
  readonly impatient?: boolean;
  /** The bytes have contents that nobody may read in the storage's files (`debug_redact`). Default: they have none. */
  readonly sensitive?: boolean;
}

export interface StoredPayload {
  readonly sha256: Uint8Array;
  readonly stored?: Promise<void>;
}

/** How payloads look at rest. The digest is that of the plain bytes. */
export interface PayloadCodec {
  encode(plain: Uint8Array): Uint8Array;
  /** @throws when the bytes are not what `encode` has made */
  decode(stored: Uint8Array): Uint8Array;
}

export const plainCodec: PayloadCodec = { encode: (bytes) => bytes, decode: (bytes) => bytes };

const empty = new Uint8Array();

/** The SHA-256 of the plain bytes, which is a payload's name; empty for none, because nothing is stored of that. */
export function payloadDigest(bytes: Uint8Array): Uint8Array {
  return bytes.length === 0 ? empty : hash("sha256", bytes, "buffer");
}

/** The bytes of a payload are not those that were put, or are gone though nobody has deleted them. */
export class PayloadDamagedError extends Error {
  override readonly name = "PayloadDamagedError";
  readonly runId: string;
  readonly sha256: Uint8Array;
  /** What is wrong with it, in words. */
  readonly what: string;

  constructor(runId: string, sha256: Uint8Array, what: string, options?: ErrorOptions) {
    const digest = Buffer.from(sha256).toString("hex");
    super(`payload ${digest} of run ${runId} is damaged: ${what}; restore it from a backup`, options);
    this.runId = runId;
    this.sha256 = sha256;
    this.what = what;
  }
}
