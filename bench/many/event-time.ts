/** The message `WatchRunResponse` has its event in field 1; that has its number in field 1, and its time in field 2. */
const field1 = { varint: 0x08, message: 0x0a } as const;
const field2 = { varint: 0x10, message: 0x12 } as const;

/**
 * When the event in a `WatchRunResponse` happened, in ms since the epoch; undefined for anything but an event. Decoding
 * a hundred thousand messages a second would take the time of the server that is measured.
 */
export function eventTimeMs(message: Uint8Array): number | undefined {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = message[at++] ?? 0;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) {
        return value;
      }
    }
  };
  if (message[at++] !== field1.message) {
    return undefined;
  }
  varint();
  if (message[at++] !== field1.varint) {
    return undefined;
  }
  varint();
  if (message[at++] !== field2.message) {
    return undefined;
  }
  const length = varint();
  const end = at + length;
  let ms = 0;
  while (at < end) {
    const tag = message[at++];
    ms += tag === field1.varint ? varint() * 1000 : tag === field2.varint ? varint() / 1e6 : Number.NaN;
    if (Number.isNaN(ms)) {
      return undefined;
    }
  }
  return ms;
}
