import { Code, ConnectError } from "@connectrpc/connect";
import { Metadata, type ServerUnaryCall, type StatusObject } from "@grpc/grpc-js";
import { systemClock } from "../clock.ts";
import { flushHeadersKey, type Peer, peerKey } from "./context-keys.ts";
import { forwardedPeer, proxiesOfCall } from "./forwarded-peer.ts";
import { longTimeoutHeader, parseGrpcTimeout } from "./long-timeouts.ts";
import { checkMetadataSize, fillHeaders, hasField, metadataFromHeaders, peekHeader } from "./metadata.ts";
import { isWorthSending, ServerCall } from "./server-call.ts";
import { statusFromThrown } from "./status.ts";

/** What the four kinds of call of grpc-js have in common. */
export type GrpcSurface = Pick<
  ServerUnaryCall<Buffer, Buffer>,
  "cancelled" | "metadata" | "getPeer" | "sendMetadata" | "getDeadline" | "getPath" | "getHost" | "getAuthContext"
> & { once(event: "cancelled", listener: () => void): unknown };

/** A timer and a deadline can disagree by this much. */
const timerSlackMs = 5;

/** A call that came in through a grpc-js server. */
export class GrpcServerCall extends ServerCall {
  readonly protocolName = "grpc";
  readonly #surface: GrpcSurface;
  readonly #metadataMaxBytes: number;
  readonly #flushable: boolean;
  #headersSent = false;
  #watching = false;
  #peer: Peer | undefined;
  #longDeadline = Number.POSITIVE_INFINITY;

  /** `flushable` tells whether headers may leave before the first message. */
  constructor(surface: GrpcSurface, metadataMaxBytes: number, flushable: boolean) {
    super();
    this.#surface = surface;
    this.#metadataMaxBytes = metadataMaxBytes;
    this.#flushable = flushable;
    if (hasField(surface.metadata, longTimeoutHeader)) {
      const [longTimeout] = surface.metadata.get(longTimeoutHeader);
      surface.metadata.remove(longTimeoutHeader);
      this.#longDeadline = systemClock.now() + (parseGrpcTimeout(String(longTimeout)) ?? Number.POSITIVE_INFINITY);
    }
  }

  get url(): string {
    return `http://${this.#surface.getHost() ?? "localhost"}${this.#surface.getPath()}`;
  }

  timeoutMs(): number | undefined {
    // The machine's clock, whatever the rest of the program runs on: grpc-js reckons deadlines by it.
    const deadline = Math.min(this.#longDeadline, Number(this.#surface.getDeadline()));
    return deadline === Number.POSITIVE_INFINITY ? undefined : deadline - systemClock.now();
  }

  /** Throws a ConnectError when the caller sends more metadata than it may: grpc-js only advertises a limit. */
  checkRequestMetadata(): void {
    checkMetadataSize(this.#surface.metadata, this.#metadataMaxBytes, "request metadata");
  }

  get headersSent(): boolean {
    return this.#headersSent;
  }

  /** Sends headers, once. Throws a ConnectError, having sent nothing, when gRPC cannot carry them. */
  sendHeaders(headers: Headers): void {
    if (!this.#headersSent) {
      const metadata = this.#outgoing(headers, "response headers");
      this.#headersSent = true;
      this.#surface.sendMetadata(metadata ?? new Metadata());
    }
  }

  /** The trailers as metadata, undefined when there are none. Throws a ConnectError when gRPC cannot carry them. */
  trailerMetadata(trailer: Headers): Metadata | undefined {
    return this.#outgoing(trailer, "response trailers");
  }

  /** The status for what an implementation or interceptor threw. Never throws. */
  failure(thrown: unknown): StatusObject {
    const unsent = this.#headersSent ? [this.responseTrailer] : [this.responseHeader, this.responseTrailer];
    return statusFromThrown(thrown, unsent, this.#metadataMaxBytes);
  }

  #outgoing(headers: Headers, what: string): Metadata | undefined {
    if (!isWorthSending(headers)) {
      return undefined;
    }
    const metadata = metadataFromHeaders(headers, Code.Internal);
    checkMetadataSize(metadata, this.#metadataMaxBytes, what);
    return metadata;
  }

  fillHeader(headers: Headers): void {
    fillHeaders(headers, this.#surface.metadata);
  }

  peekHeader(name: string): string | null {
    return peekHeader(this.#surface.metadata, name);
  }

  initialValue(id: symbol): unknown {
    if (id === peerKey.id) {
      this.#peer ??= peerOf(this.#surface);
      return this.#peer;
    }
    return id === flushHeadersKey.id && this.#flushable ? () => this.sendHeaders(this.responseHeader) : undefined;
  }

  /**
   * grpc-js calls it cancelled whenever the call is over, also when it has completed: by then end() has been called.
   * `over` is called in either case, if this is the first time that the call is watched.
   */
  watch(over?: () => void): void {
    if (this.#watching) {
      return;
    }
    this.#watching = true;
    if (isCancelled(this.#surface)) {
      this.end(whyCancelled(this.timeoutMs()));
      over?.();
    } else {
      this.#surface.once("cancelled", () => {
        // An error that nobody sees is not made: its stack costs as much as a tenth of the call.
        if (!this.ended) {
          this.end(whyCancelled(this.timeoutMs()));
        }
        over?.();
      });
    }
  }
}

/**
 * grpc-js tells the surface of a call that the caller has cancelled it, unless that came together with the request: then the
 * surface does not exist yet, is made all the same, and hears of nothing any more. What is beneath it knows.
 */
function isCancelled(surface: GrpcSurface & { readonly call?: { readonly cancelled?: boolean } }): boolean {
  return surface.cancelled || surface.call?.cancelled === true;
}

/** Why a call has ended before it was answered, by what was left of its time. */
export function whyCancelled(timeoutMs: number | undefined): ConnectError {
  return timeoutMs !== undefined && timeoutMs <= timerSlackMs
    ? new ConnectError("the call's deadline has passed", Code.DeadlineExceeded)
    : new ConnectError("the caller has cancelled the call or is gone", Code.Canceled);
}

function peerOf(surface: GrpcSurface): Peer {
  const peer = new SurfacePeer(surface);
  const proxies = proxiesOfCall(surface);
  if (proxies?.header === undefined) {
    return peer;
  }
  const { header } = proxies;
  return forwardedPeer(peer, proxies, { [header]: surface.metadata.get(header).map(String) });
}

/** Of a class: an object with a getter of its own is several times as large. */
class SurfacePeer implements Peer {
  readonly address: string;
  readonly #surface: GrpcSurface;
  #certificate: Peer["certificate"];
  #known = false;

  constructor(surface: GrpcSurface) {
    this.address = surface.getPeer();
    this.#surface = surface;
  }

  get certificate(): Peer["certificate"] {
    if (!this.#known) {
      this.#known = true;
      this.#certificate = this.#surface.getAuthContext().sslPeerCertificate;
    }
    return this.#certificate;
  }
}
