import { constants, type Http2Server, type Http2Session, type ServerHttp2Stream } from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Clock } from "../clock.ts";
import type { Source } from "./sources.ts";
import { type Progress, Stalls } from "./stalls.ts";

export interface SessionGuardOptions {
  /** How long a call may get nowhere while the server waits for its request, or for room to answer. */
  readonly stallTimeoutMs: number;
  readonly clock: Clock;
}

/** A call that is lost with its connection counts as this share of a reset: a client may die with all it had open. */
const costOfLoss = 0.1;

/** How many messages of a streamed request have been read: its sender may take its time between them. */
const messagesRead = new WeakMap<object, number>();

/** Bytes of single messages that have come in so far, in calls that are served on their streams. */
const bytesReceived = new WeakMap<ServerHttp2Stream, number>();

/** Notes that a call's streamed request is getting on. The call is grpc-js's. */
export function noteMessageRead(surface: object): void {
  const stream = streamOf(surface);
  if (stream !== undefined) {
    messagesRead.set(stream, (messagesRead.get(stream) ?? 0) + 1);
  }
}

/** Notes how much of its message a call has received that is served on its stream. */
export function noteBytesReceived(stream: ServerHttp2Stream, bytes: number): void {
  bytesReceived.set(stream, bytes);
}

/** Whom the guarded sessions belong to. */
const sources = new WeakMap<object, Source>();

/** Messages of this size are not counted: none of them matters. */
export const smallBytes = 16_384;

/** Bytes that are counted for a call's source. */
export interface Held {
  release(): void;
}

/**
 * Counts bytes that wait for a call's caller to read them, until `release` or the end of the call. Undefined, and
 * nothing counted, when its source makes the server hold too many already. The call is grpc-js's.
 */
export function holdUnsent(surface: object, bytes: number): Held | undefined {
  const stream = streamOf(surface);
  return stream === undefined ? nothingHeld : holdOn(stream, bytes);
}

/** The same for a call that is served on its stream, and for what waits for the rest of a request too. */
export function holdOn(stream: ServerHttp2Stream, bytes: number): Held | undefined {
  const source = stream.session && sources.get(stream.session);
  if (source === undefined) {
    return nothingHeld;
  }
  if (!source.hold(bytes)) {
    return undefined;
  }
  const release = (): void => {
    stream.off("close", release);
    source.release(bytes);
  };
  stream.once("close", release);
  return { release };
}

/** Whether a call's source makes the server hold about as much as it may, so that nothing more is begun for it. The call is grpc-js's. */
export function leavesMuchUnread(surface: object): boolean {
  const session = streamOf(surface)?.session;
  return session != null && sources.get(session)?.isFull === true;
}

/** Why an answer is not even tried to be sent. */
export function leftUnread(): ConnectError {
  return new ConnectError(
    "answers to this address are left unread, and there are too many of them: read those first",
    Code.ResourceExhausted,
  );
}

/** Ends a call whose caller could not be told why. The call is grpc-js's. */
export function resetCall(surface: object): void {
  streamOf(surface)?.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
}

const nothingHeld = { release: () => undefined };

/**
 * Closes HTTP/2 sessions (ENHANCE_YOUR_CALM) whose source resets calls in masses or floods the server with PING and
 * SETTINGS, and resets calls that get nowhere because their caller neither sends nor reads. grpc-js does none of that. It
 * costs a call that behaves one listener.
 */
export class SessionGuard {
  readonly #sessions = new Set<Http2Session>();
  readonly #ended = new WeakSet<Http2Session>();
  readonly #stalls: Stalls<ServerHttp2Stream>;

  constructor({ stallTimeoutMs, clock }: SessionGuardOptions) {
    this.#stalls = new Stalls(stallTimeoutMs, clock);
    this.#stalls.start(
      () => this.#streams(),
      waitingOf,
      (stream) => stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM),
    );
  }

  /** Watches the sessions of a server. */
  watch(server: Http2Server, sourceOf: (session: Http2Session) => Source | undefined): void {
    server.on("session", (session) => {
      const source = sourceOf(session);
      if (source !== undefined) {
        this.#watchSession(session, source);
      }
    });
  }

  stop(): void {
    this.#stalls.stop();
  }

  #watchSession(session: Http2Session, source: Source): void {
    this.#sessions.add(session);
    sources.set(session, source);
    session.once("close", () => this.#sessions.delete(session));
    const onAborted = (): void => {
      if (!source.resets.take(session.destroyed ? costOfLoss : 1)) this.#end(session, source);
    };
    const onControlFrame = (): void => {
      if (!source.controlFrames.take()) this.#end(session, source);
    };
    session.on("stream", (stream) => stream.on("aborted", onAborted));
    session.on("ping", onControlFrame);
    session.on("remoteSettings", onControlFrame);
  }

  #end(session: Http2Session, source: Source): void {
    if (this.#ended.has(session)) {
      return;
    }
    this.#ended.add(session);
    source.punish();
    if (!session.destroyed) {
      // The code of `destroy` alone does not reach the peer.
      session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM);
      session.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM);
    }
  }

  *#streams(): Generator<ServerHttp2Stream> {
    for (const session of this.#sessions) {
      yield* streamsOf(session);
    }
  }
}

/** What the server waits for; nothing where it is the server's turn. */
function waitingOf(stream: ServerHttp2Stream): Progress | undefined {
  if (stream.destroyed || stream.closed) {
    return undefined;
  }
  const unsentBytes = stream.bufferSize;
  const unread = stream.state.remoteClose !== 1;
  return unsentBytes > 0 || unread
    ? { unsentBytes, received: messagesRead.get(stream) ?? 0, receivedBytes: bytesReceived.get(stream) ?? 0 }
    : undefined;
}

/** The open calls of a session. Node keeps them to itself, and to keep them here would cost every call. */
function streamsOf(session: Http2Session): Iterable<ServerHttp2Stream> {
  const key = Object.getOwnPropertySymbols(session).find(({ description }) => description === "state");
  const state =
    key && (session as unknown as Record<symbol, { streams?: ReadonlyMap<number, ServerHttp2Stream> }>)[key];
  return state?.streams?.values() ?? [];
}

/** The HTTP/2 stream beneath a call of grpc-js. */
export function streamOf(surface: object): ServerHttp2Stream | undefined {
  const { call } = surface as { call?: { stream?: ServerHttp2Stream } };
  return call?.stream;
}
