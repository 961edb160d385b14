/** The kinds of image that scenes may bring. */
export type ImageType = "image/png" | "image/jpeg" | "image/webp";

/**
 * Tells the kind by the first bytes, `undefined` for any other. Asked before a decoder sees the bytes, because sharp would
 * also read SVG, PDF and camera formats, whose decoders are no place for a stranger's file.
 */
export function imageType(bytes: Uint8Array): ImageType | undefined {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(12, bytes.byteLength)).toString("latin1");
  if (head.startsWith("\x89PNG\r\n\x1a\n")) return "image/png";
  if (head.startsWith("\xff\xd8\xff")) return "image/jpeg";
  if (head.startsWith("RIFF") && head.endsWith("WEBP")) return "image/webp";
  return undefined;
}
