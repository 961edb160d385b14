import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { Code, ConnectError } from "@connectrpc/connect";
import { findTrailerError } from "@connectrpc/connect/protocol-grpc";
import { Metadata, type StatusObject, status } from "@grpc/grpc-js";
import { encodeDetail } from "../shared-detail.ts";
import { isCallHeaders } from "./call-headers.ts";
import { addLegalHeaders, headersFromMetadata, metadataBytes } from "./metadata.ts";

const detailsName = "grpc-status-details-bin";

/** What an application threw, as a ConnectError. Anything else becomes Internal without a word of it: it may be secret. */
export function errorFromThrown(thrown: unknown): ConnectError {
  return thrown instanceof ConnectError
    ? thrown
    : new ConnectError("internal error", Code.Internal, undefined, undefined, thrown);
}

/**
 * Converts what an application threw to a gRPC status with its details in `grpc-status-details-bin`. `headers` are the
 * response headers not yet sent and the trailers: in a trailers-only response they share one block. Never throws: what
 * cannot be sent, or does not fit into `maxBytes`, is left out, details first, because the status itself must arrive.
 */
export function statusFromThrown(thrown: unknown, headers: readonly Headers[], maxBytes: number): StatusObject {
  try {
    const error = errorFromThrown(thrown);
    const code: Code = isStatusCode(error.code) ? error.code : Code.Unknown;
    const message = String(error.rawMessage).toWellFormed();
    const metadata = new Metadata();
    for (const each of headers) {
      // Nobody has made them yet, and to look through them would.
      if (!isCallHeaders(each) || each.changed) {
        addLegalHeaders(metadata, each);
      }
    }
    // An error that came over the wire from elsewhere carries that server's metadata, which is none of our caller's.
    if (!error.isWireError) {
      addLegalHeaders(metadata, error.metadata);
    }
    const details = encodeDetails(error, code, message);
    if (details !== undefined) {
      metadata.set(detailsName, details);
    }
    return fitted({ code: code as number, details: message, metadata }, maxBytes);
  } catch {
    return { code: status.INTERNAL, details: "internal error", metadata: new Metadata() };
  }
}

/** Converts the status of a failed call to the error that Connect's own gRPC client would have thrown. */
export function errorFromStatus(failed: StatusObject, header?: Headers): ConnectError {
  const metadata = headersFromMetadata(failed.metadata);
  const code = isStatusCode(failed.code) ? failed.code : Code.Unknown;
  let error: ConnectError | undefined;
  try {
    error = metadata.has(detailsName) ? findTrailerError(metadata) : undefined;
  } catch {
    // Undecodable details are worth less than the status that they came with.
  }
  if (error === undefined || error.code !== code) {
    const details = error?.details ?? [];
    error = new ConnectError(decodeReserved(failed.details), code, metadata);
    error.details = details;
    error.isWireError = true;
  }
  if (header !== undefined) {
    for (const [name, value] of header) {
      error.metadata.append(name, value);
    }
  }
  return error;
}

function isStatusCode(code: number): code is Code {
  return Number.isInteger(code) && code >= Code.Canceled && code <= Code.Unauthenticated;
}

/**
 * The encoded google.rpc.Status, which has to repeat code and message since Connect's clients take both from it. Written
 * by hand: through messages, headers and base64 it took a third of what a server allocates that refuses calls.
 */
function encodeDetails({ details }: ConnectError, code: Code, message: string): Buffer | undefined {
  if (details.length === 0) {
    return undefined;
  }
  const writer = new BinaryWriter();
  writer.tag(statusFields.code, WireType.Varint).int32(code);
  if (message !== "") {
    writer.tag(statusFields.message, WireType.LengthDelimited).string(message);
  }
  let written = 0;
  for (const detail of details) {
    let value: Uint8Array;
    try {
      value = encodeDetail(detail);
    } catch {
      // A detail that cannot be encoded must not cost the caller the others, or the status.
      continue;
    }
    const type = "desc" in detail ? detail.desc.typeName : detail.type;
    writer.tag(statusFields.details, WireType.LengthDelimited).fork();
    writer.tag(anyFields.typeUrl, WireType.LengthDelimited).string(`type.googleapis.com/${type}`);
    if (value.length > 0) {
      writer.tag(anyFields.value, WireType.LengthDelimited).bytes(value);
    }
    writer.join();
    written += 1;
  }
  if (written === 0) {
    return undefined;
  }
  const bytes = writer.finish();
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Their numbers in google/rpc/status.proto and google/protobuf/any.proto. */
const statusFields = { code: 1, message: 2, details: 3 } as const;
const anyFields = { typeUrl: 1, value: 2 } as const;

function fitted(full: StatusObject, maxBytes: number): StatusObject {
  const messageBytes = encodeURI(full.details).length;
  if (metadataBytes(full.metadata) + messageBytes <= maxBytes) {
    return full;
  }
  full.metadata.remove(detailsName);
  if (metadataBytes(full.metadata) + messageBytes <= maxBytes) {
    return full;
  }
  // One UTF-16 unit takes up to nine bytes when percent-encoded.
  const longest = Math.floor(maxBytes / 18);
  const details =
    messageBytes <= maxBytes / 2 ? full.details : `${full.details.slice(0, longest).toWellFormed()}… (shortened)`;
  const metadata =
    metadataBytes(full.metadata) + encodeURI(details).length <= maxBytes ? full.metadata : new Metadata();
  return { code: full.code, details, metadata };
}

const reservedEscapes = /%(?:3B|2C|2F|3F|3A|40|26|3D|2B|24|23)/gi;
const reservedCharacters = /[;,/?:@&=+$#]/;

/**
 * grpc-js decodes messages with `decodeURI`, which keeps the escapes of reserved characters, and drops the original.
 * Peers that encode with `encodeURIComponent` (Connect's servers) escape every reserved character, others none: so
 * escapes in a text without any bare reserved character are theirs.
 */
function decodeReserved(message: string): string {
  return reservedCharacters.test(message) ? message : message.replace(reservedEscapes, decodeURIComponent);
}
