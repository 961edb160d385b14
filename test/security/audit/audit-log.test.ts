import { describe, expect, it } from "vitest";
import { AuditOutcome, type AuditRecord } from "../../../gen/retake/v1/audit_pb.js";
import { silentLogger } from "../../../src/runs/index.ts";
import { AuditLog, type AuditLogOptions } from "../../../src/security/audit/audit-log.ts";
import { MemoryAuditStore } from "../../../src/security/audit/memory-audit-store.ts";
import { createVirtualClock } from "../../../src/testing/index.ts";
import { event, redactor } from "./logs.ts";

class FailingStore extends MemoryAuditStore {
  fails = false;
  appends = 0;

  override async append(batch: string) {
    this.appends++;
    if (this.fails) throw new Error("the disk is full");
    return super.append(batch);
  }
}

function open(given: Partial<AuditLogOptions> = {}) {
  const clock = createVirtualClock();
  const store = new FailingStore(redactor);
  const told: string[] = [];
  const log = new AuditLog({
    ...{ store, clock, except: [], reads: false, maxDelayMs: 1000, maxWaiting: 2000, refuseOnFailure: false },
    ...{ sinks: [], log: { ...silentLogger, error: (_: object, message: string) => told.push(message) } },
    ...given,
  });
  const all = async () => (await log.list({}, { oldestFirst: true, limit: 10_000 })).records;
  return { clock, store, log, told, all };
}

describe("AuditLog", () => {
  it("writes what is recorded together, after the delay", async () => {
    const { clock, store, log } = open();
    for (let at = 0; at < 100; at++) log.record(event());
    await clock.advance(999);
    expect(store.appends).toBe(0);
    await clock.advance(1);
    expect(store.appends).toBe(1);
    log.record(event());
    await clock.advance(1000);
    expect(store.appends).toBe(2);
  });

  it("leaves out what it is told to", async () => {
    const { log, all } = open({ except: ["run.*", "quality.set"] });
    for (const action of ["run.start", "run.cancel", "quality.set", "quality.setting", "runs.cancel"]) {
      log.record(event({ action }));
    }
    expect((await all()).map(({ action }) => action)).toEqual(["quality.setting", "runs.cancel"]);
  });

  it("counts denials that are alike, and bounds how many kinds it tells apart", async () => {
    const { log, all } = open();
    const denied = event({ action: "call", outcome: "denied", reason: "NO" });
    for (let at = 0; at < 5000; at++) log.record({ ...denied, source: `192.0.2.${at % 2}:${at}` });
    expect((await all()).map(({ count }) => count)).toEqual([2500n, 2500n]);
    for (let at = 0; at < 5000; at++) log.record({ ...denied, resource: `${at}` });
    const records = (await all()).slice(2);
    expect(records).toHaveLength(501);
    expect(records.reduce((sum, { count }) => sum + Number(count || 1n), 0)).toBe(5000);
    const { denied: sum, deniedAccess } = await log.tally(0, Number.POSITIVE_INFINITY);
    expect(sum).toBe(10_000);
    expect(deniedAccess.size).toBe(503);
  });

  it("bounds how many it tells apart however many actions and reasons there are", async () => {
    const { log, all } = open();
    for (let at = 0; at < 5000; at++) {
      log.record(event({ action: "call", outcome: "denied", reason: `R${at}`, resource: `${at}` }));
    }
    log.record(event({ action: "call", outcome: "denied", reason: "R501", resource: "again" }));
    const records = await all();
    expect(records).toHaveLength(601);
    expect(records.reduce((sum, { count }) => sum + Number(count || 1n), 0)).toBe(5001);
    expect(records.at(-1)).toMatchObject({ action: "audit.others", reason: "", count: 4400n });
  });

  it("keeps records while they cannot be written, counts those that are too many, and puts that on record", async () => {
    const { clock, store, log, told, all } = open();
    store.fails = true;
    log.record(event({ resource: "first" }));
    await clock.advance(1000);
    expect(log.failure).toBe("the disk is full");
    expect(log.refuses).toBe(false);
    for (let at = 0; at < 2500; at++) log.record(event());
    await clock.advance(10_000);
    expect(log.lost).toBe(501);
    expect(told).toHaveLength(1);
    store.fails = false;
    await clock.advance(3000);
    expect(log.failure).toBeUndefined();
    const records = await all();
    expect(records).toHaveLength(2001);
    expect(records[0]?.resource).toBe("first");
    expect(records.at(-1)).toMatchObject({ action: "audit.lose", outcome: AuditOutcome.FAILED, subject: "server" });
    expect(records.at(-1)?.details).toEqual({ records: "501" });
    expect((await log.tally(0, Number.POSITIVE_INFINITY)).lost).toBe(501);
  });

  it("refuses while it cannot write, where that is wanted", async () => {
    const { clock, store, log } = open({ refuseOnFailure: true });
    store.fails = true;
    log.record(event());
    await clock.advance(1000);
    expect(log.refuses).toBe(true);
    store.fails = false;
    await clock.advance(1000);
    expect(log.refuses).toBe(false);
  });

  it("gives what is durable to its sinks", async () => {
    const seen: AuditRecord[] = [];
    const { clock, store, log } = open({ sinks: [{ write: (records) => seen.push(...records) }] });
    store.fails = true;
    log.record(event());
    await clock.advance(1500);
    expect(seen).toEqual([]);
    store.fails = false;
    await clock.advance(1000);
    expect(seen).toHaveLength(1);
    expect(seen[0]).toMatchObject({ sequence: 1n, action: "run.start", subject: "alice" });
  });

  it("does not wait for what is recorded while it writes", async () => {
    let more = 100;
    const { store, log } = open({
      sinks: [{ write: () => void (more-- > 0 && log.record(event({ resource: "meanwhile" }))) }],
    });
    log.record(event());
    await log.flush();
    expect(store.appends).toBe(1);
    log.record(event({ resource: "last" }));
    const both = Promise.all([log.flush(), log.flush()]);
    log.record(event({ resource: "late" }));
    await both;
    expect(store.appends).toBe(2);
    const { records } = await log.list({}, { oldestFirst: true, limit: 10 });
    expect(records.map(({ resource }) => resource).slice(2)).toEqual(["last", "late", "meanwhile"]);
  });

  it("writes to the end when it is closed", async () => {
    const { store, log, told } = open();
    log.record(event());
    await log.close();
    log.record(event());
    expect(store.appends).toBe(1);
    const other = open();
    other.store.fails = true;
    other.log.record(event());
    await other.log.close();
    expect(other.told.at(-1)).toContain("are lost");
    expect(told).toEqual([]);
  });
});
