import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { create as contentDisposition } from "content-disposition";
import fresh from "fresh";
import { parse as parseRange } from "range-parser";
import type { Artifact, ArtifactService } from "../../gen/retake/v1/artifact_pb.js";
import type { Logger } from "../runs/index.ts";
import { traceFields } from "../trace-fields.ts";
import { internalError, methodNotAllowed, type WebError, webErrorFrom, writeError } from "./web-errors.ts";
import { countedPeerValues, peerValues } from "./web-peer.ts";

export interface WebArtifactsOptions {
  /** Calls the service by way of its interceptors: who may download by a call may do so here, and nobody else. */
  readonly client: Client<typeof ArtifactService>;
  readonly log: Logger;
}

/** Where artifacts are. */
export const artifactsPath = "/artifacts/";

/** What an answer holds of an artifact. */
interface Part {
  readonly status: 200 | 206;
  readonly offset: number;
  readonly length: number;
  readonly headers: Readonly<Record<string, string>>;
}

/** Serves `GET` and `HEAD /artifacts/{id}`: whole files and single ranges of them (RFC 9110). */
export class WebArtifacts {
  readonly #options: WebArtifactsOptions;

  constructor(options: WebArtifactsOptions) {
    this.#options = options;
  }

  /** Answers a request. Never rejects; resolves when the answer is written or the caller is gone. */
  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // What breaks a connection has no one else to tell: the download hears of it by its signal.
    response.on("error", () => undefined);
    // A body means nothing here, and what is not read would keep the connection from its next request.
    request.resume();
    if (request.method !== "GET" && request.method !== "HEAD") {
      writeError(methodNotAllowed(["GET", "HEAD"]), response);
      return;
    }
    const gone = new AbortController();
    response.once("close", () => gone.abort(new ConnectError("the caller is gone", Code.Canceled)));
    try {
      const answer = await this.#answer(request, response, gone.signal);
      if (answer !== undefined) {
        writeError(answer, response);
      }
    } catch (error) {
      this.#fail(error, request, response, gone.signal);
    }
  }

  /** Writes the artifact, or returns why not. */
  async #answer(
    request: IncomingMessage,
    response: ServerResponse,
    signal: AbortSignal,
  ): Promise<WebError | undefined> {
    const id = idIn(request.url ?? "");
    if (id === undefined) {
      return webErrorFrom(
        new ConnectError(
          `an artifact is at ${artifactsPath}ID, and an ID is 32 hexadecimal digits in lower case`,
          Code.NotFound,
        ),
      );
    }
    // As the caller, whoever that is, and not as code of this process.
    const call = { headers: callHeaders(request.headers), contextValues: peerValues(request), signal };
    const { artifact } = await this.#options.client.getArtifact({ artifactId: id }, call);
    if (artifact === undefined) {
      return internalError();
    }
    const headers = headersOf(artifact);
    for (const [name, value] of Object.entries(headers)) {
      response.setHeader(name, value);
    }
    if (!matches(request.headers["if-match"], headers.etag)) {
      return webErrorFrom(
        new ConnectError(`artifact ${id} is another one than If-Match says`, Code.FailedPrecondition),
        412,
      );
    }
    if (fresh(request.headers, { etag: headers.etag, "last-modified": headers["last-modified"] })) {
      response.writeHead(304).end();
      return undefined;
    }
    const part = partOf(request.headers, Number(artifact.size), headers);
    if (part === undefined) {
      response.setHeader("content-range", `bytes */${artifact.size}`);
      response.removeHeader("content-disposition");
      response.removeHeader("cache-control");
      const problem = `artifact ${id} has ${artifact.size} bytes, and none in that range`;
      return webErrorFrom(new ConnectError(problem, Code.OutOfRange), 416);
    }
    const head = { ...part.headers, "content-length": part.length };
    if (request.method === "HEAD" || part.length === 0) {
      response.writeHead(part.status, head).end();
      return undefined;
    }
    const parts = this.#options.client.downloadArtifact(
      { artifactId: id, offset: BigInt(part.offset), length: BigInt(part.length) },
      { ...call, contextValues: countedPeerValues(request) },
    );
    for await (const { part: piece } of parts) {
      // Only now: this call may be refused where the one before was not, by a limit that is reached.
      if (!response.headersSent) response.writeHead(part.status, head);
      if (piece.case === "chunk" && !response.write(piece.value)) {
        await roomIn(response, signal);
      }
    }
    response.end();
    return undefined;
  }

  #fail(error: unknown, request: IncomingMessage, response: ServerResponse, signal: AbortSignal): void {
    if (signal.aborted) {
      return;
    }
    if (response.headersSent) {
      // A reader that has been promised more bytes must not take these for all.
      this.#options.log.error(
        { err: error, path: request.url?.split("?", 1)[0], ...traceFields(String(request.headers["traceparent"])) },
        "an artifact could not be sent to its end",
      );
      response.destroy();
      return;
    }
    for (const name of response.getHeaderNames()) {
      if (!keptForErrors.test(name)) {
        response.removeHeader(name);
      }
    }
    writeError(webErrorFrom(ConnectError.from(error)), response);
  }
}

/** What an answer says whatever it is about. */
const keptForErrors = /^(vary|access-control-.*)$/;

function idIn(url: string): string | undefined {
  const [path = ""] = url.split("?", 1);
  const id = path.slice(artifactsPath.length);
  return /^[0-9a-f]{32}$/.test(id) ? id : undefined;
}

/** What calls go by. Browsers and proxies send much else, which need not even be metadata: cookies in UTF-8. */
const passedOn = ["authorization", "x-api-key", "traceparent", "tracestate"] as const;

/** Of the caller's headers, the metadata of the calls that are made for it. */
function callHeaders(headers: IncomingHttpHeaders): Headers {
  const call = new Headers();
  for (const name of passedOn) {
    const value = headers[name];
    if (value !== undefined) {
      call.set(name, Array.isArray(value) ? value.join(", ") : value);
    }
  }
  return call;
}

/** A year: what caches take for "always". */
const maxAgeSeconds = 31_536_000;

interface ArtifactHeaders extends Record<string, string> {
  readonly etag: string;
  readonly "last-modified": string;
}

function headersOf({ sha256, mediaType, name, createTime }: Artifact): ArtifactHeaders {
  return {
    "accept-ranges": "bytes",
    etag: `"${Buffer.from(sha256).toString("hex")}"`,
    // In whole seconds, as HTTP counts.
    "last-modified": new Date(Number(createTime?.seconds ?? 0n) * 1000).toUTCString(),
    // An id means the same bytes for ever. Private, because who may have them is asked anew for everybody else.
    "cache-control": `private, max-age=${maxAgeSeconds}, immutable`,
    "content-type": mediaType,
    "content-disposition": contentDisposition(name === "" ? undefined : name, {
      type: isHarmless(mediaType) ? "inline" : "attachment",
    }),
    // Whoever uploads says what it is: it must not be taken for anything else, nor act in this server's name.
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; media-src 'self'; sandbox",
  };
}

/** What browsers show and never execute. */
function isHarmless(mediaType: string): boolean {
  return /^(image\/(?!svg)|video\/|audio\/|text\/plain\b)/i.test(mediaType);
}

/** What of the artifact is asked for; undefined when there is no such range. */
function partOf(request: IncomingHttpHeaders, size: number, headers: ArtifactHeaders): Part | undefined {
  const whole: Part = { status: 200, offset: 0, length: size, headers: {} };
  const condition = request["if-range"];
  if (request.range === undefined || (condition !== undefined && !isSame(condition, headers))) {
    return whole;
  }
  const { type, code, ranges } = parseRange(size, request.range);
  const [range] = ranges;
  if (type !== "bytes" || (code & malformed) !== 0 || ranges.length > 1) {
    // What is no range, or more than one, may be ignored (RFC 9110, 14.2).
    return whole;
  }
  if (range === undefined) {
    return undefined;
  }
  const { start, end } = range;
  return {
    status: 206,
    offset: start,
    length: end - start + 1,
    headers: { "content-range": `bytes ${start}-${end}/${size}` },
  };
}

/** A bit of the code by which range-parser tells that something is no range. */
const malformed = 1;

/** If-Range is compared strongly: a weak tag is never the same (RFC 9110, 13.1.5). */
function isSame(condition: string | string[], headers: ArtifactHeaders): boolean {
  return condition === headers.etag || condition === headers["last-modified"];
}

/** Whether a file is the one that its reader goes on with. */
function matches(ifMatch: string | undefined, etag: string): boolean {
  return ifMatch === undefined || ifMatch.split(",").some((tag) => tag.trim() === "*" || tag.trim() === etag);
}

/** Waits until the reader has taken what it was sent. @throws the signal's reason when it leaves */
function roomIn(response: ServerResponse, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (): void => {
      response.off("drain", done);
      signal.removeEventListener("abort", done);
      if (signal.aborted) {
        reject(signal.reason);
      } else {
        resolve();
      }
    };
    response.on("drain", done);
    signal.addEventListener("abort", done);
    if (signal.aborted) {
      done();
    }
  });
}
