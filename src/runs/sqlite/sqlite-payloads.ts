import type { StreamAppend } from "../ports/journal.ts";
import {
  type PayloadCodec,
  PayloadDamagedError,
  type Payloads,
  type PutOptions,
  payloadDigest,
  type StoredPayload,
} from "../ports/payloads.ts";
import type { GroupCommit, SizedOperation } from "./group-commit.ts";
import type { PayloadFiles } from "./payload-files.ts";
import { mostBytesInTable } from "./payload-limits.ts";
import type { PayloadRow, PayloadTable } from "./payload-table.ts";

/** Runs whose payloads one transaction deletes. */
const deletedRunsAtOnce = 64;

export interface SqlitePayloadsOptions {
  readonly commit: GroupCommit;
  readonly table: PayloadTable;
  readonly files: PayloadFiles;
  readonly codec: PayloadCodec;
}

/** Payloads in an SQLite database, and large ones in files beside it. */
export class SqlitePayloads implements Payloads {
  readonly #options: SqlitePayloadsOptions;

  constructor(options: SqlitePayloadsOptions) {
    this.#options = options;
  }

  put(runId: string, bytes: Uint8Array, options?: PutOptions): StoredPayload {
    const sha256 = payloadDigest(bytes);
    if (bytes.length === 0) {
      return { sha256 };
    }
    const { commit, table, files, codec } = this.#options;
    const encoded = codec.encode(bytes);
    if (bytes.length <= mostBytesInTable) {
      commit.enqueue(new Put(() => table.put(runId, sha256, bytes.length, encoded), runId, encoded.length));
      return { sha256 };
    }
    const stored = files.write(sha256, encoded, options?.impatient === true).then(() => {
      const settled = (failure: Error | undefined): void => {
        files.release(sha256);
        if (failure !== undefined) {
          void files.removeUnowned(sha256).catch(() => undefined);
        }
      };
      commit.enqueue(new Put(() => table.put(runId, sha256, bytes.length, undefined), runId, 0, settled));
    });
    return { sha256, stored };
  }

  async get(runId: string, sha256: Uint8Array): Promise<Uint8Array | undefined> {
    if (sha256.length === 0) {
      return new Uint8Array();
    }
    const { commit, table, files, codec } = this.#options;
    const find = (): Promise<PayloadRow | undefined> => commit.read(() => table.find(runId, sha256));
    let row = await find();
    if (row === undefined) {
      // It may be on its way.
      await commit.flush();
      row = await find();
    }
    if (row === undefined) {
      return undefined;
    }
    const encoded = row.data ?? (await files.read(sha256));
    if (encoded === undefined) {
      if ((await find()) === undefined) {
        return undefined;
      }
      throw new PayloadDamagedError(runId, sha256, "its file is gone");
    }
    let bytes: Uint8Array;
    try {
      bytes = codec.decode(encoded);
    } catch (error) {
      throw new PayloadDamagedError(runId, sha256, "it cannot be decoded", { cause: error });
    }
    if (Buffer.compare(payloadDigest(bytes), sha256) !== 0) {
      throw new PayloadDamagedError(runId, sha256, "its bytes have another digest");
    }
    return bytes;
  }

  async deleteRuns(runIds: readonly string[]): Promise<void> {
    const { commit, table, files } = this.#options;
    commit.withdrawPayloads(new Set(runIds));
    for (let start = 0; start < runIds.length; start += deletedRunsAtOnce) {
      const portion = runIds.slice(start, start + deletedRunsAtOnce);
      let deleted: ReturnType<PayloadTable["deleteSome"]>;
      do {
        deleted = { more: false, files: [] };
        await commit.change(() => {
          deleted = table.deleteSome(portion);
        });
        for (const sha256 of deleted.files) {
          await files.removeUnowned(sha256);
        }
      } while (deleted.more);
    }
  }
}

class Put implements SizedOperation {
  readonly impatient = false;
  readonly appends: readonly StreamAppend[] = [];
  readonly payloadOf: string;
  readonly bytes: number;
  readonly apply: () => void;
  readonly #settled: ((failure: Error | undefined) => void) | undefined;

  constructor(apply: () => void, runId: string, bytes: number, settled?: (failure: Error | undefined) => void) {
    this.apply = apply;
    this.payloadOf = runId;
    this.bytes = bytes;
    this.#settled = settled;
  }

  settle(failure: Error | undefined): void {
    this.#settled?.(failure);
  }
}
