import { fromBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { ApiKeyEventSchema, ApiKeyState } from "../../../gen/retake/v1/api_key_pb.js";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import { type Journal, JournalUnavailableError, silentLogger } from "../../../src/runs/index.ts";
import { createMemoryStorage } from "../../../src/runs/memory/index.ts";
import { type ApiKeyInit, ApiKeys } from "../../../src/security/keys/api-keys.ts";
import { createSeededRandom, createVirtualClock, type VirtualClock } from "../../../src/testing/index.ts";

const minute = 60_000;
const day = 24 * 3_600_000;

const ana: ApiKeyInit = {
  label: "laptop",
  tenant: "studio",
  subject: "ana",
  level: AccessLevel.AUTHENTICATED,
  groups: ["artists"],
  workflows: [],
  requestedBy: "boss",
};
const admin: ApiKeyInit = { ...ana, subject: "ops", level: AccessLevel.ADMIN };

interface Site {
  readonly keys: ApiKeys;
  readonly clock: VirtualClock;
  readonly journal: Journal;
  /** Lets what was asked for become durable. */
  settle<T>(change: Promise<T>): Promise<T>;
  restart(): Promise<Site>;
}

let seed = 1;

async function openKeys(
  clock = createVirtualClock(),
  journal: Journal = createMemoryStorage({ clock }).journal,
): Promise<Site> {
  const keys = new ApiKeys({ journal, clock, random: createSeededRandom(seed++), log: silentLogger });
  const settle = async <T>(change: Promise<T>): Promise<T> => {
    const [result] = await Promise.all([Promise.allSettled([change]), clock.advance(0)]);
    if (result[0].status === "rejected") throw result[0].reason;
    return result[0].value;
  };
  await settle(keys.open());
  return { keys, clock, journal, settle, restart: () => openKeys(clock, journal) };
}

async function streamsOf({ journal, settle }: Site, prefix: string): Promise<readonly string[]> {
  return settle(journal.listStreams(prefix, "", 1000));
}

describe("the store of API keys", () => {
  it("knows a key by its text alone, with all that it was made with, over a restart too", async () => {
    const before = await openKeys();
    const { text, record } = await before.settle(before.keys.create({ ...ana, workflows: ["a.B/C"] }));
    for (const { keys } of [before, await before.restart()]) {
      expect(keys.verify(record.id, text)?.principal).toEqual({
        tenant: "studio",
        subject: "ana",
        level: AccessLevel.AUTHENTICATED,
        groups: ["artists"],
        authentication: "api_key",
        credential: record.id,
        isCurrent: expect.any(Function),
        workflows: new Set(["a.B/C"]),
      });
      expect(
        keys.verify(
          record.id,
          text.replace(/.$/, (last) => (last === "a" ? "b" : "a")),
        ),
      ).toBeUndefined();
      expect(keys.verify("00000000000", text)).toBeUndefined();
      expect(keys.list()).toMatchObject([{ label: "laptop", createdBy: "boss" }]);
    }
  });

  it("has nothing of a key in the journal but its id and a digest", async () => {
    const site = await openKeys();
    const { text, record } = await site.settle(site.keys.create(ana));
    const [stream = ""] = await streamsOf(site, "api-key/");
    const [first] = await site.settle(site.journal.read(stream, 0, 10));
    const data = Buffer.from(first?.data ?? new Uint8Array());
    for (let index = 16; index + 8 <= text.length; index++)
      expect(data.includes(text.slice(index, index + 8))).toBe(false);
    expect(fromBinary(ApiKeyEventSchema, data).event).toMatchObject({
      case: "created",
      value: { digest: record.digest },
    });
  });

  it("takes a key until its time is over, and no moment longer", async () => {
    const { keys, clock, settle } = await openKeys();
    const { text, record } = await settle(keys.create({ ...ana, ttlMs: day }));
    await clock.advance(day - 1);
    expect([keys.verify(record.id, text)?.id, record.state(clock.now())]).toEqual([record.id, ApiKeyState.ACTIVE]);
    await clock.advance(1);
    expect([keys.verify(record.id, text), record.state(clock.now())]).toEqual([undefined, ApiKeyState.EXPIRED]);
  });

  it("takes both keys while a rotation overlaps, then the new one, over a restart too", async () => {
    const before = await openKeys();
    const old = await before.settle(before.keys.create(ana));
    await before.clock.advance(day);
    const made = await before.settle(before.keys.rotate(old.record.id, { overlapMs: 2 * day, requestedBy: "boss" }));
    const after = await before.restart();
    const taken = () =>
      [before, after].flatMap(({ keys }) => [old, made].map(({ text, record }) => keys.verify(record.id, text)?.id));
    const both = [old.record.id, made.record.id];
    expect(made.record).toMatchObject({ replaces: old.record.id, label: "laptop" });
    expect(made.record.principal).toEqual({
      ...old.record.principal,
      credential: made.record.id,
      isCurrent: expect.any(Function),
    });
    expect(after.keys.get(old.record.id)?.state(after.clock.now())).toBe(ApiKeyState.ROTATING);
    await before.clock.advance(2 * day - 1);
    expect(taken()).toEqual([...both, ...both]);
    await before.clock.advance(1);
    expect(taken()).toEqual([undefined, made.record.id, undefined, made.record.id]);
    expect(after.keys.get(old.record.id)?.state(after.clock.now())).toBe(ApiKeyState.EXPIRED);
  });

  it("tells those who have shown a key when it is revoked, over, or rotated out", async () => {
    const { keys, clock, settle } = await openKeys();
    const revoked = await settle(keys.create(ana));
    const expiring = await settle(keys.create({ ...ana, ttlMs: day }));
    const old = await settle(keys.create(ana));
    const made = await settle(keys.rotate(old.record.id, { overlapMs: 2 * day, requestedBy: "boss" }));
    const principals = [revoked, expiring, old, made].map(({ record }) => record.principal);
    const current = () => principals.map(({ isCurrent }) => isCurrent?.());
    expect(current()).toEqual([true, true, true, true]);
    await settle(keys.revoke(revoked.record.id, { requestedBy: "boss", reason: "", force: true }));
    expect(current()).toEqual([false, true, true, true]);
    await clock.advance(day);
    expect(current()).toEqual([false, false, true, true]);
    await clock.advance(day);
    expect(current()).toEqual([false, false, false, true]);
  });

  it("gives a key in the place of another the lifetime of that one, and lets no overlap outlive it", async () => {
    const { keys, clock, settle } = await openKeys();
    const old = await settle(keys.create({ ...ana, ttlMs: 10 * day }));
    await clock.advance(9 * day);
    const made = await settle(keys.rotate(old.record.id, { overlapMs: 5 * day, requestedBy: "boss" }));
    expect(made.record.expiresMs).toBe(clock.now() + 10 * day);
    expect(made.replaced.usableUntilMs).toBe(clock.now() + day);
    const short = await settle(keys.rotate(made.record.id, { overlapMs: 0, ttlMs: minute, requestedBy: "boss" }));
    expect(short.record.expiresMs).toBe(clock.now() + minute);
    expect(keys.verify(made.record.id, made.text)).toBeUndefined();
  });

  it("refuses a key from its revocation on, for good", async () => {
    const before = await openKeys();
    const { text, record } = await before.settle(before.keys.create(ana));
    const revocation = { requestedBy: "boss", reason: "lost", force: false };
    await before.settle(before.keys.revoke(record.id, revocation));
    const again = await before.settle(before.keys.revoke(record.id, { ...revocation, reason: "other" }));
    expect(again.revoked).toEqual({ atMs: before.clock.now(), by: "boss", reason: "lost" });
    for (const { keys } of [before, await before.restart()]) {
      expect(keys.verify(record.id, text)).toBeUndefined();
      expect(keys.get(record.id)?.state(before.clock.now())).toBe(ApiKeyState.REVOKED);
    }
    await expect(
      before.settle(before.keys.rotate(record.id, { overlapMs: 0, requestedBy: "b" })),
    ).rejects.toMatchObject({
      reason: "ended",
    });
  });

  it("keeps a last admin key, unless it is forced", async () => {
    const { keys, clock, settle } = await openKeys();
    const revocation = { requestedBy: "boss", reason: "", force: false };
    const first = await settle(keys.create(admin));
    await settle(keys.create(ana));
    await settle(keys.create({ ...admin, workflows: ["a.B/C"] }));
    await settle(keys.create({ ...admin, ttlMs: minute }));
    await clock.advance(minute);
    await expect(settle(keys.revoke(first.record.id, revocation))).rejects.toMatchObject({ reason: "last_admin" });
    const second = await settle(keys.create(admin));
    await settle(keys.revoke(first.record.id, revocation));
    const both = [
      keys.revoke(second.record.id, revocation),
      keys.revoke(second.record.id, { ...revocation, force: true }),
    ];
    expect(await settle(Promise.allSettled(both))).toMatchObject([{ status: "rejected" }, { status: "fulfilled" }]);
  });

  it("does not take one of two that are revoked at once for the other's reserve", async () => {
    const { keys, settle } = await openKeys();
    const [a, b] = [await settle(keys.create(admin)), await settle(keys.create(admin))];
    const revoked = [a, b].map(({ record }) => keys.revoke(record.id, { requestedBy: "x", reason: "", force: false }));
    const results = await settle(Promise.allSettled(revoked));
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
  });

  it("rotates a key once: the next time it is the turn of the one in its place", async () => {
    const { keys, settle } = await openKeys();
    const { record } = await settle(keys.create(ana));
    await settle(keys.rotate(record.id, { overlapMs: day, requestedBy: "boss" }));
    await expect(settle(keys.rotate(record.id, { overlapMs: day, requestedBy: "boss" }))).rejects.toMatchObject({
      reason: "replaced",
    });
    await expect(settle(keys.rotate("nobody", { overlapMs: day, requestedBy: "boss" }))).rejects.toMatchObject({
      reason: "unknown",
    });
  });

  it("takes no key that the journal does not", async () => {
    const { keys, clock, settle, journal } = await openKeys();
    const { append } = journal;
    journal.append = () => Promise.reject(new JournalUnavailableError("the disk is away"));
    await expect(settle(keys.create(ana))).rejects.toThrow("the disk is away");
    expect(keys.size).toBe(0);
    journal.append = append;
    const { text, record } = await settle(keys.create(ana));
    journal.append = () => Promise.reject(new JournalUnavailableError("the disk is away"));
    await expect(settle(keys.revoke(record.id, { requestedBy: "x", reason: "", force: true }))).rejects.toThrow(
      "the disk is away",
    );
    expect(keys.verify(record.id, text)?.state(clock.now())).toBe(ApiKeyState.ACTIVE);
  });

  it("stores when keys were used last together, seldom, and in bounded space", async () => {
    const site = await openKeys();
    const { keys, clock, settle, journal } = site;
    const { record } = await settle(keys.create(ana));
    let appends = 0;
    const { append } = journal;
    journal.append = (...given) => {
      appends++;
      return append.apply(journal, given);
    };
    for (let second = 0; second < 600; second++) {
      for (let call = 0; call < 10; call++) keys.used(record, clock.now());
      await clock.advance(1000);
    }
    expect(appends).toBe(2);
    for (let round = 0; round < 450; round++) {
      keys.used(record, clock.now());
      await clock.advance(6 * minute);
    }
    const [stream = "", ...others] = await streamsOf(site, "api-key-use/");
    expect(others).toEqual([]);
    expect((await settle(journal.read(stream, 0, 1000))).length).toBeLessThanOrEqual(200);
    keys.used(record, clock.now());
    const usedMs = clock.now();
    await settle(keys.close());
    const after = await site.restart();
    expect(after.keys.get(record.id)?.lastUsedMs).toBe(usedMs);
  });

  it("lets keys that ended long ago go at a start, and their uses with them", async () => {
    const before = await openKeys();
    const old = await before.settle(before.keys.create({ ...ana, ttlMs: day }));
    const kept = await before.settle(before.keys.create(ana));
    before.keys.used(old.record, before.clock.now());
    await before.clock.advance(92 * day);
    const after = await before.restart();
    expect(after.keys.list().map(({ id }) => id)).toEqual([kept.record.id]);
    expect(await streamsOf(after, "api-key/")).toEqual([`api-key/${kept.record.id}`]);
  });
});
