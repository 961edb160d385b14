import { Code, ConnectError } from "@connectrpc/connect";
import { Metadata, type MetadataValue } from "@grpc/grpc-js";
import { isCallHeaders, type PlainHeader } from "./call-headers.ts";

/** What HTTP/2 forbids or the protocol itself writes. Never metadata of an application, so left out in silence. */
const reserved = new Set([
  "connection",
  "content-encoding",
  "content-length",
  "content-type",
  "date",
  "grpc-accept-encoding",
  "grpc-encoding",
  "grpc-message",
  "grpc-status",
  "grpc-status-details-bin",
  "grpc-timeout",
  "host",
  "http2-settings",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

const legalName = /^[0-9a-z_.-]+$/;
const printableAscii = /^[ -~]*$/;
const base64 = /^[A-Za-z0-9+/]*={0,2}$/;

/** HTTP/2 counts each field with this much overhead (RFC 9113, section 6.5.2). */
export const fieldOverheadBytes = 32;

/** Converts grpc-js metadata to headers; binary values become base64 without padding, as everywhere in Connect. */
export function headersFromMetadata(metadata: Metadata): Headers {
  const headers = new Headers();
  fillHeaders(headers, metadata);
  return headers;
}

/**
 * What metadata holds, by names in lower case. grpc-js has only ways to it that copy or check everything anew, each of
 * which would be taken several times in every call.
 */
function fieldsOf(metadata: Metadata): Map<string, MetadataValue[]> {
  return metadata["internalRepr"];
}

/** Whether metadata has a field, by its name in lower case. */
export function hasField(metadata: Metadata, name: string): boolean {
  return fieldsOf(metadata).has(name);
}

/** Whether metadata has no fields. */
export function isEmpty(metadata: Metadata): boolean {
  return fieldsOf(metadata).size === 0;
}

/** One of the headers that headersFromMetadata makes, by its name in lower case. */
export function peekHeader(metadata: Metadata, name: string): string | null {
  const values = fieldsOf(metadata).get(name);
  return values === undefined || values.length === 0
    ? null
    : values.map((value) => (typeof value === "string" ? value.trim() : encodeBinary(value))).join(", ");
}

/** Appends what headersFromMetadata converts. */
export function fillHeaders(headers: Headers, metadata: Metadata): void {
  for (const [name, values] of Object.entries(metadata.toJSON())) {
    for (const value of values) {
      headers.append(name, typeof value === "string" ? value : encodeBinary(value));
    }
  }
}

/** Appends name, value, name, value, … as HTTP/2 carries them. */
export function listFields(metadata: Metadata, list: string[]): void {
  for (const [name, values] of fieldsOf(metadata)) {
    for (const value of values) {
      list.push(name, typeof value === "string" ? value : value.toString("base64"));
    }
  }
}

/**
 * Converts headers to grpc-js metadata, leaving out what belongs to the protocol. Throws a ConnectError with the given
 * code that names the first header which gRPC cannot carry.
 */
export function metadataFromHeaders(headers: Headers, codeWhenIllegal: Code): Metadata {
  const metadata = new Metadata();
  const plain = isCallHeaders(headers) ? headers.plain : undefined;
  if (plain?.every(isLegal) === true) {
    for (const [name, value] of plain) {
      fieldsOf(metadata).set(name, [value]);
    }
    return metadata;
  }
  for (const [name, value] of headers) {
    const problem = addHeader(metadata, name, value);
    if (problem !== undefined) {
      throw new ConnectError(problem, codeWhenIllegal);
    }
  }
  return metadata;
}

/** Headers that HTTP/2 takes as they are; undefined for any but a few plain ones, which have to go through metadata. */
export function sendableHeaders(headers: Headers, maxBytes: number): readonly PlainHeader[] | undefined {
  const plain = isCallHeaders(headers) ? headers.plain : undefined;
  if (plain === undefined) {
    return undefined;
  }
  let bytes = 0;
  for (const pair of plain) {
    const [name, value] = pair;
    bytes += name.length + value.length + fieldOverheadBytes;
    if (bytes > maxBytes || !isLegal(pair)) {
      return undefined;
    }
  }
  return plain;
}

/** Throws a ResourceExhausted error when metadata is larger than the limit. `what` names it. */
export function checkMetadataSize(metadata: Metadata, maxBytes: number, what: string): void {
  const bytes = metadataBytes(metadata);
  if (bytes > maxBytes) {
    throw new ConnectError(
      `the ${what} has ${bytes} bytes, more than the limit of ${maxBytes}`,
      Code.ResourceExhausted,
    );
  }
}

/** Adds what gRPC can carry of the headers and drops the rest: for errors, which matter more than their metadata. */
export function addLegalHeaders(metadata: Metadata, headers: Headers): void {
  for (const [name, value] of headers) {
    addHeader(metadata, name, value);
  }
}

/** Size of metadata in bytes, as HTTP/2 counts a header list: names, values and 32 for each field. */
export function metadataBytes(metadata: Metadata): number {
  let total = 0;
  for (const [name, values] of fieldsOf(metadata)) {
    for (const value of values) {
      const valueBytes = typeof value === "string" ? value.length : Math.ceil((value.length * 4) / 3);
      total += name.length + valueBytes + fieldOverheadBytes;
    }
  }
  return total;
}

/** Whether gRPC carries a plain header as it is. */
function isLegal([name]: PlainHeader): boolean {
  return !reserved.has(name) && !name.endsWith("-bin");
}

function addHeader(metadata: Metadata, name: string, value: string): string | undefined {
  if (reserved.has(name)) {
    return undefined;
  }
  if (!legalName.test(name)) {
    return `header name "${name}" is not legal in gRPC metadata: use lower-case letters, digits, "-", "_" and "."`;
  }
  if (!name.endsWith("-bin")) {
    if (!printableAscii.test(value)) {
      return `header "${name}" holds characters that gRPC metadata cannot carry: use printable ASCII, or send bytes under a name that ends in "-bin"`;
    }
    // Legal as it is; what is there already is added to.
    const values = fieldsOf(metadata).get(name);
    if (values === undefined) {
      fieldsOf(metadata).set(name, [value]);
    } else {
      values.push(value);
    }
    return undefined;
  }
  for (const part of value.split(",")) {
    const encoded = part.trim();
    if (!base64.test(encoded)) {
      return `header "${name}" is not base64, which names that end in "-bin" must hold: use encodeBinaryHeader()`;
    }
    metadata.add(name, Buffer.from(encoded, "base64"));
  }
  return undefined;
}

function encodeBinary(value: Buffer): string {
  const encoded = value.toString("base64");
  const padding = encoded.indexOf("=");
  return padding < 0 ? encoded : encoded.slice(0, padding);
}
