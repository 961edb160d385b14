import { createHmac } from "node:crypto";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { PayloadKeyEventSchema } from "../../../gen/retake/v1/storage_pb.js";
import type { Clock } from "../../clock.ts";
import {
  type Journal,
  PayloadDamagedError,
  type Payloads,
  type PutOptions,
  payloadDigest,
  recordsOf,
  type StoredPayload,
  timestampFromMs,
} from "../../runs/index.ts";
import { KeyFileError } from "../private-key-file.ts";
import { isSealed, seal, unseal } from "./cipher.ts";
import type { KeyRing } from "./key-ring.ts";

export interface EncryptedPayloadsOptions {
  readonly payloads: Payloads;
  readonly journal: Journal;
  /** Encrypt all of them, not only sensitive ones. */
  readonly all: boolean;
  /** Encrypt none: what is kept ends with the process, and so would a key. */
  readonly plain: boolean;
  /** Reads the keys; makes one unless there is a reason why one must be there. @throws KeyFileError */
  readonly readKeys: (missing?: string) => KeyRing;
  /** Whether there is a key file. */
  readonly hasKeys: () => boolean;
  readonly clock: Clock;
}

const stream = "payload-keys";

/**
 * Payloads that are encrypted before they are stored, all of them or those that are sensitive. A storage keeps them under
 * the digest of what it is given, so nothing about it changes: swapped payloads are found, backups and checks need no key.
 *
 * Which keys are in use is in the journal. Without one of them the server does not start.
 */
export class EncryptedPayloads implements Payloads {
  readonly #options: EncryptedPayloadsOptions;
  #ring: KeyRing | undefined;
  #sequence = 0;
  /** Whether the key that encrypts is on record, or about to be. */
  #isRecorded = false;

  constructor(options: EncryptedPayloadsOptions) {
    this.#options = options;
  }

  /**
   * Sees that the keys are there that earlier payloads need.
   *
   * @param needed a key will be needed: one is made where there is none
   * @throws KeyFileError
   */
  async open(needed: boolean): Promise<void> {
    if (this.#options.plain) return;
    const used = new Map<string, Uint8Array>();
    for await (const { sequence, data } of recordsOf(this.#options.journal, stream)) {
      this.#sequence = sequence;
      const { event } = fromBinary(PayloadKeyEventSchema, data);
      if (event.case === "used") used.set(event.value.keyId, event.value.check);
    }
    if (used.size === 0 && !needed && !this.#options.all && !this.#options.hasKeys()) return;
    const missing =
      "payloads of this data directory are encrypted with keys in it, and cannot be read without: bring it back, from where copies of it are kept";
    const ring = this.#options.readKeys(used.size === 0 ? undefined : missing);
    for (const [id, check] of used) {
      const key = ring.keys.get(id);
      if (key === undefined || Buffer.compare(key.check, check) !== 0) {
        const what = key === undefined ? "is not in the key file" : "in the key file is another one";
        throw new KeyFileError(
          `the key ${JSON.stringify(id)}, with which payloads of this data directory are encrypted, ${what} (security.payload_encryption.key_file): add its line behind the others`,
        );
      }
    }
    this.#ring = ring;
    this.#isRecorded = used.has(ring.current.id);
    if (!this.#isRecorded) this.#record(ring);
  }

  put(runId: string, bytes: Uint8Array, options?: PutOptions): StoredPayload {
    const { payloads, all, plain } = this.#options;
    if (bytes.length === 0 || plain || !(all || options?.sensitive === true)) {
      return payloads.put(runId, bytes, options);
    }
    return payloads.put(runId, seal(bytes, this.#keys.current, "payload"), options);
  }

  get(runId: string, sha256: Uint8Array): Promise<Uint8Array | undefined> {
    const found = this.#options.payloads.get(runId, sha256);
    return this.#ring === undefined ? found : this.#opened(found, runId, sha256);
  }

  deleteRuns(runIds: readonly string[]): Promise<void> {
    return this.#options.payloads.deleteRuns(runIds);
  }

  digest(bytes: Uint8Array, sensitive: boolean): Uint8Array {
    const { all, plain } = this.#options;
    if (bytes.length === 0 || plain || !(all || sensitive)) return payloadDigest(bytes);
    return createHmac("sha256", this.#keys.digestKey).update(bytes).digest();
  }

  matches(sha256: Uint8Array, bytes: Uint8Array): boolean {
    if (this.#ring === undefined) return false;
    for (const key of this.#ring.keys.values()) {
      if (Buffer.compare(payloadDigest(seal(bytes, key, "payload")), sha256) === 0) return true;
    }
    return false;
  }

  sealHandle(handle: Uint8Array): Uint8Array {
    return this.#options.plain ? handle : seal(handle, this.#keys.current, "checkpoint");
  }

  openHandle(handle: Uint8Array): Uint8Array {
    return isSealed(handle) && this.#ring !== undefined ? unseal(handle, this.#ring, "checkpoint") : handle;
  }

  async #opened(
    found: Promise<Uint8Array | undefined>,
    runId: string,
    sha256: Uint8Array,
  ): Promise<Uint8Array | undefined> {
    const bytes = await found;
    if (bytes === undefined || this.#ring === undefined || !isSealed(bytes)) return bytes;
    try {
      return unseal(bytes, this.#ring, "payload");
    } catch (error) {
      throw new PayloadDamagedError(runId, sha256, (error as Error).message, { cause: error });
    }
  }

  get #keys(): KeyRing {
    this.#ring ??= this.#options.readKeys();
    if (!this.#isRecorded) this.#record(this.#ring);
    return this.#ring;
  }

  /** The key is on record before anything that needs it: appends keep their order. */
  #record({ current: { id, check } }: KeyRing): void {
    const { journal, clock } = this.#options;
    const value = { keyId: id, check, useTime: timestampFromMs(clock.now()) };
    const event = create(PayloadKeyEventSchema, { event: { case: "used", value } });
    const records = [toBinary(PayloadKeyEventSchema, event)];
    const recorded = journal.append([{ stream, expectedSequence: this.#sequence, records }]);
    this.#isRecorded = true;
    // The appends that come with it tell that it failed; it must not be missing for those that come later.
    recorded.then(
      () => this.#sequence++,
      () => {
        this.#isRecorded = false;
      },
    );
  }
}
