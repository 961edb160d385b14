import {
  constants,
  type Http2Session,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import { TLSSocket } from "node:tls";
import { Code, type ConnectError } from "@connectrpc/connect";
import { Metadata, type StatusObject, status } from "@grpc/grpc-js";
import { systemClock, type Timer } from "../clock.ts";
import { forgetClosed } from "./closed-streams.ts";
import { type Peer, peerKey } from "./context-keys.ts";
import { forwardedPeer, proxiesOn } from "./forwarded-peer.ts";
import { whyCancelled } from "./grpc-server-call.ts";
import {
  checkMetadataSize,
  fieldOverheadBytes,
  fillHeaders,
  listFields,
  metadataFromHeaders,
  peekHeader,
  sendableHeaders,
} from "./metadata.ts";
import type { Proxies } from "./proxies.ts";
import { isWorthSending, ServerCall } from "./server-call.ts";
import { type Held, holdOn, leftUnread, noteBytesReceived, smallBytes } from "./session-guard.ts";
import { statusFromThrown } from "./status.ts";

/** Told of a call that nobody serves, and of the status that it has got. */
export type RefusedStream = (path: string, headers: IncomingHttpHeaders, code: status, message: string) => void;

/** What the calls of a method have in common. */
export interface UnaryStreamServing {
  /** `/pkg.Service/Method`. */
  readonly path: string;
  readonly metadataMaxBytes: number;
  /** Of the request as it comes in. */
  readonly receiveMaxBytes: number;
  /** Told of calls that are refused before they are served. */
  readonly onRefused?: RefusedStream | undefined;
  /** Called with the whole request. Answers the call, or fails it; never throws. */
  readonly serve: (call: UnaryStreamCall, request: Uint8Array) => void;
}

/** What a client has sent to open a call. */
export interface UnaryStreamOpening {
  readonly headers: IncomingHttpHeaders;
  /** The same as they came: name, value, name, value, … */
  readonly rawHeaders: readonly string[];
  readonly timeoutMs: number | undefined;
}

/** What is before a message: a flag and its length. */
const prefixBytes = 5;

/** A message that comes in more parts than these is put together while it comes: each part costs more than its bytes. */
const mostParts = 64;

const statusHeaders: OutgoingHttpHeaders = { ":status": 200, "content-type": "application/grpc+proto" };
const answerHeaders: OutgoingHttpHeaders = { ...statusHeaders, "grpc-accept-encoding": "identity,deflate,gzip" };
const answerTrailers: OutgoingHttpHeaders = { "grpc-status": status.OK };

/** Name, value, name, value, … Node makes no copy of those, which is a slow one of an object; before 24.7 it takes none. */
type HeaderList = readonly string[];
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
const takesLists = major > 24 || (major === 24 && minor >= 7);
const answerList: HeaderList = Object.entries(answerHeaders).flat().map(String);
const statusList: HeaderList = Object.entries(statusHeaders).flat().map(String);
/** Like other gRPC servers, it sends no date: nobody reads it. */
const answerOptions = { waitForTrailers: true, sendDate: false };
const statusOptions = { endStream: true, sendDate: false };

const nothing = Buffer.alloc(0);

/** What belongs to the protocol, and is no metadata of the caller. */
const protocolHeaders = [
  "grpc-timeout",
  "grpc-encoding",
  "grpc-accept-encoding",
  "accept-encoding",
  "te",
  "content-type",
];

/** One value that metadata would hold as it is. */
const plainText = /^[ -+\--~]+$/;

function isPlainName(name: string): boolean {
  return !name.endsWith("-bin") && !protocolHeaders.includes(name);
}

const callKey = Symbol("call");

/** The listeners are the same functions for every stream, which find the call by it. */
interface CalledStream extends ServerHttp2Stream {
  /** Undefined once the stream is closed. */
  [callKey]: UnaryStreamCall | undefined;
}

/**
 * A unary call, served on its HTTP/2 stream. grpc-js puts half a dozen objects between the two, which are made for streams
 * of messages and take a third of what an empty call does. To its caller and its implementation the call is the same.
 */
export class UnaryStreamCall extends ServerCall {
  readonly protocolName = "grpc";
  readonly #stream: ServerHttp2Stream;
  readonly #opening: UnaryStreamOpening;
  readonly #serving: UnaryStreamServing;
  /** Asked for at the start: a stream forgets its connection when it is lost. */
  #peer: SessionPeer;
  #deadline = Number.POSITIVE_INFINITY;
  #timer: Timer | undefined;
  #metadata: Metadata | undefined;
  /** What has come of the request, whose first chunk is the only one nearly always. */
  #first: Buffer | undefined;
  #others: Buffer[] | undefined;
  /** The message itself, as far as it has come, once that is much. */
  #gathered: Buffer | undefined;
  #held: Held | undefined;
  #receivedBytes = 0;
  #requestIsComplete = false;
  #trailers: OutgoingHttpHeaders | undefined;

  private constructor(stream: ServerHttp2Stream, opening: UnaryStreamOpening, serving: UnaryStreamServing) {
    super();
    this.#stream = stream;
    this.#opening = opening;
    this.#serving = serving;
    this.#peer = peerOf(stream.session);
  }

  /** Reads the request of a new stream, then has it served. */
  static start(stream: ServerHttp2Stream, opening: UnaryStreamOpening, serving: UnaryStreamServing): void {
    const call = new UnaryStreamCall(stream, opening, serving);
    (stream as CalledStream)[callKey] = call;
    stream.on("data", onData).on("end", onEnd).on("close", onClose);
    if (opening.timeoutMs !== undefined) {
      call.#startTimer(opening.timeoutMs);
    }
  }

  get url(): string {
    const { headers } = this.#opening;
    return `http://${headers[":authority"] ?? headers.host ?? "localhost"}${this.#serving.path}`;
  }

  timeoutMs(): number | undefined {
    return this.#deadline === Number.POSITIVE_INFINITY ? undefined : this.#deadline - systemClock.now();
  }

  fillHeader(headers: Headers): void {
    fillHeaders(headers, this.#requestMetadata);
  }

  peekHeader(name: string): string | null {
    const value = this.#opening.headers[name];
    if (value === undefined) {
      return null;
    }
    return typeof value === "string" && plainText.test(value) && isPlainName(name)
      ? value.trim()
      : peekHeader(this.#requestMetadata, name);
  }

  initialValue(id: symbol): unknown {
    if (id !== peerKey.id) {
      return undefined;
    }
    const { proxies } = this.#peer;
    if (proxies !== undefined) {
      this.#peer = { ...forwardedPeer(this.#peer, proxies, this.#opening.headers), proxies: undefined };
    }
    return this.#peer;
  }

  /** The end of the stream is heard anyway. */
  watch(): void {
    if (this.#isGone) {
      this.end(whyCancelled(this.timeoutMs()));
    }
  }

  /** @throws ConnectError when the caller sends more metadata than it may: Node only advertises a limit */
  checkRequestMetadata(): void {
    const { rawHeaders } = this.#opening;
    const { metadataMaxBytes } = this.#serving;
    let bytes = 0;
    for (const part of rawHeaders) {
      bytes += part.length + fieldOverheadBytes / 2;
    }
    // That is with what belongs to the protocol, so what is beyond may not count.
    if (bytes > metadataMaxBytes) {
      checkMetadataSize(this.#requestMetadata, metadataMaxBytes, "request metadata");
    }
  }

  /** Sends headers, message and trailers. @throws ConnectError, having sent nothing, when gRPC cannot carry them, or too much is unread */
  answer(message: Uint8Array, header: Headers, trailer: Headers): void {
    const headers = this.#outgoingList(header) ?? this.#outgoing(header, "response headers", answerHeaders);
    this.#trailers = this.#outgoing(trailer, "response trailers", answerTrailers);
    if (!this.ended && !this.#isGone) {
      if (message.length > smallBytes && holdOn(this.#stream, message.length) === undefined) {
        throw leftUnread();
      }
      const frame = Buffer.allocUnsafe(prefixBytes + message.length);
      frame[0] = 0;
      frame.writeUInt32BE(message.length, 1);
      frame.set(message, prefixBytes);
      this.#stream.on("wantTrailers", onWantTrailers);
      this.#stream.respond(headers, answerOptions);
      this.#stream.end(frame);
    }
    this.#over();
  }

  /** Ends the call with the status for what an implementation or interceptor threw. Never throws. */
  fail(thrown: unknown): void {
    const unsent = [this.responseHeader, this.responseTrailer];
    this.#sendStatus(statusFromThrown(thrown, unsent, this.#serving.metadataMaxBytes));
    this.#over();
  }

  /** A part of the request has come in. */
  receive(chunk: Buffer): void {
    if (this.ended || this.#requestIsComplete) {
      // Nobody wants it, but it must not hold up the connection.
      return;
    }
    this.#receivedBytes += chunk.length;
    const isMore = this.#first !== undefined && this.#first.length >= prefixBytes;
    if (!isMore) {
      this.#first = this.#first === undefined ? chunk : Buffer.concat([this.#first, chunk]);
    }
    const { path, receiveMaxBytes } = this.#serving;
    const size = this.#size;
    if (size > receiveMaxBytes) {
      this.#refuse(status.RESOURCE_EXHAUSTED, `Received message larger than max (${size} vs ${receiveMaxBytes})`);
    } else if (size >= 0 && this.#receivedBytes > prefixBytes + size) {
      this.#refuse(status.UNIMPLEMENTED, `Received a second request message for the unary method ${path}`);
    } else if (isMore) {
      this.#receiveMore(chunk, size);
    }
  }

  /** No more of the request will come. */
  receiveEnd(): void {
    if (this.ended || this.#requestIsComplete) {
      return;
    }
    if (this.#isGone) {
      // That end is not the caller's word: the call was reset, or its connection lost, which is told to streams later.
      this.close();
      return;
    }
    const { path, serve } = this.#serving;
    const size = this.#size;
    if (size < 0 || this.#receivedBytes < prefixBytes + size) {
      this.#refuse(status.UNIMPLEMENTED, `Received no request message for the unary method ${path}`);
      return;
    }
    this.#requestIsComplete = true;
    serve(this, this.#takeRequest(size));
  }

  /** The stream has ended, whoever has ended it. */
  close(): void {
    if (!this.ended) {
      this.#over(whyCancelled(this.timeoutMs()));
    }
  }

  sendTrailers(): void {
    this.#stream.sendTrailers(this.#trailers ?? {});
  }

  get #isGone(): boolean {
    return this.#stream.destroyed || this.#stream.closed;
  }

  /** Of the message that is being received; -1 as long as that is not known. */
  get #size(): number {
    return this.#first === undefined || this.#first.length < prefixBytes ? -1 : this.#first.readUInt32BE(1);
  }

  #receiveMore(chunk: Buffer, size: number): void {
    noteBytesReceived(this.#stream, this.#receivedBytes);
    if (this.#gathered !== undefined) {
      this.#gathered.set(chunk, this.#receivedBytes - prefixBytes - chunk.length);
      return;
    }
    this.#others ??= [];
    this.#others.push(chunk);
    const isMuch = this.#receivedBytes > smallBytes || this.#others.length > mostParts;
    if (isMuch && this.#receivedBytes < prefixBytes + size) {
      this.#gather(size);
    }
  }

  /** Makes room for the whole message, where its source may have that: nobody knows yet who calls. */
  #gather(size: number): void {
    this.#held = holdOn(this.#stream, size);
    if (this.#held === undefined) {
      this.#refuse(
        status.RESOURCE_EXHAUSTED,
        "too much of other calls from this address is on its way or left unread: let them finish, then call again",
      );
      return;
    }
    this.#gathered = this.#copyRequest(size);
    this.#first = this.#first && Buffer.from(this.#first.subarray(0, prefixBytes));
    this.#others = undefined;
  }

  #takeRequest(size: number): Uint8Array {
    const request = this.#gathered ?? this.#copyRequest(size);
    this.#forgetRequest();
    return request;
  }

  /** A copy: what has come in is a part of all that was read from the connection, and messages may live long. */
  #copyRequest(size: number): Buffer {
    const request = size === 0 ? nothing : Buffer.allocUnsafe(size);
    let at = 0;
    if (this.#first !== undefined) {
      request.set(this.#first.subarray(prefixBytes));
      at = this.#first.length - prefixBytes;
    }
    for (const chunk of this.#others ?? []) {
      request.set(chunk, at);
      at += chunk.length;
    }
    return request;
  }

  #forgetRequest(): void {
    this.#first = undefined;
    this.#others = undefined;
    this.#gathered = undefined;
    this.#held?.release();
    this.#held = undefined;
  }

  get #requestMetadata(): Metadata {
    if (this.#metadata === undefined) {
      this.#metadata = Metadata.fromHttp2Headers(this.#opening.headers);
      for (const name of protocolHeaders) {
        this.#metadata.remove(name);
      }
    }
    return this.#metadata;
  }

  #outgoing(headers: Headers, what: string, first: OutgoingHttpHeaders): OutgoingHttpHeaders {
    if (!isWorthSending(headers)) {
      return first;
    }
    const { metadataMaxBytes } = this.#serving;
    const sendable = sendableHeaders(headers, metadataMaxBytes);
    const outgoing = { ...first };
    if (sendable === undefined) {
      return Object.assign(outgoing, carried(headers, metadataMaxBytes, what).toHttp2Headers());
    }
    for (const [name, value] of sendable) {
      outgoing[name] = value;
    }
    return outgoing;
  }

  /** The headers of an answer, where all of them are plain. */
  #outgoingList(headers: Headers): HeaderList | undefined {
    if (!takesLists || !isWorthSending(headers)) {
      return takesLists ? answerList : undefined;
    }
    const sendable = sendableHeaders(headers, this.#serving.metadataMaxBytes);
    if (sendable === undefined) {
      return undefined;
    }
    const list = [...answerList];
    for (const [name, value] of sendable) {
      list.push(name, value);
    }
    return list;
  }

  #startTimer(timeoutMs: number): void {
    this.#deadline = systemClock.now() + timeoutMs;
    this.#timer = systemClock.setTimeout(() => {
      if (!this.ended) {
        const reason = whyCancelled(0);
        this.#refuse(status.DEADLINE_EXCEEDED, "Deadline exceeded", reason);
      }
    }, timeoutMs);
  }

  /** Ends a call that no implementation answers. */
  #refuse(code: status, details: string, reason?: ConnectError): void {
    this.#forgetRequest();
    // Whoever serves the request learns of it, and tells.
    if (!this.#requestIsComplete) this.#serving.onRefused?.(this.#serving.path, this.#opening.headers, code, details);
    this.#sendStatus({ code, details, metadata: new Metadata() });
    this.#over(reason);
  }

  #sendStatus({ code, details, metadata }: StatusObject): void {
    if (this.ended || this.#isGone) {
      return;
    }
    try {
      const message = encodeURI(details);
      if (takesLists) {
        const list = [...statusList, "grpc-status", String(code), "grpc-message", message];
        listFields(metadata, list);
        this.#stream.respond(list, statusOptions);
        // A closed stream stays until old objects are collected, and has the list: it is moved by each collection before.
        list.length = 0;
      } else {
        const trailers = { "grpc-status": code, "grpc-message": message, ...metadata.toHttp2Headers() };
        this.#stream.respond({ ...statusHeaders, ...trailers }, statusOptions);
      }
    } catch {
      this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    }
  }

  #over(reason?: ConnectError): void {
    this.#timer?.cancel();
    this.end(reason);
  }
}

function carried(headers: Headers, maxBytes: number, what: string): Metadata {
  const metadata = metadataFromHeaders(headers, Code.Internal);
  checkMetadataSize(metadata, maxBytes, what);
  return metadata;
}

function onData(this: ServerHttp2Stream, chunk: Buffer): void {
  (this as CalledStream)[callKey]?.receive(chunk);
}

function onEnd(this: ServerHttp2Stream): void {
  (this as CalledStream)[callKey]?.receiveEnd();
}

function onClose(this: ServerHttp2Stream): void {
  (this as CalledStream)[callKey]?.close();
  (this as CalledStream)[callKey] = undefined;
  forgetClosed(this);
}

function onWantTrailers(this: ServerHttp2Stream): void {
  (this as CalledStream)[callKey]?.sendTrailers();
}

/** Who holds a session; with proxies, one of them, which speaks for others. */
interface SessionPeer extends Peer {
  readonly proxies: Proxies | undefined;
}

const noPeer: SessionPeer = { address: "unknown", certificate: undefined, proxies: undefined };

/** One for all calls of a connection: to ask its socket costs as much as a tenth of a call. */
const peers = new WeakMap<Http2Session, SessionPeer>();

function peerOf(session: Http2Session | undefined): SessionPeer {
  if (session === undefined) {
    return noPeer;
  }
  let peer = peers.get(session);
  if (peer === undefined) {
    peer = session.destroyed ? noPeer : readPeer(session);
    peers.set(session, peer);
  }
  return peer;
}

function readPeer(session: Http2Session): SessionPeer {
  const { socket } = session;
  const { remoteAddress, remotePort } = socket;
  if (remoteAddress === undefined) {
    return noPeer;
  }
  const address = `${remoteAddress}:${remotePort}`;
  return { address, certificate: verifiedCertificate(socket), proxies: proxiesOn(session) };
}

function verifiedCertificate(socket: unknown): Peer["certificate"] {
  const certificate = socket instanceof TLSSocket && socket.authorized ? socket.getPeerCertificate() : undefined;
  return certificate?.raw === undefined ? undefined : certificate;
}
