import { describe, expect, it } from "vitest";
import type { AuditKind } from "../../../src/security/audit/audit-entry.ts";
import { OtlpAuditWriter } from "../../../src/security/audit/audit-otlp.ts";
import { insideOf } from "../../otlp/as-record.ts";
import { requestFields } from "../../otlp/request-fields.ts";

function kindOf(subject: string): AuditKind {
  return {
    ...{ action: "run.start", outcome: "granted", tenant: "default", subject, level: "ADMIN" },
    ...{ authentication: "api_key", credential: "", resource: "films.v1.Films/Draw", source: "127.0.0.1", reason: "" },
  };
}

/** The times of records, and what is in them beside. */
function read(writer: OtlpAuditWriter) {
  const { bytes, ends } = writer.take();
  return Array.from(ends, (end, index) => {
    const record = insideOf(bytes.subarray(ends[index - 1] ?? 0, end));
    const fields = requestFields(record, 4);
    const texts = Buffer.from(record).toString("latin1");
    const timesOf = (wanted: number) =>
      fields
        .filter(([field]) => field === wanted)
        .map(([, hex]) => Number(Buffer.from(String(hex), "hex").readBigUInt64LE() / 1_000_000n));
    return { times: [...timesOf(1), ...timesOf(11)], texts };
  });
}

/** A small number, behind its attribute's name: in an AnyValue of two bytes. */
function numberBehind(texts: string, name: string): number {
  const at = texts.indexOf(name) + name.length;
  expect([...texts.slice(at, at + 3)].map((byte) => byte.charCodeAt(0))).toEqual([0x12, 2, 0x18]);
  return texts.charCodeAt(at + 3);
}

describe("records of the audit log, as they are exported", () => {
  it("have each their own time, number, count and details, though they are alike otherwise", () => {
    const [anna, ben] = [kindOf("anna"), kindOf("ben")];
    const writer = new OtlpAuditWriter(1);
    writer.add(anna, { timeMs: 1_000, details: { runId: "first" }, count: 1 }, 1);
    writer.add(ben, { timeMs: 1_000, details: { runId: "second" }, count: 1 }, 2);
    writer.add(anna, { timeMs: 1_000, details: {}, count: 3 }, 3);
    writer.add(anna, { timeMs: 2_000, details: { runId: "fourth", key: "it" }, count: 1 }, 4);
    writer.add(ben, { timeMs: 2_000, details: { runId: "fifth" }, count: 1 }, 5);
    const records = read(writer);
    expect(records.map(({ times }) => times)).toEqual(
      [1, 1, 1, 2, 2].map((second) => [second * 1_000, second * 1_000]),
    );
    const who = records.map(({ texts }) => /anna|ben/.exec(texts)?.[0]);
    expect(who).toEqual(["anna", "ben", "anna", "anna", "ben"]);
    const run = records.map(({ texts }) => /first|second|fourth|fifth/.exec(texts)?.[0]);
    expect(run).toEqual(["first", "second", undefined, "fourth", "fifth"]);
    const numbered = records.map(({ texts }) => numberBehind(texts, "retake.audit.sequence"));
    expect(numbered).toEqual([1, 2, 3, 4, 5]);
    const counted = records.map(({ texts }) => numberBehind(texts, "retake.audit.count"));
    expect(counted).toEqual([1, 1, 3, 1, 1]);
    expect(records[3]?.texts).toContain("retake.audit.details.key");
  });

  it("have nothing of what was written before behind them", () => {
    const writer = new OtlpAuditWriter(1_000_000);
    writer.add(kindOf("anna"), { timeMs: 1_000, details: {}, count: 1 }, 1);
    expect(writer.take().bytes.buffer.byteLength).toBeLessThan(1_000);
  });
});
