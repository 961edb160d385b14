import { PayloadDamagedError, type Payloads, payloadDigest, type StoredPayload } from "../ports/payloads.ts";
import type { MemoryQueue } from "./memory-queue.ts";

/** Payloads that last as long as their process. */
export class MemoryPayloads implements Payloads {
  readonly #queue: MemoryQueue;
  readonly #runs: Map<string, Map<string, Uint8Array>>;

  /** @param crashed the payloads of a process that has crashed, which these take over */
  constructor(queue: MemoryQueue, crashed?: MemoryPayloads) {
    this.#queue = queue;
    this.#runs = crashed === undefined ? new Map() : crashed.#runs;
  }

  put(runId: string, bytes: Uint8Array): StoredPayload {
    const sha256 = payloadDigest(bytes);
    if (bytes.length > 0) {
      this.#queue.enqueue({
        impatient: false,
        appends: [],
        payloadOf: runId,
        apply: () => this.#put(runId, sha256, bytes),
        settle: () => undefined,
      });
    }
    return { sha256 };
  }

  async get(runId: string, sha256: Uint8Array): Promise<Uint8Array | undefined> {
    if (sha256.length === 0) {
      return new Uint8Array();
    }
    const find = (): Promise<Uint8Array | undefined> =>
      this.#queue.read(() => this.#runs.get(runId)?.get(nameOf(sha256)));
    let bytes = await find();
    if (bytes === undefined) {
      // It may be on its way.
      await this.#queue.flush();
      bytes = await find();
    }
    if (bytes !== undefined && nameOf(payloadDigest(bytes)) !== nameOf(sha256)) {
      throw new PayloadDamagedError(runId, sha256, "its bytes have another digest");
    }
    return bytes;
  }

  deleteRuns(runIds: readonly string[]): Promise<void> {
    this.#queue.withdrawPayloads(new Set(runIds));
    return this.#queue.change(() => {
      for (const runId of runIds) {
        this.#runs.delete(runId);
      }
    });
  }

  #put(runId: string, sha256: Uint8Array, bytes: Uint8Array): void {
    const payloads = this.#runs.get(runId) ?? new Map<string, Uint8Array>();
    this.#runs.set(runId, payloads);
    payloads.set(nameOf(sha256), bytes);
  }
}

function nameOf(sha256: Uint8Array): string {
  return Buffer.from(sha256).toString("hex");
}
