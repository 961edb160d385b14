import { type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";

const nothing = new Uint8Array();

/**
 * Decodes bytes that stay as they are, whatever becomes of the message: what that refers to is a copy. It is in Node's pool,
 * because to read a small array of its own, which has to get a buffer for that, costs twice as much.
 */
export function decodeCopy<Desc extends DescMessage>(schema: Desc, bytes: Uint8Array): MessageShape<Desc> {
  if (bytes.length === 0) {
    return fromBinary(schema, nothing);
  }
  const copy = Buffer.allocUnsafe(bytes.length);
  copy.set(bytes);
  // A plain view: `bytes` fields are slices of it, and must be Uint8Array, not Buffer.
  return fromBinary(schema, new Uint8Array(copy.buffer, copy.byteOffset, copy.length));
}
