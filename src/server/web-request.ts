import type { IncomingMessage } from "node:http";
import { create, type DescMethod, fromBinary, fromJsonString, type Registry } from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema } from "../../gen/google/rpc/error_details_pb.js";
import { jsonProblems, type ResolvedInput } from "../config/index.ts";
import { workflowName } from "../contract/index.ts";
import { createError } from "../runs/index.ts";
import { checkedEnvelopes, decompressed } from "./web-envelopes.ts";
import type { HeldBytes } from "./web-held.ts";

/** What the messages of requests are read by. */
export interface RequestReading {
  readonly method: DescMethod;
  /** Of one message, in bytes. */
  readonly maxBytes: number;
  readonly registry: Registry;
  readonly options: ResolvedInput;
  /** Told of what a body is refused for. */
  readonly onRefused?: ((error: unknown) => void) | undefined;
}

/** What protocols put around a message. */
const framingBytes = 64;

/** The headers of a request as fetch has them. Bytes above ASCII stay the Latin-1 that HTTP takes them for. */
export function requestHeaders({ rawHeaders }: IncomingMessage): Headers {
  const headers = new Headers();
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    headers.append(rawHeaders[index] ?? "", rawHeaders[index + 1] ?? "");
  }
  // Sizes are told below, in the words of the configuration.
  headers.delete("content-length");
  dropLongTimeouts(headers);
  return headers;
}

/**
 * The body of a request, read to its end and known to hold a message that can be decoded: Connect calls a malformed
 * binary message an internal error, and names no field of a malformed JSON one.
 *
 * @throws ConnectError RESOURCE_EXHAUSTED, INVALID_ARGUMENT, or CANCELLED when the caller is gone
 */
export async function* requestBody(
  request: IncomingMessage,
  reading: RequestReading,
  held: HeldBytes,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* checkedBody(request, reading, held);
  } catch (error) {
    reading.onRefused?.(error);
    throw error;
  } finally {
    held.set(0);
  }
}

async function* checkedBody(
  request: IncomingMessage,
  reading: RequestReading,
  held: HeldBytes,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { method, maxBytes } = reading;
  const type = request.headers["content-type"] ?? "";
  const json = /[/+]json\b/i.test(type);
  const broken = (problem: string): ConnectError => malformed(method, problem);
  const shared = { maxBytes, broken, tooLarge: () => tooLarge(reading) };
  const streamed = method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming";
  if (/^application\/(connect\+|grpc-web(?!-text))/i.test(type)) {
    const encoding =
      request.headers[/^application\/connect/i.test(type) ? "connect-content-encoding" : "grpc-encoding"];
    // Of a stream each message is within the limit, and all of them together as many as the method takes.
    const chunks = streamed ? streamedBody(request) : wholeBody(request, reading, held);
    yield* checkedEnvelopes(chunks, {
      ...shared,
      encoding: typeof encoding === "string" ? encoding : undefined,
      check: (message) => checkMessage(message, json, reading),
      ...(streamed && { onWaiting: (bytes: number) => assertHeld(held, bytes) }),
    });
    return;
  }
  if (streamed) {
    yield* streamedBody(request);
    return;
  }
  const body = await readBody(request, reading, held);
  const encoding = request.headers["content-encoding"] ?? "identity";
  if (/^application\/(json|proto)\b/i.test(type)) {
    // Nothing is decompressed from nothing.
    const plain =
      encoding === "identity" || body.length === 0 ? body : await decompressed(body, { ...shared, encoding });
    checkMessage(plain, json, reading);
  }
  yield body;
}

async function* wholeBody(
  request: IncomingMessage,
  reading: RequestReading,
  held: HeldBytes,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield await readBody(request, reading, held);
}

/** Throws what is wrong with the message in the query of a GET request. @throws ConnectError INVALID_ARGUMENT */
export async function checkQuery(url: URL, reading: RequestReading): Promise<void> {
  const { searchParams: query } = url;
  const text = query.get("message") ?? "";
  let message: Uint8Array;
  try {
    message = query.get("base64") === "1" ? base64Decode(text) : new TextEncoder().encode(text);
  } catch (error) {
    throw malformed(reading.method, `the parameter "message" is no base64: ${messageOf(error)}`);
  }
  const encoding = query.get("compression") ?? "identity";
  if (encoding !== "identity" && message.length > 0) {
    message = await decompressed(message, {
      encoding,
      maxBytes: reading.maxBytes,
      broken: (problem) => malformed(reading.method, problem),
      tooLarge: () => tooLarge(reading),
    });
  }
  switch (query.get("encoding")) {
    case "json":
      checkMessage(message, true, reading);
      break;
    case "proto":
      checkMessage(message, false, reading);
      break;
  }
}

async function* streamedBody(request: IncomingMessage): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    for await (const chunk of request.iterator({ destroyOnReturn: false })) {
      yield chunk as Buffer;
    }
  } catch (error) {
    throw new ConnectError("the caller is gone", Code.Canceled, undefined, undefined, error);
  } finally {
    // Many clients read no answer before they have sent everything.
    request.resume();
  }
}

async function readBody(
  request: IncomingMessage,
  { method, maxBytes }: RequestReading,
  held: HeldBytes,
): Promise<Buffer> {
  const most = maxBytes + framingBytes;
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    // Destroying the request would cut the connection before the answer to it.
    for await (const chunk of request.iterator({ destroyOnReturn: false })) {
      size += (chunk as Buffer).length;
      if (size > most) {
        break;
      }
      assertHeld(held, size);
      chunks.push(chunk as Buffer);
    }
  } catch (error) {
    if (error instanceof ConnectError) {
      // Many clients read no answer before they have sent everything.
      request.resume();
      throw error;
    }
    throw new ConnectError("the caller is gone", Code.Canceled, undefined, undefined, error);
  }
  if (size > most) {
    // Many clients read no answer before they have sent everything.
    request.resume();
    throw tooLarge({ method, maxBytes });
  }
  return Buffer.concat(chunks);
}

/** @throws ConnectError RESOURCE_EXHAUSTED when the source of a request has too much on its way already */
function assertHeld(held: HeldBytes, bytes: number): void {
  if (held.set(bytes)) return;
  throw createError(
    Code.ResourceExhausted,
    "TOO_MUCH_ON_ITS_WAY",
    "too much of other calls from this address is on its way or left unread (max_unsent_megabytes_per_source): let them finish, then call again",
  );
}

function tooLarge({ method, maxBytes }: Pick<RequestReading, "method" | "maxBytes">): ConnectError {
  return createError(
    Code.ResourceExhausted,
    "MESSAGE_TOO_LARGE",
    `the request of ${workflowName(method)} has more than the ${maxBytes} bytes that the server takes (max_message_bytes)`,
  );
}

function checkMessage(bytes: Uint8Array, json: boolean, { method, registry, options }: RequestReading): void {
  if (!json) {
    try {
      fromBinary(method.input, bytes, options.binary);
    } catch (error) {
      throw malformed(method, messageOf(error));
    }
    return;
  }
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString();
  try {
    fromJsonString(method.input, text, { registry, ...options.json });
  } catch (error) {
    const found = jsonProblems(method.input, text, registry);
    const problems = found.length > 0 ? found : [{ field: "", message: messageOf(error) }];
    const shown = problems.slice(0, 5).map(({ field, message }) => (field === "" ? message : `${field}: ${message}`));
    const failure = malformed(method, shown.join("; "));
    failure.details.push({
      desc: BadRequestSchema,
      value: create(BadRequestSchema, {
        fieldViolations: problems.map(({ field, message: description }) => ({ field, description })),
      }),
    });
    throw failure;
  }
}

function malformed(method: DescMethod, problem: string): ConnectError {
  return createError(
    Code.InvalidArgument,
    "MALFORMED_REQUEST",
    `the request of ${workflowName(method)} is no ${method.input.typeName}: ${problem}`,
  );
}

const longestQuote = 500;

function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.length > longestQuote ? `${text.slice(0, longestQuote).toWellFormed()}…` : text;
}

/** Above this (24.8 days) a timer of Node is due at once. */
const longestTimeoutMs = 2 ** 31 - 1;
const unitsMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1 };

/** A deadline that no timer holds is kept by the caller alone: its leaving ends the call. */
function dropLongTimeouts(headers: Headers): void {
  if (Number(headers.get("connect-timeout-ms")) > longestTimeoutMs) {
    headers.delete("connect-timeout-ms");
  }
  const [, count, unit = ""] = /^(\d{1,8})([HMSm])$/.exec(headers.get("grpc-timeout") ?? "") ?? [];
  if (Number(count) * (unitsMs[unit] ?? 0) > longestTimeoutMs) {
    headers.delete("grpc-timeout");
  }
}
