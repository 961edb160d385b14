import { describe, expect, test } from "vitest";
import { AuditBatch } from "../../../src/security/audit/audit-batch.ts";
import { chainLines, chainStart } from "../../../src/security/audit/audit-chain.ts";
import { encodeEntry } from "../../../src/security/audit/encode-entry.ts";
import type { AuditEvent } from "../../../src/security/index.ts";
import { alice, event, redactor } from "./logs.ts";

type Added = readonly [event: AuditEvent, timeMs: number, count: number];

function inBatch(added: readonly Added[], batch = new AuditBatch()): string {
  for (const one of added) batch.add(...one);
  return batch.take();
}

function records(batch: string): readonly string[] {
  return chainLines(batch, chainStart, redactor).lines;
}

function whole(added: readonly Added[]): readonly string[] {
  return records(added.map((one) => encodeEntry(...one)).join("\n"));
}

describe("a batch of audit events", () => {
  const bob = { ...alice, subject: "bob@example.com" };
  const various: Added[] = [
    [event({ details: { run: "r1" } }), 1, 1],
    [event({ details: { run: 'r"2"' } }), 2, 1],
    [event({ details: { run: "r3" }, principal: bob }), 3, 1],
    [event({ details: { run: "r4" }, source: "192.0.2.7:9" }), 4, 1],
    [event({ outcome: "failed", reason: "WHY" }), 5, 1],
    [event({ outcome: "failed", reason: "OTHER" }), 6, 1],
    [event(), 7, 3],
    [event({ details: { run: "r5", mail: "eve@example.com" }, principal: bob }), 8, 1],
    [event({ outcome: "failed", reason: "WHY", resource: "é.v1.Ü/Tu" }), 9, 1],
    [event(), 10, 1],
  ];

  test("makes the same records as whole lines do", () => {
    expect(records(inBatch(various))).toEqual(whole(various));
  });

  test("begins anew once it is taken", () => {
    const batch = new AuditBatch();
    inBatch(various, batch);
    expect([batch.count, batch.bytes]).toEqual([0, 0]);
    const more: Added[] = [[event({ details: { run: "r9" } }), 11, 1]];
    expect(records(inBatch(more, batch))).toEqual(whole(more));
  });

  test("says a fifth of what lines say that are alike", () => {
    const alike = Array.from(
      { length: 1000 },
      (_, index): Added => [event({ details: { run: `${index}` } }), index, 1],
    );
    const text = inBatch(alike);
    expect(text.length * 5).toBeLessThan(alike.map((one) => encodeEntry(...one)).join("\n").length);
    expect(records(text)).toEqual(whole(alike));
  });

  test("takes more kinds than it tells apart", () => {
    const many = Array.from({ length: 2500 }, (_, index): Added => [event({ source: `10.0.0.1:${index}` }), index, 1]);
    expect(records(inBatch([...many, ...many]))).toEqual(whole([...many, ...many]));
  });
});
