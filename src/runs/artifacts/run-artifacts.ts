import { create, type DescMessage, type Message, type MessageInitShape } from "@bufbuild/protobuf";
import { type Artifact, UploadStartSchema } from "../../../gen/retake/v1/artifact_pb.js";
import type { Artifacts, ByteRange, StoredArtifact } from "../ports/artifacts.ts";
import type { RunOwner } from "../ports/journal.ts";
import { artifactConnectError, artifactMessage, unknownArtifact } from "./connect-error.ts";
import { assertUsable, ownedBy } from "./usable-artifacts.ts";

/** What an artifact is made of: everything at once, or bytes as they come, a stream of Node included. */
export type ArtifactContent = string | Uint8Array | AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** What an artifact is to be. */
export interface ArtifactDraft {
  /** A name for people, and for those who save it: 255 characters at most, no slashes. Default: none. */
  readonly name?: string;
  /** Default: "application/octet-stream". */
  readonly mediaType?: string;
}

/** An artifact whose bytes are read as they are asked for. */
export interface OpenArtifact extends AsyncIterable<Uint8Array> {
  readonly artifact: Artifact;
  /** All bytes that follow, at once. */
  bytes(): Promise<Uint8Array>;
}

/** The artifacts of a run, for its handler. What it makes or opens is kept as long as the run. */
export interface RunArtifacts {
  /**
   * Stores an artifact as its bytes come; it belongs to the run's owner. The same bytes, name and media type give the
   * same artifact, in a retaken attempt too.
   *
   * @throws ConnectError INVALID_ARGUMENT, RESOURCE_EXHAUSTED (larger than the server takes), UNAVAILABLE (the storage
   * fails or is full), or what the content throws
   */
  create(content: ArtifactContent, draft?: ArtifactDraft): Promise<Artifact>;

  /**
   * Opens an artifact, given by its message or its id: one that belongs to the run's owner, or came with its request.
   *
   * @throws ConnectError NOT_FOUND when there is none
   */
  open(artifact: Pick<Artifact, "artifactId"> | string, range?: Partial<ByteRange>): Promise<OpenArtifact>;
}

export interface RunArtifactsOptions {
  readonly artifacts: Artifacts;
  readonly runId: string;
  readonly owner: RunOwner;
  readonly signal: AbortSignal;
  /** Told when bytes have moved: the attempt is alive. */
  readonly onActivity: () => void;
  /** @throws ConnectError INVALID_ARGUMENT */
  readonly validate: (schema: DescMessage, message: Message) => void;
}

export function createRunArtifacts(options: RunArtifactsOptions): RunArtifacts {
  const { artifacts, runId, owner, signal, onActivity, validate } = options;
  return {
    async create(content, draft = {}) {
      const { name, mediaType } = describeArtifact(draft, validate);
      try {
        const stored = await artifacts.write(watched(toStream(content), onActivity), {
          ...{ owner, name, mediaType, signal },
          keeper: runId,
        });
        return artifactMessage(stored);
      } catch (error) {
        throw artifactConnectError(error);
      }
    },

    async open(artifact, { offset = 0, length = Number.POSITIVE_INFINITY } = {}) {
      const id = typeof artifact === "string" ? artifact : artifact.artifactId;
      try {
        // The id may come out of a request, in a field that nobody knows for one: a handler reads for the run's owner.
        await assertUsable(artifacts, [id], { mayUse: ownedBy(owner), keeper: runId });
        await artifacts.keep(runId, [id]);
        const stored = await artifacts.get(id);
        if (stored === undefined) {
          throw unknownArtifact(id);
        }
        return openedArtifact(stored, { offset, length }, options);
      } catch (error) {
        throw artifactConnectError(error);
      }
    },
  };
}

/** What an artifact is to be, with its defaults. @throws ConnectError INVALID_ARGUMENT */
function describeArtifact(
  draft: ArtifactDraft,
  validate: RunArtifactsOptions["validate"],
): { readonly name: string; readonly mediaType: string } {
  const init: MessageInitShape<typeof UploadStartSchema> = {
    name: draft.name ?? "",
    mediaType: draft.mediaType || defaultMediaType,
  };
  const start = create(UploadStartSchema, init);
  validate(UploadStartSchema, start);
  return start;
}

/** Bytes of which nothing is known. */
export const defaultMediaType = "application/octet-stream";

async function* toStream(content: ArtifactContent): AsyncGenerator<Uint8Array, void, undefined> {
  if (typeof content === "string") {
    yield new TextEncoder().encode(content);
  } else if (content instanceof Uint8Array) {
    yield content;
  } else {
    yield* content;
  }
}

async function* watched(
  content: AsyncIterable<Uint8Array>,
  onActivity: () => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of content) {
    onActivity();
    yield chunk;
  }
}

function openedArtifact(
  stored: StoredArtifact,
  { offset, length }: ByteRange,
  { artifacts, signal, onActivity }: RunArtifactsOptions,
): OpenArtifact {
  async function* read(): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for await (const chunk of artifacts.read(stored, { offset, length })) {
        signal.throwIfAborted();
        onActivity();
        yield chunk;
      }
    } catch (error) {
      throw artifactConnectError(error);
    }
  }
  return {
    artifact: artifactMessage(stored),
    [Symbol.asyncIterator]: read,
    async bytes() {
      const chunks: Uint8Array[] = [];
      for await (const chunk of read()) {
        chunks.push(chunk);
      }
      return Buffer.concat(chunks);
    },
  };
}
