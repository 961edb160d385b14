import type { RunOwner } from "./journal.ts";

/**
 * Files that runs take and make. An artifact is its bytes, their owner, a media type and a name; the same bytes are kept
 * once, whoever owns them.
 *
 * 1. What `write` answers is durable, and its bytes are those that were written.
 * 2. An artifact that a run keeps stays until `release` names that run.
 * 3. One that no run keeps stays for a grace period, from when it was written or released last.
 */
export interface Artifacts {
  /**
   * Stores what comes, as it comes. Without an upload id nothing stays of what breaks off; with one it can be continued,
   * also after a restart.
   *
   * @throws ArtifactError, or what the content or the signal throws
   */
  write(content: AsyncIterable<Uint8Array>, what: ArtifactWrite): Promise<StoredArtifact>;

  /** Where an upload stands; undefined for one that is not known, or no longer. */
  findUpload(owner: RunOwner, uploadId: string): Promise<UploadPosition | undefined>;

  get(id: string): Promise<StoredArtifact | undefined>;

  /**
   * The bytes from `offset` on, `length` at most, read as they are asked for. Ending the iteration frees the file.
   *
   * @throws ArtifactError when they cannot be read (any more)
   */
  read(artifact: StoredArtifact, range?: ByteRange): AsyncGenerator<Uint8Array, void, undefined>;

  /** Artifacts that match, newest first. */
  list(filter: ArtifactFilter, page: ArtifactPage): Promise<readonly ArtifactRow[]>;

  /**
   * Lets a run keep artifacts, all or none. Resolves when that is durable.
   *
   * @throws ArtifactError "unknown", naming those that do not exist
   */
  keep(runId: string, ids: readonly string[]): Promise<void>;

  /** The runs keep nothing any more. */
  release(runIds: readonly string[]): Promise<void>;

  /** Runs that keep something, in order of their ids. */
  listKeepers(afterRunId: string, limit: number): Promise<readonly ArtifactKeeper[]>;

  /** Removes artifacts that no run keeps, written or released last before this; says how many, at most `limit`. */
  removeUnkept(beforeMs: number, limit: number): Promise<number>;

  /** Removes uploads that were not continued since; says how many, at most `limit`. */
  removeUploads(beforeMs: number, limit: number): Promise<number>;

  /** Ends what is being written, and gives everything free. */
  close(): Promise<void>;
}

export interface ArtifactWrite {
  readonly owner: RunOwner;
  readonly name: string;
  readonly mediaType: string;
  /** Of all bytes, where it is known before. */
  readonly size?: number;
  /** Of all bytes: known before, or asked for when all bytes are there. */
  readonly sha256?: Uint8Array | (() => Uint8Array | undefined);
  /** A run that keeps it from the first moment on. */
  readonly keeper?: string;
  /** Names the upload among those of its owner. */
  readonly uploadId?: string;
  /** The number of the first byte that comes; more than 0 only with an upload id. */
  readonly offset?: number;
  readonly signal?: AbortSignal;
}

export interface StoredArtifact {
  /** 32 hexadecimal digits. */
  readonly id: string;
  readonly sha256: Uint8Array;
  readonly size: number;
  readonly mediaType: string;
  readonly name: string;
  readonly owner: RunOwner;
  readonly createTimeMs: number;
}

export interface UploadPosition {
  /** How many bytes are durable. */
  readonly offset: number;
  /** Once it is complete. */
  readonly artifact?: StoredArtifact;
}

export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** Filters joined by "and"; one that is left out matches everything. */
export interface ArtifactFilter {
  readonly owner?: RunOwner;
  /** Only those of owners in this tenant. */
  readonly tenant?: string;
  /** Only those that this run keeps. */
  readonly runId?: string;
}

export interface ArtifactPage {
  /** Only rows before this position. Default: from the newest on. */
  readonly beforePosition?: number;
  readonly limit: number;
}

export interface ArtifactRow {
  readonly artifact: StoredArtifact;
  /** Where it stands in the order of creation: the cursor of a page. */
  readonly position: number;
}

export interface ArtifactKeeper {
  readonly runId: string;
  /** When it first kept something, in ms since the epoch. */
  readonly sinceMs: number;
}

export type ArtifactProblem =
  /** There is no such artifact. */
  | "unknown"
  /** More bytes than the server takes. */
  | "too-large"
  /** More bytes than the server, or their owner, may have stored in all. */
  | "quota"
  /** Not as many bytes as were announced. */
  | "size"
  /** Not the bytes that were announced. */
  | "digest"
  /** Not what its media type says, or an image of too many pixels. */
  | "content"
  /** Bytes are missing before the first one that came. */
  | "offset"
  /** The upload was begun with something else in mind. */
  | "conflict"
  /** Somebody else has continued the same upload. */
  | "taken-over"
  /** The disk is full. */
  | "full"
  /** The storage fails, or is closed. */
  | "unavailable"
  /** The bytes on the disk are not what was stored. */
  | "damaged";

/** What keeps an artifact from being stored, kept or read. Its message says what to do. */
export class ArtifactError extends Error {
  override readonly name: string = "ArtifactError";
  readonly problem: ArtifactProblem;

  constructor(problem: ArtifactProblem, message: string, options?: ErrorOptions) {
    super(message, options);
    this.problem = problem;
  }
}

/** Nothing more may be stored. */
export class ArtifactQuotaError extends ArtifactError {
  override readonly name = "ArtifactQuotaError";
  /** Whose quota it is. */
  readonly subject: string;
  /** What it is. */
  readonly description: string;

  constructor(subject: string, description: string, hint: string) {
    super("quota", `there is no more room: ${description}; ${hint}`);
    this.subject = subject;
    this.description = description;
  }
}
