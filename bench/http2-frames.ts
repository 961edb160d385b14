export const frameType = {
  data: 0,
  headers: 1,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const flag = { endStream: 1, ack: 1, endHeaders: 4 } as const;

export const frameHeaderBytes = 9;

/** A frame of HTTP/2 (RFC 9113, section 4.1). */
export function encodeFrame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const frame = Buffer.alloc(frameHeaderBytes + payload.length);
  frame.writeUIntBE(payload.length, 0, 3);
  frame[3] = type;
  frame[4] = flags;
  frame.writeUInt32BE(stream, 5);
  frame.set(payload, frameHeaderBytes);
  return frame;
}

/** What a client says first: its preface, and settings that let the server send without waiting for it. */
export function encodeOpening(): Buffer {
  const largest = 2 ** 31 - 1;
  const settings = Buffer.alloc(12);
  // No dynamic table for header blocks of the server, so that each can be read for itself.
  settings.writeUInt16BE(1, 0);
  settings.writeUInt32BE(0, 2);
  // The window of each stream, and below that of the connection.
  settings.writeUInt16BE(4, 6);
  settings.writeUInt32BE(largest, 8);
  const window = Buffer.alloc(4);
  window.writeUInt32BE(largest - 65_535);
  return Buffer.concat([
    Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    encodeFrame(frameType.settings, 0, 0, settings),
    encodeFrame(frameType.windowUpdate, 0, 0, window),
  ]);
}
