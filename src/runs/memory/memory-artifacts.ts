import type { Clock } from "../../clock.ts";
import { artifactId, uploadKey } from "../artifacts/artifact-id.ts";
import { Intake } from "../artifacts/intake.ts";
import { announced, missingBytes, unknownArtifacts, uploadDiffers } from "../artifacts/problems.ts";
import { untilStopped } from "../artifacts/until-stopped.ts";
import {
  ArtifactError,
  type ArtifactFilter,
  type ArtifactKeeper,
  type ArtifactPage,
  type ArtifactRow,
  type Artifacts,
  type ArtifactWrite,
  type ByteRange,
  type StoredArtifact,
  type UploadPosition,
} from "../ports/artifacts.ts";
import type { RunOwner } from "../ports/journal.ts";

export interface MemoryArtifactsOptions {
  readonly clock: Clock;
  /** Bytes of one artifact. Default: 4 GiB. */
  readonly maxBytes?: number;
  /** The artifacts of a process that has crashed, which these take over; uploads go on where they were. */
  readonly crashed?: MemoryArtifacts;
}

interface Entry {
  readonly artifact: StoredArtifact;
  readonly position: number;
  readonly bytes: Uint8Array;
  /** Runs that keep it. */
  readonly keepers: Map<string, number>;
  touchedMs: number;
}

interface Upload {
  readonly name: string;
  readonly mediaType: string;
  readonly size?: number;
  readonly sha256?: Uint8Array;
  chunks: Uint8Array[];
  committed: number;
  artifactId?: string;
  touchedMs: number;
}

interface ActiveUpload {
  readonly stop: AbortController;
  readonly ended: Promise<void>;
}

const chunkBytes = 256 * 1024;

/** Artifacts that last as long as their process: for tests and simulations. */
export class MemoryArtifacts implements Artifacts {
  readonly #clock: Clock;
  readonly #maxBytes: number;
  readonly #entries: Map<string, Entry>;
  readonly #uploads: Map<string, Upload>;
  readonly #active = new Map<string, ActiveUpload>();
  readonly #closing = new AbortController();
  #lastPosition: number;

  constructor({ clock, maxBytes = 4 * 1024 ** 3, crashed }: MemoryArtifactsOptions) {
    this.#clock = clock;
    this.#maxBytes = maxBytes;
    this.#entries = crashed === undefined ? new Map() : crashed.#entries;
    this.#uploads = crashed === undefined ? new Map() : crashed.#uploads;
    this.#lastPosition = crashed === undefined ? 0 : crashed.#lastPosition;
  }

  async write(content: AsyncIterable<Uint8Array>, what: ArtifactWrite): Promise<StoredArtifact> {
    this.#assertOpen();
    const intake = new Intake(what, { maxBytes: this.#maxBytes });
    const signals = [this.#closing.signal, ...(what.signal === undefined ? [] : [what.signal])];
    if (what.uploadId === undefined) {
      const chunks: Uint8Array[] = [];
      for await (const chunk of untilStopped(content, AbortSignal.any(signals))) {
        intake.add(chunk);
        chunks.push(Uint8Array.from(chunk));
      }
      return await this.#add(what, intake, chunks);
    }
    const key = uploadKey(what.owner, what.uploadId);
    const ended = Promise.withResolvers<void>();
    const before = this.#active.get(key);
    const mine: ActiveUpload = { stop: new AbortController(), ended: ended.promise };
    this.#active.set(key, mine);
    try {
      before?.stop.abort(
        new ArtifactError("taken-over", "another call has taken this upload over: only one can continue it at a time"),
      );
      await before?.ended;
      return await this.#upload(content, what, key, intake, AbortSignal.any([...signals, mine.stop.signal]));
    } finally {
      if (this.#active.get(key) === mine) {
        this.#active.delete(key);
      }
      ended.resolve();
    }
  }

  async findUpload(owner: RunOwner, uploadId: string): Promise<UploadPosition | undefined> {
    this.#assertOpen();
    const known = this.#known(uploadKey(owner, uploadId));
    return known && { offset: known.committed, ...(known.artifact === undefined ? {} : { artifact: known.artifact }) };
  }

  async get(id: string): Promise<StoredArtifact | undefined> {
    this.#assertOpen();
    return this.#entries.get(id)?.artifact;
  }

  async *read(artifact: StoredArtifact, range?: ByteRange): AsyncGenerator<Uint8Array, void, undefined> {
    this.#assertOpen();
    const entry = this.#entries.get(artifact.id);
    if (entry === undefined) {
      throw unknownArtifacts([artifact.id]);
    }
    const { offset, length } = range ?? { offset: 0, length: artifact.size };
    const end = Math.min(offset + length, artifact.size);
    for (let position = offset; position < end; position += chunkBytes) {
      yield entry.bytes.slice(position, Math.min(position + chunkBytes, end));
    }
  }

  async list(
    { owner, tenant, runId }: ArtifactFilter,
    { beforePosition, limit }: ArtifactPage,
  ): Promise<readonly ArtifactRow[]> {
    this.#assertOpen();
    return [...this.#entries.values()]
      .filter(
        ({ artifact, position, keepers }) =>
          position < (beforePosition ?? Number.POSITIVE_INFINITY) &&
          (runId === undefined || keepers.has(runId)) &&
          (tenant === undefined || artifact.owner.tenant === tenant) &&
          (owner === undefined || (artifact.owner.tenant === owner.tenant && artifact.owner.subject === owner.subject)),
      )
      .sort((a, b) => b.position - a.position)
      .slice(0, limit)
      .map(({ artifact, position }) => ({ artifact, position }));
  }

  async keep(runId: string, ids: readonly string[]): Promise<void> {
    this.#assertOpen();
    const unknown = ids.filter((id) => !this.#entries.has(id));
    if (unknown.length > 0) {
      throw unknownArtifacts(unknown);
    }
    for (const id of ids) {
      this.#keep(runId, this.#entries.get(id));
    }
  }

  async release(runIds: readonly string[]): Promise<void> {
    this.#assertOpen();
    for (const entry of this.#entries.values()) {
      for (const runId of runIds) {
        if (entry.keepers.delete(runId)) {
          entry.touchedMs = this.#clock.now();
        }
      }
    }
  }

  async listKeepers(afterRunId: string, limit: number): Promise<readonly ArtifactKeeper[]> {
    this.#assertOpen();
    const since = new Map<string, number>();
    for (const { keepers } of this.#entries.values()) {
      for (const [runId, sinceMs] of keepers) {
        since.set(runId, Math.min(sinceMs, since.get(runId) ?? Number.POSITIVE_INFINITY));
      }
    }
    return [...since]
      .filter(([runId]) => runId > afterRunId)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .slice(0, limit)
      .map(([runId, sinceMs]) => ({ runId, sinceMs }));
  }

  async removeUnkept(beforeMs: number, limit: number): Promise<number> {
    this.#assertOpen();
    const unkept = [...this.#entries.values()]
      .filter(({ keepers, touchedMs }) => keepers.size === 0 && touchedMs < beforeMs)
      .sort((a, b) => a.touchedMs - b.touchedMs)
      .slice(0, limit);
    for (const { artifact } of unkept) {
      this.#entries.delete(artifact.id);
    }
    return unkept.length;
  }

  async removeUploads(beforeMs: number, limit: number): Promise<number> {
    this.#assertOpen();
    const old = [...this.#uploads]
      .filter(([key, { touchedMs }]) => touchedMs < beforeMs && !this.#active.has(key))
      .slice(0, limit);
    for (const [key] of old) {
      this.#uploads.delete(key);
    }
    return old.length;
  }

  async close(): Promise<void> {
    this.#closing.abort(
      new ArtifactError("unavailable", "the server is stopping, and takes and gives no more artifacts"),
    );
  }

  async #upload(
    content: AsyncIterable<Uint8Array>,
    what: ArtifactWrite,
    key: string,
    intake: Intake,
    signal: AbortSignal,
  ): Promise<StoredArtifact> {
    const { offset = 0, name, mediaType, size, sha256 } = what;
    const known = this.#known(key);
    if (known?.artifact !== undefined && announced(what, known.artifact)) {
      return known.artifact;
    }
    let before = new Uint8Array();
    if (offset > 0) {
      if (known === undefined || known.artifact !== undefined || offset > known.committed) {
        throw missingBytes(known, offset);
      }
      const difference = uploadDiffers(known, what);
      if (difference !== undefined) {
        throw difference;
      }
      before = Buffer.concat(known.chunks).subarray(0, offset);
      intake.add(before);
    }
    const upload: Upload = {
      ...{ name, mediaType, chunks: [before], committed: offset, touchedMs: this.#clock.now() },
      ...(size === undefined ? {} : { size }),
      ...(sha256 instanceof Uint8Array ? { sha256 } : {}),
    };
    this.#uploads.set(key, upload);
    try {
      for await (const chunk of untilStopped(content, signal)) {
        intake.add(chunk);
        upload.chunks.push(Uint8Array.from(chunk));
        upload.committed += chunk.length;
        upload.touchedMs = this.#clock.now();
      }
      const artifact = await this.#add(what, intake, upload.chunks);
      upload.artifactId = artifact.id;
      upload.chunks = [];
      return artifact;
    } catch (error) {
      if (error instanceof ArtifactError && (error.problem === "digest" || error.problem === "too-large")) {
        this.#uploads.delete(key);
      }
      throw error;
    }
  }

  #known(key: string): (Upload & { readonly artifact?: StoredArtifact }) | undefined {
    const upload = this.#uploads.get(key);
    if (upload?.artifactId === undefined) {
      return upload;
    }
    const artifact = this.#entries.get(upload.artifactId)?.artifact;
    return artifact && { ...upload, artifact };
  }

  async #add(what: ArtifactWrite, intake: Intake, chunks: readonly Uint8Array[]): Promise<StoredArtifact> {
    const { sha256, size } = await intake.finish();
    const { owner, name, mediaType, keeper } = what;
    const id = artifactId(owner, sha256, mediaType, name);
    const nowMs = this.#clock.now();
    let entry = this.#entries.get(id);
    if (entry === undefined) {
      const artifact = { id, sha256, size, mediaType, name, owner, createTimeMs: Math.floor(nowMs) };
      const bytes = Buffer.concat(chunks);
      entry = { artifact, position: ++this.#lastPosition, bytes, keepers: new Map(), touchedMs: nowMs };
      this.#entries.set(id, entry);
    }
    entry.touchedMs = nowMs;
    if (keeper !== undefined) {
      this.#keep(keeper, entry);
    }
    return entry.artifact;
  }

  #keep(runId: string, entry: Entry | undefined): void {
    if (entry !== undefined && !entry.keepers.has(runId)) {
      entry.keepers.set(runId, this.#clock.now());
    }
  }

  #assertOpen(): void {
    this.#closing.signal.throwIfAborted();
  }
}
