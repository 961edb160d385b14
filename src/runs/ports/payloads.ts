/**
 * The messages that runs refer to: inputs, results, step results, updates. Kept beside the journal under their digest,
 * each owned by the runs that put it, so that it can be deleted before they are.
 */
export interface Payloads {
  /**
   * Stores bytes for a run. `stored` is absent when they are ordered before the next `Journal.append` and become
   * durable no later than it; otherwise (large payloads) it must be awaited before the append that refers to them.
   */
  put(runId: string, bytes: Uint8Array): StoredPayload;

  /** The bytes, checked against their digest; undefined once they are deleted. */
  get(runId: string, sha256: Uint8Array): Promise<Uint8Array | undefined>;

  /** Deletes all payloads of the runs; bytes that other runs own too stay. Resolves when that is durable. */
  deleteRuns(runIds: readonly string[]): Promise<void>;
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
