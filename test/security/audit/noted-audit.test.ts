import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { AuditLogNoteSchema } from "../../../gen/retake/v1/storage_pb.js";
import { type StreamAppend, silentLogger } from "../../../src/runs/index.ts";
import { createMemoryStorage } from "../../../src/runs/memory/index.ts";
import { type AuditFiles, auditFileNames } from "../../../src/security/audit/audit-files.ts";
import type { AuditNote } from "../../../src/security/audit/audit-note.ts";
import type { AuditStore } from "../../../src/security/audit/audit-store.ts";
import { damagedAction } from "../../../src/security/audit/audit-tally.ts";
import { NotedAudit, notePrefix, readNotes } from "../../../src/security/audit/noted-audit.ts";
import { type VerifyAuditOptions, verifyAudit } from "../../../src/security/index.ts";
import { createVirtualClock } from "../../../src/testing/index.ts";
import { temporaryDirectory } from "../../runs/sqlite/temporary-directory.ts";
import { batch, key, openFiles } from "./logs.ts";

/** What the thread of a log does, on this one. */
class FilesStore implements AuditStore {
  readonly files: AuditFiles;
  #told = false;

  constructor(files: AuditFiles) {
    this.files = files;
  }

  async open() {
    const { damage } = this.files;
    if (this.#told) return undefined;
    this.#told = true;
    return damage;
  }

  async append(text: string, nowMs: number) {
    const { openFile } = this.files;
    this.files.append(text, nowMs);
    const inNewFile = openFile !== 0 && openFile !== this.files.openFile;
    const damage = await this.open();
    return { ...(inNewFile && { inNewFile }), ...(damage === undefined ? {} : { damage }) };
  }

  async search() {
    return { lines: [] };
  }

  tally(): never {
    throw new Error("nobody counts");
  }

  async note() {
    return this.files.note();
  }

  async close() {
    this.files.close();
  }
}

function dataDirectory() {
  const clock = createVirtualClock();
  const { journal } = createMemoryStorage({ clock });
  const directory = join(temporaryDirectory(), "audit");
  const warnings: string[] = [];
  const log = { ...silentLogger, warn: (_: object, text: string) => warnings.push(text) };
  async function start(given: { journal?: object } = {}) {
    const noted = await readNotes(journal);
    const { expected, note } = noted;
    const files = openFiles(directory, { expected, ...(note && { note }) });
    const options = { store: new FilesStore(files), journal: { ...methodsOf(journal), ...given.journal }, noted };
    const audit = new NotedAudit({ ...options, clock, log });
    return { audit, files, damage: await audit.open() };
  }
  /** The number of the record that is noted. */
  const noted = async () => (await readNotes(journal)).note?.sequence;
  const verify = async () => {
    const { expected, note } = await readNotes(journal);
    return verifyAudit(directory, { key, expected, ...(note && { note }) });
  };
  return { clock, journal, directory, warnings, start, noted, verify };
}

function methodsOf(journal: ReturnType<typeof createMemoryStorage>["journal"]) {
  return {
    append: (appends: readonly StreamAppend[]) => journal.append(appends),
    deleteStreams: (streams: readonly string[]) => journal.deleteStreams(streams),
  };
}

/** A log of eight records, whose journal notes them all, and what was there when there were four. */
async function written() {
  const data = dataDirectory();
  const first = await data.start();
  expect(first.damage).toBeUndefined();
  await first.audit.append(batch(4), 0);
  await first.audit.close();
  const older = `${data.directory}.older`;
  cpSync(data.directory, older, { recursive: true });
  const second = await data.start();
  expect(second.damage).toBeUndefined();
  await second.audit.append(batch(4), 0);
  await second.audit.close();
  expect(await data.noted()).toBe(8);
  return { ...data, older };
}

type Written = Awaited<ReturnType<typeof written>>;

describe("the journal's note of an audit log", () => {
  it("is written when a file is full, some seconds after a record, and at the end", async () => {
    const { clock, start, noted, journal } = dataDirectory();
    const { audit, files } = await start();
    expect(await noted()).toBeUndefined();
    await audit.append(batch(2), 0);
    await clock.advance(9_999);
    expect(await noted()).toBeUndefined();
    await clock.advance(1);
    expect(await noted()).toBe(2);
    const { openFile } = files;
    await audit.append(batch(20), 0);
    expect(files.openFile).not.toBe(openFile);
    await clock.advance(0);
    expect(await noted()).toBe(22);
    await audit.append(batch(1), 0);
    await audit.close();
    expect(await noted()).toBe(23);
    expect(await journal.listStreams(notePrefix, "", 10)).toHaveLength(1);
    // What is noted is not noted again.
    await (await start()).audit.close();
    expect(await journal.listStreams(notePrefix, "", 10)).toEqual([`${notePrefix}000000000003`]);
  });

  const attacks: [what: string, attack: (data: Written) => void, damage: RegExp][] = [
    ["that the whole log is gone", ({ directory }) => rmSync(directory, { recursive: true }), /is gone/],
    [
      "an older copy of the log in its place",
      ({ directory, older }) => {
        rmSync(directory, { recursive: true });
        cpSync(older, directory, { recursive: true });
      },
      /records 5 to 8 .*are missing/,
    ],
    [
      "an end that was cut off together with its checkpoint",
      ({ directory, older }) => {
        const [name = "", ...others] = auditFileNames(directory);
        for (const other of others) rmSync(join(directory, other));
        const path = join(directory, name);
        writeFileSync(path, readFileSync(path, "utf8").split("\n").slice(0, 4).join("\n").concat("\n"));
        cpSync(join(older, "head.json"), join(directory, "head.json"));
      },
      /records 5 to 8 .*are missing/,
    ],
    [
      "another log with the same key",
      ({ directory }) => {
        rmSync(directory, { recursive: true });
        const files = openFiles(directory);
        files.append(batch(9, 5_000), 0);
        files.close();
      },
      /record 8\b/,
    ],
    [
      "another log with the same key, where the record is in a file that is full",
      ({ directory }) => {
        rmSync(directory, { recursive: true });
        const files = openFiles(directory);
        for (let at = 0; at < 8; at++) files.append(batch(3, 5_000), 0);
        files.close();
      },
      /record 8\b/,
    ],
  ];
  it.each(attacks)("finds %s, at the next start and by verifying", async (_, attack, damage) => {
    const data = await written();
    attack(data);
    const { sound, problem } = await data.verify();
    expect([sound, problem?.message]).toEqual([false, expect.stringMatching(damage)]);
    const found = await data.start();
    expect(found.damage).toMatch(damage);
    await found.audit.append(batch(1), 0);
    await found.audit.close();
    expect(await data.verify()).toMatchObject({ sound: true, records: 1n, notedSequence: 1n });
  });

  const forgeries: [what: string, data: (note: AuditNote) => Uint8Array][] = [
    ["says less", ({ sha256, mac }) => note({ sequence: 4, sha256, mac })],
    ["is signed by nobody", ({ sequence, sha256 }) => note({ sequence, sha256, mac: new Uint8Array() })],
    ["cannot be read", () => Buffer.from([0xff])],
  ];
  it.each(forgeries)("is damage itself when it %s", async (_, forge) => {
    const data = await written();
    const before = await readNotes(data.journal);
    await data.journal.deleteStreams(before.streams);
    const stream = `${notePrefix}000000000009`;
    const records = [forge(before.note as AuditNote)];
    await data.journal.append([{ stream, expectedSequence: 0, records }]);
    expect((await data.verify()).problem?.message).toMatch(/the journal's note of it was changed/);
    const found = await data.start();
    expect(found.damage).toMatch(/the journal's note .* was changed, or signed with another key; it was set aside as/);
    // It is not about the new log, although a crash may leave it.
    expect(
      openFiles(data.directory, { expected: true, note: (await readNotes(data.journal)).note as AuditNote }).damage,
    ).toBe(found.damage);
    await found.audit.close();
  });

  it("is not missed in a log that was begun before there were notes", async () => {
    const { directory, journal, start, noted } = dataDirectory();
    const files = openFiles(directory);
    files.append(batch(3), 0);
    files.close();
    await journal.append([{ stream: "audit-log", expectedSequence: 0, records: [new Uint8Array([1])] }]);
    const { audit, damage } = await start();
    expect(damage).toBeUndefined();
    await audit.close();
    expect(await noted()).toBe(3);
  });

  it("is about records that retention has deleted, too", async () => {
    const { directory, start, verify, noted } = dataDirectory();
    const { audit } = await start();
    await audit.append(batch(3), 0);
    await audit.close();
    // Killed before it could note more.
    const files = openFiles(directory, { maxBytes: 1_000 });
    for (let at = 0; at < 9; at++) files.append(batch(3), 0);
    expect(await noted()).toBe(3);
    expect(await verify()).toMatchObject({ sound: true, notedSequence: 3n });
    expect(Number((await verify()).retiredThrough)).toBeGreaterThan(3);
    expect((await start()).damage).toBeUndefined();
  });

  it("never says more than a kill at any moment leaves", async () => {
    const data = dataDirectory();
    const moments: { readonly files: string; readonly options: Pick<VerifyAuditOptions, "expected" | "note"> }[] = [];
    /** As the process is killed there: with the note that is being written, and without. */
    const moment = async (...appends: readonly StreamAppend[]) => {
      const files = join(temporaryDirectory(), "audit");
      cpSync(data.directory, files, { recursive: true });
      const { expected, note: before } = await readNotes(data.journal);
      moments.push({ files, options: { expected, ...(before && { note: before }) } });
      for (const { stream, records } of appends) {
        if (!stream.startsWith(notePrefix)) continue;
        const copy = createMemoryStorage({ clock: data.clock }).journal;
        await copy.append([{ stream, expectedSequence: 0, records }]);
        const { note: after } = await readNotes(copy);
        const again = join(temporaryDirectory(), "audit");
        cpSync(data.directory, again, { recursive: true });
        moments.push({ files: again, options: { expected: true, ...(after && { note: after }) } });
      }
    };
    const { append, deleteStreams } = methodsOf(data.journal);
    const journal = {
      append: async (appends: readonly StreamAppend[]) => {
        await moment(...appends);
        await append(appends);
        await moment();
      },
      deleteStreams: async (streams: readonly string[]) => {
        await moment();
        await deleteStreams(streams);
      },
    };
    for (let start = 0; start < 3; start++) {
      const { audit, damage } = await data.start({ journal });
      expect(damage).toBeUndefined();
      for (let at = 0; at < 4; at++) {
        await audit.append(batch(3), 0);
        await moment();
        if (at === 1) await data.clock.advance(10_000);
      }
      if (start < 2) await audit.close();
    }
    await moment();
    expect(moments.length).toBeGreaterThan(30);
    for (const { files, options } of moments) {
      expect(verifyAudit(files, { key, ...options })).toMatchObject({ sound: true });
      const expected = options.expected ?? false;
      expect(openFiles(files, { expected, ...(options.note && { note: options.note }) }).damage).toBeUndefined();
    }
  });

  it("is told again with each start, and is no damage of the new log, until the damage is on record", async () => {
    const data = await written();
    rmSync(data.directory, { recursive: true });
    // Killed as soon as another log has begun, again and again, once with something else on record.
    const { expected, note: before } = await readNotes(data.journal);
    const open = () => openFiles(data.directory, { expected, ...(before && { note: before }) });
    const damage = open().damage ?? "";
    expect(damage).toMatch(/is gone/);
    expect(open().damage).toBe(damage);
    open().append(batch(2), 0);
    const third = open();
    expect(third.damage).toBe(damage);
    third.append(batch(1, 0, { action: damagedAction }), 0);
    expect(third.damage).toBeUndefined();
    expect(open().damage).toBeUndefined();
    expect(verifyAudit(data.directory, { key, expected, ...(before && { note: before }) })).toMatchObject({
      ...{ sound: true, records: 3n, notedSequence: 0n },
    });
    const next = await data.start();
    expect(next.damage).toBeUndefined();
    await next.audit.append(batch(1), 0);
    await next.audit.close();
    expect(await data.noted()).toBe(4);
  });

  it("waits for a journal that fails, and does not hold up the end", async () => {
    const { clock, warnings, start, noted } = dataDirectory();
    const failing = { append: () => Promise.reject(new Error("the disk is full")) };
    await (await start()).audit.close();
    const { audit } = await start({ journal: failing });
    await audit.append(batch(1), 0);
    await clock.advance(10_000);
    expect(warnings).toEqual([expect.stringMatching(/could not be noted in the journal/)]);
    // Again without another record.
    await clock.advance(10_000);
    expect(warnings).toHaveLength(2);
    await audit.append(batch(1), 0);
    await audit.close();
    expect(warnings).toHaveLength(3);
    expect(await noted()).toBeUndefined();
    const stuck = await start({ journal: { append: () => new Promise(() => undefined) } });
    await stuck.audit.append(batch(1), 0);
    const closed = stuck.audit.close();
    await clock.advance(1_000);
    await closed;
  });
});

function note({ sequence, sha256, mac }: AuditNote): Uint8Array {
  return toBinary(
    AuditLogNoteSchema,
    create(AuditLogNoteSchema, { time: {}, sequence: BigInt(sequence), sha256, mac }),
  );
}
