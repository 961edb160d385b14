import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fromJsonString, toJsonString } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { AuditRecordSchema } from "../../../gen/retake/v1/audit_pb.js";
import { auditFileNames } from "../../../src/security/audit/audit-files.ts";
import { damagedAction } from "../../../src/security/audit/audit-tally.ts";
import { encodeEntry } from "../../../src/security/audit/encode-entry.ts";
import { lineOfRecord, verifyAudit } from "../../../src/security/index.ts";
import { temporaryDirectory } from "../../runs/sqlite/temporary-directory.ts";
import { batch, event, key, openFiles } from "./logs.ts";

function linesOf(directory: string): string[] {
  return auditFileNames(directory).flatMap((name) => readFileSync(join(directory, name), "utf8").trimEnd().split("\n"));
}

describe("an audit log in files", () => {
  it("holds records as protobuf has them in JSON, readable by its owner only", () => {
    const directory = join(temporaryDirectory(), "audit");
    const files = openFiles(directory);
    files.append(
      encodeEntry(event({ reason: 'quoted "so"', details: { b: "2", a: "1" }, source: "192.0.2.7:9" }), 1_500, 3),
      0,
    );
    files.append(encodeEntry(event({ outcome: "denied", reason: "NO", action: "call" }), 2_000, 1), 0);
    files.close();
    const lines = linesOf(directory);
    expect(lines).toHaveLength(2);
    for (const line of lines) {
      const record = fromJsonString(AuditRecordSchema, line);
      expect(toJsonString(AuditRecordSchema, record)).toBe(line);
      expect(lineOfRecord(record)).toBe(line);
    }
    const [first, second] = lines.map((line) => JSON.parse(line));
    expect(first).toMatchObject({
      sequence: "1",
      time: "1970-01-01T00:00:01.500Z",
      subject: "alice",
      level: "ACCESS_LEVEL_PRIVILEGED",
      credential: "k1",
      details: { a: "1", b: "2" },
      count: "3",
    });
    expect(first.source).toMatch(/^ip:[0-9a-f]{16}$/);
    expect(second).toMatchObject({ sequence: "2", outcome: "AUDIT_OUTCOME_DENIED", reason: "NO", source: "127.0.0.1" });
    for (const name of readdirSync(directory)) expect(statSync(join(directory, name)).mode & 0o077).toBe(0);
    expect(statSync(directory).mode & 0o077).toBe(0);
  });

  it("goes on where it ended, in files of bounded size", () => {
    const directory = join(temporaryDirectory(), "audit");
    for (let start = 0; start < 5; start++) {
      const files = openFiles(directory);
      files.append(batch(4), 0);
      files.append(batch(4), 0);
      files.close();
    }
    expect(auditFileNames(directory).length).toBeGreaterThan(3);
    const result = verifyAudit(directory, { key });
    expect(result).toMatchObject({ sound: true, records: 40n, lastSequence: 40n, unsignedRecords: 0n });
  });

  it("takes up what a crash leaves: lines behind the checkpoint, half a line, a file that was just begun", () => {
    const directory = join(temporaryDirectory(), "audit");
    const files = openFiles(directory);
    files.append(batch(2), 0);
    const head = readFileSync(join(directory, "head.json"));
    files.append(batch(1), 0);
    files.close();
    writeFileSync(join(directory, "head.json"), head);
    const [name = ""] = auditFileNames(directory);
    appendFileSync(join(directory, name), '{"sequence":"4","ti');
    expect(verifyAudit(directory, { key })).toMatchObject({ sound: true, records: 3n, unsignedRecords: 1n });
    writeFileSync(join(directory, "0000000000000005.jsonl"), "");
    const again = openFiles(directory);
    expect(again.damage).toBeUndefined();
    again.append(batch(1), 0);
    again.close();
    expect(verifyAudit(directory, { key })).toMatchObject({ sound: true, records: 4n, unsignedRecords: 0n });
  });

  it("takes back what could not be written as a whole", () => {
    const directory = join(temporaryDirectory(), "audit");
    const files = openFiles(directory);
    files.append(batch(2), 0);
    // A folder in its place: the checkpoint cannot be written.
    const unfinished = join(directory, "head.json.new");
    mkdirSync(unfinished);
    expect(() => files.append(batch(2), 0)).toThrow();
    expect(linesOf(directory)).toHaveLength(2);
    expect(() => files.append(batch(20), 0)).toThrow();
    rmdirSync(unfinished);
    files.append(batch(3), 0);
    files.close();
    expect(verifyAudit(directory, { key })).toMatchObject({ sound: true, records: 5n });
  });

  it("sets aside what is not as its checkpoint says, and begins anew", () => {
    const directory = join(temporaryDirectory(), "audit");
    const files = openFiles(directory);
    files.append(batch(3), 0);
    files.close();
    const [name = ""] = auditFileNames(directory);
    const path = join(directory, name);
    writeFileSync(path, readFileSync(path, "utf8").split("\n").slice(0, 2).join("\n").concat("\n"));
    const again = openFiles(directory);
    expect(again.damage).toContain("record");
    expect(again.damage).toContain(`${directory}.damaged`);
    again.append(batch(1), 0);
    again.close();
    expect(verifyAudit(directory, { key })).toMatchObject({ sound: true, records: 1n });
    expect(verifyAudit(`${directory}.damaged`, { key })).toMatchObject({ sound: false });
  });

  it("takes no lines without a checkpoint, though their chain is whole", () => {
    const directory = join(temporaryDirectory(), "audit");
    const files = openFiles(directory);
    expect(verifyAudit(directory, { key })).toMatchObject({ sound: true, records: 0n, checkpointVerified: true });
    files.append(batch(3), 0);
    files.close();
    unlinkSync(join(directory, "head.json"));
    const again = openFiles(directory);
    expect(again.damage).toContain("has lost its checkpoint");
    expect(auditFileNames(`${directory}.damaged`)).toHaveLength(1);
    again.append(batch(1, 0, { action: damagedAction }), 0);
    again.close();
    expect(openFiles(directory, { expected: true }).damage).toBeUndefined();
  });

  it("says that it is gone where there has been one", () => {
    const directory = join(temporaryDirectory(), "audit");
    const files = openFiles(directory, { expected: true });
    expect(files.damage).toBe(`the audit log that was in ${directory} is gone`);
    files.append(batch(1), 0);
    files.close();
    expect(existsSync(`${directory}.damaged`)).toBe(false);
    expect(verifyAudit(directory, { key })).toMatchObject({ sound: true, records: 1n });
  });

  it.each([0, 1, 2])(
    "finds at its start that a line was changed in the file that it goes on with, as line %i",
    (at) => {
      const directory = join(temporaryDirectory(), "audit");
      const files = openFiles(directory);
      for (let part = 0; part < 4; part++) files.append(batch(3), 0);
      files.close();
      const names = auditFileNames(directory);
      expect(names.length).toBeGreaterThan(1);
      const path = join(directory, names.at(-1) ?? "");
      const lines = readFileSync(path, "utf8").split("\n");
      lines[at] = lines[at]?.replace("alice", "mallory") ?? "";
      writeFileSync(path, lines.join("\n"));
      expect(openFiles(directory).damage).toContain(path);
    },
  );

  it("finds at its start that an older file is missing", () => {
    const directory = join(temporaryDirectory(), "audit");
    const files = openFiles(directory);
    for (let part = 0; part < 4; part++) files.append(batch(3), 0);
    files.close();
    unlinkSync(join(directory, auditFileNames(directory)[0] ?? ""));
    expect(openFiles(directory).damage).toMatch(/^records 1 to \d+ of the audit log are missing; it was set aside/);
  });

  it("deletes whole files that are too old or too much, and what is left can be verified", () => {
    const directory = join(temporaryDirectory(), "audit");
    const day = 86_400_000;
    let files = openFiles(directory, { maxAgeMs: 10 * day });
    for (let at = 0; at < 30; at++) files.append(batch(3, at * day), at * day);
    files.close();
    const first = verifyAudit(directory, { key });
    expect(first).toMatchObject({ sound: true, lastSequence: 90n });
    expect(Number(first.retiredThrough)).toBeGreaterThanOrEqual(54);
    expect(Number(first.retiredThrough)).toBeLessThan(60);
    files = openFiles(directory, { maxBytes: 4_000 });
    for (let at = 0; at < 10; at++) files.append(batch(3, 30 * day), 30 * day);
    files.close();
    const bytes = auditFileNames(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
    expect(bytes).toBeLessThan(7_000);
    expect(verifyAudit(directory, { key })).toMatchObject({ sound: true, lastSequence: 120n });
  });

  it("is searched file by file, from either end", () => {
    const directory = join(temporaryDirectory(), "audit");
    const files = openFiles(directory);
    for (let at = 0; at < 10; at++) {
      files.append(batch(4, at * 1000, { resource: at % 2 === 0 ? "even" : "odd" }), 0);
    }
    const all = (oldestFirst: boolean, query = {}): number[] => {
      const found: number[] = [];
      let from: number | undefined;
      do {
        const slice = files.search(query, { oldestFirst, limit: 3, ...(from === undefined ? {} : { from }) });
        found.push(...slice.lines.map((line) => Number(JSON.parse(line).sequence)));
        from = slice.next;
      } while (from !== undefined);
      return found;
    };
    const numbers = Array.from({ length: 40 }, (_, index) => index + 1);
    expect(all(true)).toEqual(numbers);
    expect(all(false)).toEqual(numbers.toReversed());
    expect(all(true, { resource: "odd", sinceMs: 3000, untilMs: 5002 })).toEqual([13, 14, 15, 16, 21, 22]);
    expect(all(false, { resource: "odd", sinceMs: 3000, untilMs: 5002 })).toEqual([22, 21, 16, 15, 14, 13]);
    expect(all(true, { action: "run.*", subject: "alice" })).toHaveLength(40);
    expect(all(true, { action: "key.*" })).toEqual([]);
    let sum = 0;
    for (let from: number | undefined = 0; from !== undefined; ) {
      const { tally, next } = files.tally(2000, 4000, from);
      sum += tally.events;
      from = next;
    }
    expect(sum).toBe(8);
    files.close();
  });
});
