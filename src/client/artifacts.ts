import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { createLinkedAbortController } from "@connectrpc/connect/protocol";
import {
  type Artifact,
  ArtifactSchema,
  type ArtifactService,
  type GetUploadResponse,
  type ListArtifactsRequestSchema,
  type UploadArtifactRequestSchema,
  type UploadStartSchema,
} from "../../gen/retake/v1/artifact_pb.js";
import type { Clock, RandomSource } from "../clock.ts";
import { Patience } from "./patience.ts";
import type { CallOptions } from "./run-handle.ts";
import type { Reconnection } from "./watch-run.ts";

/** Files on a server: what runs take and make. */
export interface ArtifactsClient {
  /**
   * Uploads a file. A connection that breaks is made anew, and goes on behind the last byte that the server has stored.
   *
   * @throws ConnectError when the server refuses it: INVALID_ARGUMENT, RESOURCE_EXHAUSTED (it is too large), UNAVAILABLE
   * (the server stays away for too long, or its disk is full)
   */
  put(source: ArtifactSource, options?: PutOptions): Promise<Artifact>;

  /**
   * Opens a file for reading. A connection that breaks is made anew, and goes on behind the last byte that has arrived.
   *
   * @throws ConnectError NOT_FOUND
   */
  get(artifactId: string, options?: GetOptions): Promise<ArtifactDownload>;

  /** Artifacts, newest first. Pages are fetched as they are read. */
  list(filter?: ArtifactListFilter, options?: CallOptions): AsyncGenerator<Artifact, void, undefined>;
}

/** Bytes, or where to read them from any byte on: again, if need be. */
export type ArtifactSource = Uint8Array | ((offset: number) => AsyncIterable<Uint8Array>);

interface TransferOptions extends CallOptions {
  /** Told how many bytes have been transferred, those of earlier calls included. */
  readonly onProgress?: (bytes: number) => void;
  /** Told of each lost connection, before it is made anew. */
  readonly onReconnect?: (reconnection: Reconnection) => void;
}

export interface PutOptions extends TransferOptions {
  /** Default: none. */
  readonly name?: string;
  /** Default: "application/octet-stream". */
  readonly mediaType?: string;
  /** In bytes, where the source does not tell. */
  readonly size?: number;
  /** Of all bytes: the server refuses others. Default: it is not compared. */
  readonly sha256?: Uint8Array;
  /** Goes on with an upload of that name that has broken off earlier, in another process too. Default: a new one. */
  readonly uploadId?: string;
}

export interface GetOptions extends TransferOptions {
  /** The number of the first byte that is wanted. Default: 0. */
  readonly offset?: number;
}

/** A file whose bytes are read as they are asked for, once. */
export interface ArtifactDownload extends AsyncIterable<Uint8Array> {
  readonly artifact: Artifact;
}

/** Which artifacts are listed. `pageSize` is how many are fetched at a time, 50 by default. */
export type ArtifactListFilter = Omit<
  MessageInitShape<typeof ListArtifactsRequestSchema>,
  "$typeName" | "$unknown" | "pageToken"
>;

export interface ArtifactsSettings {
  readonly artifacts: Client<typeof ArtifactService>;
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly reconnectForMs: number;
  readonly callTimeoutMs: number;
  readonly closed: AbortSignal;
  readonly newKey: () => string;
}

export function createArtifactsClient(settings: ArtifactsSettings): ArtifactsClient {
  return {
    put: (source, options = {}) => putArtifact(settings, source, options),
    get: (artifactId, options = {}) => getArtifact(settings, artifactId, options),
    list: (filter = {}, options = {}) => listArtifacts(settings, filter, options),
  };
}

type Part = MessageInitShape<typeof UploadArtifactRequestSchema>;

/** More than this between here and there means that the server has stored some of it. */
const mostUnderWay = 16 * 1024 * 1024;

/** Of one message: well below what servers take. */
const chunkBytes = 256 * 1024;

async function putArtifact(
  settings: ArtifactsSettings,
  source: ArtifactSource,
  options: PutOptions,
): Promise<Artifact> {
  const { name = "", mediaType = "", sha256, onProgress, uploadId = settings.newKey() } = options;
  const size = source instanceof Uint8Array ? source.length : options.size;
  const read = source instanceof Uint8Array ? (offset: number) => [source.subarray(offset)] : source;
  const start: MessageInitShape<typeof UploadStartSchema> = {
    ...{ name, mediaType, uploadId },
    ...(size === undefined ? {} : { size: BigInt(size) }),
    ...(sha256 === undefined ? {} : { sha256 }),
  };
  let stored = 0;
  // Who cannot reach the server at all hears so at once.
  const before = options.uploadId === undefined ? undefined : await position(settings, uploadId, options.signal);
  return patiently(settings, options, async (patience, signal, tries) => {
    const known = tries === 1 ? before : await position(settings, uploadId, signal);
    if (known?.artifact !== undefined) {
      const { artifact } = known;
      const same = sha256 !== undefined && Buffer.compare(artifact.sha256, sha256) === 0;
      // Of a caller's own upload id nobody knows what it was used for, unless the digest says so.
      if (same || options.uploadId === undefined) return artifact;
    }
    const offset = known === undefined || known.artifact !== undefined ? 0 : Number(known.offset);
    if (offset > stored) {
      stored = offset;
      patience.moved();
      onProgress?.(offset);
    }
    const sent = (bytes: number): void => {
      if (bytes - offset > mostUnderWay) patience.moved();
      onProgress?.(bytes);
    };
    const parts = partsOf({ ...start, offset: BigInt(offset) }, read(offset), offset, sent);
    const { artifact } = await settings.artifacts.uploadArtifact(parts, { signal });
    return artifact ?? create(ArtifactSchema);
  });
}

async function* partsOf(
  start: MessageInitShape<typeof UploadStartSchema>,
  content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  offset: number,
  sent: (bytes: number) => void,
): AsyncGenerator<Part, void, undefined> {
  yield { part: { case: "start", value: start } };
  let position = offset;
  for await (const piece of content) {
    for (let begin = 0; begin < piece.length; begin += chunkBytes) {
      const value = piece.subarray(begin, begin + chunkBytes);
      yield { part: { case: "chunk", value } };
      position += value.length;
      sent(position);
    }
  }
}

async function position(
  { artifacts, callTimeoutMs }: ArtifactsSettings,
  uploadId: string,
  signal: AbortSignal | undefined,
): Promise<GetUploadResponse | undefined> {
  try {
    const call = { timeoutMs: callTimeoutMs, ...(signal === undefined ? {} : { signal }) };
    return await artifacts.getUpload({ uploadId }, call);
  } catch (error) {
    if (ConnectError.from(error).code === Code.NotFound) return undefined;
    throw error;
  }
}

async function getArtifact(
  settings: ArtifactsSettings,
  artifactId: string,
  options: GetOptions,
): Promise<ArtifactDownload> {
  const { artifacts, callTimeoutMs } = settings;
  const { signal, offset = 0 } = options;
  const call = { timeoutMs: callTimeoutMs, ...(signal === undefined ? {} : { signal }) };
  const { artifact = create(ArtifactSchema) } = await artifacts.getArtifact({ artifactId }, call);
  return { artifact, [Symbol.asyncIterator]: () => download(settings, artifact, offset, options) };
}

async function* download(
  settings: ArtifactsSettings,
  { artifactId, size }: Artifact,
  offset: number,
  options: GetOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  const stop = createLinkedAbortController(options.signal, settings.closed);
  const patience = patienceOf(settings, options, stop.signal);
  let position = offset;
  try {
    for (;;) {
      try {
        const parts = settings.artifacts.downloadArtifact(
          { artifactId, offset: BigInt(position) },
          { signal: stop.signal },
        );
        for await (const { part } of parts) {
          if (part.case !== "chunk") continue;
          patience.moved();
          position += part.value.length;
          yield part.value;
          options.onProgress?.(position);
        }
        if (BigInt(position) === size) return;
        throw new ConnectError("the server ended the stream before the file had ended", Code.Unavailable);
      } catch (error) {
        await patience.wait(error);
      }
    }
  } finally {
    stop.abort();
  }
}

async function* listArtifacts(
  { artifacts, callTimeoutMs }: ArtifactsSettings,
  filter: ArtifactListFilter,
  options: CallOptions,
): AsyncGenerator<Artifact, void, undefined> {
  let pageToken = "";
  do {
    const page = await artifacts.listArtifacts({ ...filter, pageToken }, { ...options, timeoutMs: callTimeoutMs });
    yield* page.artifacts;
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
}

/** Tries until it works, or waiting makes no sense any more. */
async function patiently<Result>(
  settings: ArtifactsSettings,
  options: TransferOptions,
  attempt: (patience: Patience, signal: AbortSignal, tries: number) => Promise<Result>,
): Promise<Result> {
  const stop = createLinkedAbortController(options.signal, settings.closed);
  const patience = patienceOf(settings, options, stop.signal);
  try {
    for (let tries = 1; ; tries++) {
      try {
        return await attempt(patience, stop.signal, tries);
      } catch (error) {
        await patience.wait(error);
      }
    }
  } finally {
    stop.abort();
  }
}

function patienceOf(
  { clock, random, reconnectForMs }: ArtifactsSettings,
  { onReconnect }: TransferOptions,
  signal: AbortSignal,
): Patience {
  return new Patience({ clock, random, forMs: reconnectForMs, signal, onReconnect });
}
