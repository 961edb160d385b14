import type { RunIndexEntry, StreamAppend } from "../../ports/journal.ts";
import { runStream } from "../../ports/journal.ts";

/** Who carries out orders. */
export interface OrderVisitor {
  append(appends: readonly StreamAppend[], impatient: boolean): void;
  put(runId: string, bytes: Uint8Array): void;
}

const kind = { append: 1, impatientAppend: 2, put: 3 } as const;

/** Which optional fields of an append follow, as bits. */
const has = { state: 1, retireAt: 2, create: 4, key: 8, parent: 16 } as const;

const initialBytes = 64 * 1024;
/** A buffer that has grown beyond this is given up again. */
const keptBytes = 1024 * 1024;

/**
 * Appends and small payloads as bytes. Copying a message object from thread to thread costs more than all the rest of an
 * append; one block of bytes is handed over.
 */
export class OrderWriter {
  #buffer = Buffer.allocUnsafeSlow(initialBytes);
  #view = new DataView(this.#buffer.buffer);
  #at = 0;
  #count = 0;

  /** Orders written since the last `take`. */
  get count(): number {
    return this.#count;
  }

  append(appends: readonly StreamAppend[], impatient: boolean): void {
    const start = this.#at;
    try {
      this.#reserve(8);
      this.#byte(impatient ? kind.impatientAppend : kind.append);
      this.#uint(appends.length);
      for (const append of appends) {
        this.#append(append);
      }
      this.#count++;
    } catch (error) {
      // Half an order would make nonsense of all that follow.
      this.#at = start;
      throw error;
    }
  }

  put(runId: string, bytes: Uint8Array): void {
    const start = this.#at;
    try {
      this.#reserve(8);
      this.#byte(kind.put);
      this.#text(runId);
      this.#bytes(bytes);
      this.#count++;
    } catch (error) {
      this.#at = start;
      throw error;
    }
  }

  /** What has been written, in memory of its own; the next order is the first of the next block. */
  take(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(this.#at);
    bytes.set(this.#buffer.subarray(0, this.#at));
    this.#at = 0;
    this.#count = 0;
    if (this.#buffer.length > keptBytes) {
      this.#use(Buffer.allocUnsafeSlow(initialBytes));
    }
    return bytes;
  }

  #append({ stream, expectedSequence, records, create, state, retireAtMs }: StreamAppend): void {
    this.#text(stream);
    this.#reserve(32);
    this.#double(expectedSequence);
    this.#byte(
      (state === undefined ? 0 : has.state) |
        (retireAtMs === undefined ? 0 : has.retireAt) |
        (create === undefined ? 0 : has.create) |
        (create?.key === undefined ? 0 : has.key) |
        (create?.parentRunId === undefined ? 0 : has.parent),
    );
    if (state !== undefined) {
      this.#byte(state);
    }
    if (retireAtMs !== undefined) {
      this.#double(retireAtMs);
    }
    this.#uint(records.length);
    for (const record of records) {
      this.#bytes(record);
    }
    if (create !== undefined) {
      this.#text(create.workflow);
      this.#text(create.owner.tenant);
      this.#text(create.owner.subject);
      this.#reserve(8);
      this.#double(create.createTimeMs);
      if (create.key !== undefined) {
        this.#text(create.key);
      }
      if (create.parentRunId !== undefined) {
        this.#text(create.parentRunId);
      }
    }
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes > this.#buffer.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length * 2, this.#at + bytes));
      this.#buffer.copy(larger, 0, 0, this.#at);
      this.#use(larger);
    }
  }

  #use(buffer: Buffer<ArrayBuffer>): void {
    this.#buffer = buffer;
    this.#view = new DataView(buffer.buffer);
  }

  #byte(value: number): void {
    this.#buffer[this.#at++] = value;
  }

  #uint(value: number): void {
    this.#view.setUint32(this.#at, value, true);
    this.#at += 4;
  }

  #double(value: number): void {
    this.#view.setFloat64(this.#at, value, true);
    this.#at += 8;
  }

  #text(value: string): void {
    this.#reserve(4 + value.length * 3);
    const length = this.#buffer.write(value, this.#at + 4);
    this.#uint(length);
    this.#at += length;
  }

  #bytes(value: Uint8Array): void {
    if (!(value instanceof Uint8Array)) {
      throw new TypeError("a record is a Uint8Array");
    }
    this.#reserve(4 + value.length);
    this.#uint(value.length);
    this.#buffer.set(value, this.#at);
    this.#at += value.length;
  }
}

/** Reads what an `OrderWriter` has written. The bytes that it gives are views of the block. */
export function readOrders(block: Uint8Array, count: number, visitor: OrderVisitor): void {
  const reader = new OrderReader(block);
  for (let number = 0; number < count; number++) {
    const which = reader.byte();
    if (which === kind.put) {
      visitor.put(reader.text(), reader.bytes());
    } else {
      const appends = reader.list(() => readAppend(reader));
      visitor.append(appends, which === kind.impatientAppend);
    }
  }
}

function readAppend(reader: OrderReader): StreamAppend {
  const stream = reader.text();
  const expectedSequence = reader.double();
  const fields = reader.byte();
  return {
    stream,
    expectedSequence,
    ...((fields & has.state) === 0 ? {} : { state: reader.byte() }),
    ...((fields & has.retireAt) === 0 ? {} : { retireAtMs: reader.double() }),
    records: reader.list(() => reader.bytes()),
    ...((fields & has.create) === 0 ? {} : { create: readEntry(reader, stream, fields) }),
  };
}

function readEntry(reader: OrderReader, stream: string, fields: number): RunIndexEntry {
  return {
    runId: stream.slice(runStream("").length),
    workflow: reader.text(),
    owner: { tenant: reader.text(), subject: reader.text() },
    createTimeMs: reader.double(),
    ...((fields & has.key) === 0 ? {} : { key: reader.text() }),
    ...((fields & has.parent) === 0 ? {} : { parentRunId: reader.text() }),
  };
}

class OrderReader {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(block: Uint8Array) {
    this.#buffer = Buffer.from(block.buffer, block.byteOffset, block.byteLength);
  }

  byte(): number {
    return this.#buffer.readUInt8(this.#at++);
  }

  double(): number {
    this.#at += 8;
    return this.#buffer.readDoubleLE(this.#at - 8);
  }

  text(): string {
    const end = this.#end();
    const text = this.#buffer.toString("utf8", this.#at, end);
    this.#at = end;
    return text;
  }

  bytes(): Uint8Array {
    const end = this.#end();
    const bytes = this.#buffer.subarray(this.#at, end);
    this.#at = end;
    return bytes;
  }

  list<Item>(read: () => Item): Item[] {
    const items: Item[] = [];
    for (let left = this.#uint(); left > 0; left--) {
      items.push(read());
    }
    return items;
  }

  #uint(): number {
    this.#at += 4;
    return this.#buffer.readUInt32LE(this.#at - 4);
  }

  /** Where what begins with its length ends. */
  #end(): number {
    const length = this.#uint();
    return this.#at + length;
  }
}
