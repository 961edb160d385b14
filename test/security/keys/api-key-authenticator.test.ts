import { hash, timingSafeEqual } from "node:crypto";
import { Code } from "@connectrpc/connect";
import { describe, expect, it, vi } from "vitest";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import { silentLogger } from "../../../src/runs/index.ts";
import { createMemoryStorage } from "../../../src/runs/memory/index.ts";
import { ApiKeyAuthenticator } from "../../../src/security/keys/api-key-authenticator.ts";
import { ApiKeys } from "../../../src/security/keys/api-keys.ts";
import { createKey } from "../../../src/security/keys/key-format.ts";
import { createSeededRandom, createVirtualClock } from "../../../src/testing/index.ts";

vi.mock("node:crypto", { spy: true });

const random = createSeededRandom(5);

async function start() {
  const clock = createVirtualClock();
  const { journal } = createMemoryStorage({ clock });
  const keys = new ApiKeys({ journal, clock, random, log: silentLogger });
  const settle = async <T>(change: Promise<T>): Promise<T> => {
    const [result] = await Promise.all([change, clock.advance(0)]);
    return result;
  };
  const create = (ttlMs?: number) =>
    settle(
      keys.create({
        ...{ label: "", tenant: "default", subject: "ana", groups: [], workflows: [], requestedBy: "boss" },
        level: AccessLevel.PRIVILEGED,
        ...(ttlMs === undefined ? {} : { ttlMs }),
      }),
    );
  const authenticator = new ApiKeyAuthenticator({ keys, clock });
  const show = (apiKey: string) => authenticator.authenticate({ apiKey, any: true, source: "", lockedOut: false });
  const refusal = (text: string) => {
    try {
      return show(text);
    } catch (error) {
      const { code, rawMessage, details } = error as { code: Code; rawMessage: string; details: { value: object }[] };
      return { code: Code[code], rawMessage, details: details.map(({ value }) => value) };
    }
  };
  return { clock, keys, create, show, refusal, settle, authenticator };
}

/** Keys that are revoked and that are over, of each one that was shown while it was right. */
async function endedKeys({ clock, keys, create, show, settle }: Awaited<ReturnType<typeof start>>) {
  const [revoked, seenRevoked] = [await create(), await create()];
  const [expired, seenExpired] = [await create(10), await create(10)];
  show(seenRevoked.text);
  show(seenExpired.text);
  for (const { record } of [revoked, seenRevoked]) {
    await settle(keys.revoke(record.id, { requestedBy: "boss", reason: "", force: true }));
  }
  await clock.advance(10);
  return [revoked, seenRevoked, expired, seenExpired];
}

describe("an authenticator by API keys", () => {
  it("knows a key by bearer token and by x-api-key, the first time and from then on", async () => {
    const { create, authenticator } = await start();
    const { text, record } = await create();
    for (const shown of [{ bearer: text }, { apiKey: text }, { apiKey: text }]) {
      expect(authenticator.authenticate({ ...shown, any: true, source: "", lockedOut: true })).toBe(record.principal);
    }
    expect(authenticator.authenticate({ any: false, source: "", lockedOut: false })).toBeUndefined();
    expect(
      authenticator.authenticate({ bearer: "eyJ.e30.x", any: true, source: "", lockedOut: false }),
    ).toBeUndefined();
  });

  it("refuses what never was, is revoked or is over in the same words, known to it before or not", async () => {
    const started = await start();
    const { refusal } = started;
    const ended = await endedKeys(started);
    const unknown = refusal(createKey(random).text);
    expect(unknown).toMatchObject({ code: "Unauthenticated", details: [{ reason: "CREDENTIALS_REFUSED" }] });
    for (const { text } of ended) expect(refusal(text)).toEqual(unknown);
  });

  it("does the same work for a key that never was, is forged, revoked, over or right", async () => {
    const started = await start();
    const { create, show, refusal } = started;
    const right = await create();
    const ended = await endedKeys(started);
    const workFor = (text: string, showIt: (text: string) => unknown) => {
      for (const counted of [hash, timingSafeEqual]) vi.mocked(counted).mockClear();
      const lookUps = vi.spyOn(Map.prototype, "get");
      try {
        showIt(text);
        return {
          lookUps: lookUps.mock.calls.length,
          digested: vi.mocked(hash).mock.calls.map(([algorithm, data]) => [algorithm, String(data).length]),
          compared: vi.mocked(timingSafeEqual).mock.calls.map(([a, b]) => [a.byteLength, b.byteLength]),
        };
      } finally {
        lookUps.mockRestore();
      }
    };
    // One look-up among those that were right before, and one among all keys.
    const work = { lookUps: 2, digested: [["sha256", right.text.length]], compared: [[32, 32]] };
    const refused = [createKey(random).text, forge(right.record.id), ...ended.map(({ text }) => text)];
    for (const text of refused) expect(workFor(text, refusal)).toEqual(work);
    expect(workFor(right.text, show)).toEqual(work);
  });

  it("refuses the id of one key with the secret of another", async () => {
    const { create, refusal } = await start();
    const { record } = await create();
    const forged = forge(record.id);
    expect(refusal(forged)).toMatchObject({ details: [{ reason: "CREDENTIALS_REFUSED" }] });
  });

  it("says of a key whose checksum is wrong that it is none, whatever its id", async () => {
    const { create, refusal } = await start();
    const { text } = await create();
    for (const right of [text, createKey(random).text]) {
      const typo = right.replace(/.$/, (last) => (last === "0" ? "1" : "0"));
      expect(refusal(typo)).toMatchObject({ details: [{ reason: "API_KEY_MISTYPED" }] });
    }
  });
});

/** A well-formed key with that id, and a secret of its own. */
function forge(id: string): string {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE([...id].reduce((sum, digit) => sum * 62n + BigInt(alphabet.indexOf(digit)), 0n));
  const { id: made, text } = createKey({
    next: () => 0,
    fill: (filled) => (filled.length === 8 ? filled.set(bytes) : filled.fill(7)),
  });
  expect(made).toBe(id);
  return text;
}

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
