import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { systemRandom } from "../../../src/clock.ts";
import { payloadDigest } from "../../../src/runs/index.ts";
import { createMemoryStorage } from "../../../src/runs/memory/index.ts";
import { EncryptedPayloads, newKeyLine, readKeyRing } from "../../../src/security/index.ts";
import { seal, unseal } from "../../../src/security/payloads/cipher.ts";
import { createVirtualClock } from "../../../src/testing/index.ts";
import { temporaryDirectory } from "../../runs/sqlite/temporary-directory.ts";

const run = "0198c2a4-5b1e-7cc3-9b1e-4f0d2c6a7b8c";
const prompt = new TextEncoder().encode("\n\u0010a secret prompt");

async function open(given: { path?: string; all?: boolean; storage?: ReturnType<typeof createMemoryStorage> } = {}) {
  const clock = createVirtualClock();
  const path = given.path ?? join(temporaryDirectory(), "secrets", "payload.keys");
  const storage = given.storage ?? createMemoryStorage({ clock });
  const { journal, payloads } = storage;
  const encrypted = new EncryptedPayloads({
    ...{ journal, payloads, clock, all: given.all ?? false, plain: false },
    readKeys: (missing) => readKeyRing(path, systemRandom, missing),
    hasKeys: () => existsSync(path),
  });
  await encrypted.open(false);
  return { encrypted, storage, path };
}

describe("encrypted payloads", () => {
  it("are what is sensitive, or all; what is not is stored as it is, and needs no key", async () => {
    const { encrypted, storage, path } = await open();
    const plain = encrypted.put(run, prompt);
    expect(plain.sha256).toEqual(payloadDigest(prompt));
    expect(existsSync(path)).toBe(false);
    const { sha256 } = encrypted.put(run, prompt, { sensitive: true });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(sha256).not.toEqual(payloadDigest(prompt));
    await storage.journal.flush();
    const stored = await storage.payloads.get(run, sha256);
    expect(Buffer.from(stored ?? []).includes("secret prompt")).toBe(false);
    expect(await encrypted.get(run, sha256)).toEqual(Buffer.from(prompt));
    expect(await encrypted.get(run, plain.sha256)).toEqual(prompt);
    const all = await open({ all: true });
    expect(all.encrypted.put(run, prompt).sha256).not.toEqual(payloadDigest(prompt));
  });

  it("look the same for the same bytes, so that they can be compared, over rotations too", async () => {
    const { encrypted, storage, path } = await open();
    const first = encrypted.put(run, prompt, { sensitive: true }).sha256;
    expect(encrypted.put(run, prompt, { sensitive: true }).sha256).toEqual(first);
    const digest = encrypted.digest(prompt, true);
    expect(digest).not.toEqual(payloadDigest(prompt));
    expect(encrypted.digest(prompt, false)).toEqual(payloadDigest(prompt));
    await storage.journal.flush();
    writeFileSync(path, newKeyLine(systemRandom) + readFileSync(path, "utf8"));
    const rotated = await open({ path, storage });
    expect(rotated.encrypted.put(run, prompt, { sensitive: true }).sha256).not.toEqual(first);
    expect(await rotated.encrypted.get(run, first)).toEqual(Buffer.from(prompt));
    expect(rotated.encrypted.matches(first, prompt)).toBe(true);
    expect(rotated.encrypted.matches(first, prompt.subarray(1))).toBe(false);
    expect(rotated.encrypted.digest(prompt, true)).toEqual(digest);
  });

  it("need their keys at the start: a missing or another one is told, with what to do", async () => {
    const { encrypted, storage, path } = await open();
    encrypted.put(run, prompt, { sensitive: true });
    await storage.journal.flush();
    const text = readFileSync(path, "utf8");
    const elsewhere = join(temporaryDirectory(), "payload.keys");
    await expect(open({ path: elsewhere, storage })).rejects.toThrow(/is missing: payloads .* bring it back/);
    expect(existsSync(elsewhere)).toBe(false);
    writeFileSync(elsewhere, newKeyLine(systemRandom), { mode: 0o600 });
    await expect(open({ path: elsewhere, storage })).rejects.toThrow(/the key "\w+", .*, is not in the key file/);
    const [id = ""] = text.split(":");
    writeFileSync(elsewhere, newKeyLine(systemRandom).replace(/^\w+/, id), { mode: 0o600 });
    await expect(open({ path: elsewhere, storage })).rejects.toThrow(/in the key file is another one/);
    writeFileSync(elsewhere, `${newKeyLine(systemRandom)}${text}`);
    await expect(open({ path: elsewhere, storage })).resolves.toBeDefined();
  });

  it("put their key on record again, with the next of them, where that has failed", async () => {
    const storage = createMemoryStorage({ clock: createVirtualClock() });
    const append = vi.spyOn(storage.journal, "append").mockRejectedValueOnce(new Error("the disk is full"));
    const { encrypted, path } = await open({ storage });
    encrypted.put(run, prompt, { sensitive: true });
    await setImmediate();
    encrypted.put(run, prompt.subarray(1), { sensitive: true });
    encrypted.put(run, prompt.subarray(2), { sensitive: true });
    await storage.journal.flush();
    await setImmediate();
    encrypted.put(run, prompt.subarray(3), { sensitive: true });
    expect(append).toHaveBeenCalledTimes(2);
    const elsewhere = join(temporaryDirectory(), "payload.keys");
    await expect(open({ path: elsewhere, storage })).rejects.toThrow(/is missing/);
    // And counts on from there, when another key follows.
    writeFileSync(path, newKeyLine(systemRandom) + readFileSync(path, "utf8"));
    await open({ path, storage });
    await storage.journal.flush();
    const text = readFileSync(path, "utf8");
    writeFileSync(elsewhere, text.slice(text.indexOf("\n") + 1), { mode: 0o600 });
    await expect(open({ path: elsewhere, storage })).rejects.toThrow(/is not in the key file/);
  });

  it("are found out when they were swapped or changed", async () => {
    const { encrypted, storage } = await open();
    const { sha256 } = encrypted.put(run, prompt, { sensitive: true });
    await storage.journal.flush();
    const stored = (await storage.payloads.get(run, sha256)) ?? new Uint8Array();
    const changed = Uint8Array.from(stored);
    changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1;
    const forged = storage.payloads.put(run, changed).sha256;
    await storage.journal.flush();
    await expect(encrypted.get(run, forged)).rejects.toThrow(/is damaged: it was changed/);
  });

  it("keep handles of jobs to themselves, which are no payloads", async () => {
    const { encrypted } = await open();
    const kept = encrypted.sealHandle(prompt);
    expect(Buffer.from(kept).includes("secret")).toBe(false);
    expect(encrypted.openHandle(kept)).toEqual(Buffer.from(prompt));
    expect(encrypted.openHandle(prompt)).toBe(prompt);
  });

  it("come back as any bytes that they were, and under no other kind or key", () => {
    const directory = temporaryDirectory();
    const [one, other] = ["a", "b"].map((name) => readKeyRing(join(directory, name), systemRandom));
    if (one === undefined || other === undefined) throw new Error("there are two");
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const sealed = seal(bytes, one.current, "payload");
        expect(unseal(sealed, one, "payload")).toEqual(Buffer.from(bytes));
        // What `retake check` expects: 34 bytes and the key's id.
        expect(sealed.length - bytes.length).toBe(34 + one.current.id.length);
        expect(() => unseal(sealed, one, "checkpoint")).toThrow(/was changed/);
        expect(() => unseal(sealed, other, "payload")).toThrow(/not in the key file/);
        for (const length of [0, 5, 10, sealed.length - 1]) {
          expect(() => unseal(sealed.subarray(0, length), one, "payload")).toThrow();
        }
      }),
      { numRuns: 50 },
    );
  });

  it.each([
    ["nothing", "\n", /holds no key/],
    ["a line that is none", "k1:short\n", /line 1: is no key/],
    ["two of one id", `k1:${"A".repeat(43)}=\nk1:${"B".repeat(43)}=\n`, /line 2: there are two keys "k1"/],
  ])("are refused with a key file with %s", (_, text, message) => {
    const path = join(temporaryDirectory(), "keys");
    writeFileSync(path, text, { mode: 0o600 });
    expect(() => readKeyRing(path, systemRandom)).toThrow(message);
  });
});
