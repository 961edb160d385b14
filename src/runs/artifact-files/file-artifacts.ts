import { existsSync } from "node:fs";
import { type FileHandle, mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../../clock.ts";
import { ownModule } from "../../own-files.ts";
import { WorkerCalls } from "../../worker-calls.ts";
import { artifactId, uploadKey } from "../artifacts/artifact-id.ts";
import type { ContentRules } from "../artifacts/content-check.ts";
import { Intake } from "../artifacts/intake.ts";
import { announced, missingBytes, unknownArtifacts, uploadDiffers } from "../artifacts/problems.ts";
import { untilStopped } from "../artifacts/until-stopped.ts";
import { isMissing } from "../found-files.ts";
import {
  ArtifactError,
  type ArtifactFilter,
  type ArtifactKeeper,
  type ArtifactPage,
  type ArtifactProblem,
  type ArtifactRow,
  type Artifacts,
  type ArtifactWrite,
  type ByteRange,
  type StoredArtifact,
  type UploadPosition,
} from "../ports/artifacts.ts";
import type { RunOwner } from "../ports/journal.ts";
import type { ArtifactIndex, UploadRow } from "./artifact-index.ts";
import { ByteFiles } from "./byte-files.ts";
import { type QuotaSettings, Quotas, type Reservation } from "./quotas.ts";
import { closedProblem, storageProblem } from "./storage-problem.ts";

/** An upload that breaks off with the machine loses no more than this. */
const syncedBytes = 4 * 1024 * 1024;

export interface FileArtifactsOptions extends QuotaSettings {
  /** The data directory: locked by this process. */
  readonly directory: string;
  readonly clock: Clock;
  /** Bytes of one artifact. */
  readonly maxBytes: number;
  /** What its bytes have to be. Default: they are taken for what they are said to be. */
  readonly content?: ContentRules;
  /** Makes durable what was written to an open file. */
  readonly sync: (file: number) => Promise<void>;
}

/** Going on after these would end the same way. */
const hopeless: ReadonlySet<ArtifactProblem> = new Set(["digest", "too-large", "content"]);

/** An upload that is going on. */
interface ActiveUpload {
  readonly stop: AbortController;
  readonly ended: Promise<void>;
}

/** Where the bytes of one write go. */
interface Target {
  readonly path: string;
  /** Of an upload that can be continued. */
  readonly key?: string;
}

/**
 * Artifacts as files in the data directory, with an SQLite database of their own beside them. Nothing is opened, and
 * nothing made, before somebody stores an artifact.
 */
export class FileArtifacts implements Artifacts {
  readonly #options: FileArtifactsOptions;
  readonly #directory: string;
  readonly #indexPath: string;
  readonly #index: WorkerCalls<ArtifactIndex>;
  readonly #files: ByteFiles;
  readonly #quotas: Quotas;
  readonly #uploads = new Map<string, ActiveUpload>();
  readonly #writes = new Set<Promise<unknown>>();
  readonly #closing = new AbortController();
  #prepared: Promise<void> | undefined;
  #sweeping: Promise<void> | undefined;

  constructor(options: FileArtifactsOptions) {
    this.#options = options;
    this.#directory = join(options.directory, "artifacts");
    this.#indexPath = join(this.#directory, "index.sqlite");
    this.#index = new WorkerCalls({
      url: ownModule("runs/artifact-files/index-worker"),
      name: "retake-artifacts",
      data: { path: this.#indexPath },
    });
    const { maxTotalBytes, maxBytesPerOwner } = options;
    this.#quotas = new Quotas({
      ...{ maxTotalBytes, maxBytesPerOwner },
      directory: this.#directory,
      usage: (owner) => this.#index.call("usage", owner),
    });
    this.#files = new ByteFiles({
      directory: this.#directory,
      sync: options.sync,
      isOwned: (sha256) => this.#index.call("ownsFile", sha256),
    });
  }

  async write(content: AsyncIterable<Uint8Array>, what: ArtifactWrite): Promise<StoredArtifact> {
    const writing = this.#write(content, what);
    this.#writes.add(writing);
    try {
      return await writing;
    } finally {
      this.#writes.delete(writing);
    }
  }

  async findUpload(owner: RunOwner, uploadId: string): Promise<UploadPosition | undefined> {
    return this.#reading(undefined, async () => {
      const row = await this.#findUpload(uploadKey(owner, uploadId));
      return row && { offset: row.committed, ...(row.artifact === undefined ? {} : { artifact: row.artifact }) };
    });
  }

  get(id: string): Promise<StoredArtifact | undefined> {
    return this.#reading(undefined, () => this.#index.call("get", id));
  }

  async *read(artifact: StoredArtifact, range?: ByteRange): AsyncGenerator<Uint8Array, void, undefined> {
    this.#assertOpen();
    const { offset, length } = range ?? { offset: 0, length: artifact.size };
    const chunks = this.#files.read(artifact.sha256, offset, Math.min(length, artifact.size - offset));
    try {
      yield* chunks;
    } catch (error) {
      if (isMissing(error) && (await this.get(artifact.id)) === undefined) {
        throw unknownArtifacts([artifact.id]);
      }
      throw new ArtifactError(
        "damaged",
        `artifact ${artifact.id} is damaged: ${(error as Error).message}; restore it from a backup, or upload it again`,
        { cause: error },
      );
    }
  }

  list(filter: ArtifactFilter, page: ArtifactPage): Promise<readonly ArtifactRow[]> {
    return this.#reading<readonly ArtifactRow[]>([], () => this.#index.call("list", filter, page));
  }

  async keep(runId: string, ids: readonly string[]): Promise<void> {
    const unknown = await this.#reading<readonly string[]>(ids, () =>
      this.#index.call("keep", runId, ids, this.#nowMs()),
    );
    if (unknown.length > 0) {
      throw unknownArtifacts(unknown);
    }
  }

  release(runIds: readonly string[]): Promise<void> {
    return this.#reading(undefined, () => this.#index.call("release", runIds, this.#nowMs()));
  }

  listKeepers(afterRunId: string, limit: number): Promise<readonly ArtifactKeeper[]> {
    return this.#reading<readonly ArtifactKeeper[]>([], () => this.#index.call("listKeepers", afterRunId, limit));
  }

  removeUnkept(beforeMs: number, limit: number): Promise<number> {
    return this.#reading(0, async () => {
      const removed = await this.#index.call("removeUnkept", beforeMs, limit);
      for (const sha256 of removed) {
        await this.#files.removeUnowned(sha256);
      }
      return removed.length;
    });
  }

  removeUploads(beforeMs: number, limit: number): Promise<number> {
    return this.#reading(0, async () => {
      const removed = await this.#index.call("removeUploads", beforeMs, limit, [...this.#uploads.keys()]);
      for (const key of removed) {
        await this.#files.removeUpload(key);
      }
      return removed.length;
    });
  }

  async close(): Promise<void> {
    this.#closing.abort(closedProblem());
    await Promise.allSettled(this.#writes);
    await this.#sweeping;
    await this.#files.settled();
    await this.#index.close();
  }

  async #write(content: AsyncIterable<Uint8Array>, what: ArtifactWrite): Promise<StoredArtifact> {
    // Told before anything is made.
    const intake = new Intake(what, this.#options);
    await this.#prepare();
    const signals = [this.#closing.signal, ...(what.signal === undefined ? [] : [what.signal])];
    if (what.uploadId === undefined) {
      const path = this.#files.unfinishedPath();
      try {
        return await this.#takeIn(content, what, { path }, intake, 0, AbortSignal.any(signals));
      } finally {
        await rm(path, { force: true });
      }
    }
    const key = uploadKey(what.owner, what.uploadId);
    const { stop, end } = await this.#takeOver(key);
    try {
      return await this.#upload(content, what, key, intake, AbortSignal.any([...signals, stop.signal]));
    } finally {
      end();
    }
  }

  /** Makes this the one writer of an upload; whoever was it before has ended when this resolves. */
  async #takeOver(key: string): Promise<{ stop: AbortController; end: () => void }> {
    const stop = new AbortController();
    const ended = Promise.withResolvers<void>();
    const before = this.#uploads.get(key);
    const mine: ActiveUpload = { stop, ended: ended.promise };
    this.#uploads.set(key, mine);
    const end = (): void => {
      if (this.#uploads.get(key) === mine) {
        this.#uploads.delete(key);
      }
      ended.resolve();
    };
    before?.stop.abort(
      new ArtifactError("taken-over", "another call has taken this upload over: only one can continue it at a time"),
    );
    await before?.ended;
    return { stop, end };
  }

  async #upload(
    content: AsyncIterable<Uint8Array>,
    what: ArtifactWrite,
    key: string,
    intake: Intake,
    signal: AbortSignal,
  ): Promise<StoredArtifact> {
    const { name, mediaType, size, offset = 0, sha256 } = what;
    const known = await this.#asked(() => this.#findUpload(key));
    if (known?.artifact !== undefined && announced(what, known.artifact)) {
      return known.artifact;
    }
    if (offset > 0) {
      if (known === undefined || known.artifact !== undefined || offset > known.committed) {
        throw missingBytes(known, offset);
      }
      const difference = uploadDiffers(known, what);
      if (difference !== undefined) {
        throw difference;
      }
    }
    const plan = {
      name,
      mediaType,
      ...(size === undefined ? {} : { size }),
      ...(sha256 instanceof Uint8Array ? { sha256 } : {}),
    };
    // First the file, then what is counted of it: whatever refuses the rest, no byte is there that does not count.
    await this.#asked(() => this.#files.cutUpload(key, offset));
    await this.#asked(() => this.#index.call("beginUpload", key, plan, offset, what.owner, this.#nowMs()));
    const path = this.#files.uploadPath(key);
    try {
      return await this.#takeIn(content, what, { path, key }, intake, offset, signal);
    } catch (error) {
      if (error instanceof ArtifactError && (await this.#leavesNothing(key, error.problem))) {
        await this.#asked(() => this.#index.call("removeUpload", key));
        await this.#files.removeUpload(key);
      }
      throw error;
    }
  }

  /** Whether there is nothing to go on with after a problem. What a quota refuses from the start is no upload either. */
  async #leavesNothing(key: string, problem: ArtifactProblem): Promise<boolean> {
    if (problem !== "quota") return hopeless.has(problem);
    return (await this.#asked(() => this.#findUpload(key)))?.committed === 0;
  }

  /** An upload with no more bytes than its file has: a disk may have lost some. */
  async #findUpload(key: string): Promise<UploadRow | undefined> {
    const row = await this.#index.call("findUpload", key);
    if (row === undefined || row.artifact !== undefined) {
      return row;
    }
    return { ...row, committed: Math.min(row.committed, await this.#files.uploadSize(key)) };
  }

  async #takeIn(
    content: AsyncIterable<Uint8Array>,
    what: ArtifactWrite,
    target: Target,
    intake: Intake,
    offset: number,
    signal: AbortSignal,
  ): Promise<StoredArtifact> {
    const expected = {
      ...(target.key === undefined ? {} : { stored: offset }),
      ...(what.size === undefined ? {} : { size: what.size }),
    };
    const reserved = await this.#asked(() => this.#quotas.reserve(what.owner, expected));
    try {
      return await this.#store(content, what, target, intake, offset, signal, reserved);
    } finally {
      reserved.settle();
    }
  }

  async #store(
    content: AsyncIterable<Uint8Array>,
    what: ArtifactWrite,
    target: Target,
    intake: Intake,
    offset: number,
    signal: AbortSignal,
    reserved: Reservation,
  ): Promise<StoredArtifact> {
    const file = await this.#asked(() => open(target.path, offset > 0 ? "r+" : "w+", 0o600));
    try {
      if (offset > 0) {
        await this.#rejoin(file, offset, intake);
      }
      await this.#append(file, untilStopped(content, signal), target, intake, reserved);
      await this.#asked(() => reserved.check());
    } finally {
      intake.close();
      await file.close();
    }
    const { sha256, size } = await intake.finish();
    const { owner, name, mediaType, keeper } = what;
    const nowMs = this.#nowMs();
    const artifact: StoredArtifact = {
      id: artifactId(owner, sha256, mediaType, name),
      ...{ sha256, size, mediaType, name, owner },
      createTimeMs: nowMs,
    };
    const addition = {
      ...(keeper === undefined ? {} : { keeper }),
      ...(target.key === undefined ? {} : { uploadKey: target.key }),
    };
    return this.#asked(() =>
      this.#files.keep(target.path, sha256, size, () => this.#index.call("add", artifact, addition, nowMs)),
    );
  }

  /** Reads again what an upload has brought before: its digest so far is in no file. */
  async #rejoin(file: FileHandle, offset: number, intake: Intake): Promise<void> {
    const chunk = Buffer.allocUnsafeSlow(256 * 1024);
    while (intake.size < offset) {
      const { bytesRead } = await this.#asked(() =>
        file.read(chunk, 0, Math.min(chunk.length, offset - intake.size), intake.size),
      );
      if (bytesRead === 0) {
        throw missingBytes(undefined, offset);
      }
      intake.add(chunk.subarray(0, bytesRead));
      if (intake.inspects) await intake.inspect(chunk.subarray(0, bytesRead));
    }
  }

  async #append(
    file: FileHandle,
    content: AsyncIterable<Uint8Array>,
    { key }: Target,
    intake: Intake,
    reserved: Reservation,
  ): Promise<void> {
    let synced = intake.size;
    const sync = async (size: number): Promise<void> => {
      await this.#asked(() => this.#files.sync(file));
      synced = size;
      if (key !== undefined) {
        await this.#asked(() => this.#index.call("moveUpload", key, size, this.#nowMs()));
        reserved.settle();
      }
    };
    let written = intake.size;
    try {
      for await (const chunk of content) {
        intake.add(chunk);
        if (intake.recognisable) await intake.check();
        if (intake.inspects) await intake.inspect(chunk);
        await this.#asked(() => reserved.take(chunk.length));
        await this.#asked(() => writeAll(file, chunk, written));
        written += chunk.length;
        if (key !== undefined && written - synced >= syncedBytes) {
          await sync(written);
        }
      }
    } catch (error) {
      if (key !== undefined && written > synced) {
        // Whoever continues it need not send this again. If it cannot be kept, they must, and hear why it broke off.
        await sync(written).catch(() => undefined);
      }
      throw error;
    }
    await sync(written);
  }

  /** Reads of a place where nothing has ever been stored answer so, and make nothing. */
  async #reading<Result>(nothing: Result, ask: () => Promise<Result>): Promise<Result> {
    this.#assertOpen();
    if (this.#prepared === undefined && !existsSync(this.#indexPath)) {
      return nothing;
    }
    await this.#prepare();
    return this.#asked(ask);
  }

  /** Makes the folders at the first need, and tries again if that did not work. */
  async #prepare(): Promise<void> {
    this.#assertOpen();
    this.#prepared ??= this.#asked(async () => {
      await mkdir(this.#directory, { recursive: true, mode: 0o700 });
      await this.#files.prepare();
      this.#sweeping = this.#files.sweep(() => this.#closing.signal.aborted).catch(() => undefined);
    });
    try {
      await this.#prepared;
    } catch (error) {
      this.#prepared = undefined;
      throw error;
    }
  }

  async #asked<Result>(ask: () => Promise<Result>): Promise<Result> {
    try {
      return await ask();
    } catch (error) {
      throw storageProblem(error, this.#directory);
    }
  }

  #nowMs(): number {
    return Math.floor(this.#options.clock.now());
  }

  #assertOpen(): void {
    this.#closing.signal.throwIfAborted();
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let start = 0; start < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, start, bytes.length - start, position + start);
    start += bytesWritten;
  }
}
