import { rm } from "node:fs/promises";
import { expect, it, onTestFinished, vi } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import { payloadDigest } from "../../../src/runs/ports/payloads.ts";
import { openSqliteStorage } from "../../../src/runs/sqlite/index.ts";
import { settled } from "../ports/storage-harness.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

vi.mock("node:fs/promises", async (original) => {
  const real = await original<typeof import("node:fs/promises")>();
  return { ...real, rm: vi.fn(real.rm) };
});

it("a file that is being removed is written anew for whoever puts the same bytes meanwhile", async () => {
  const large = new Uint8Array(300_000);
  const { payloads, close } = openSqliteStorage({ directory: temporaryDirectory(), clock: systemClock });
  onTestFinished(close);
  await payloads.put("old", large).stored;

  const removal = Promise.withResolvers<void>();
  const real = vi.mocked(rm).getMockImplementation();
  const begun = new Promise<void>((resolve) => {
    vi.mocked(rm).mockImplementationOnce(async (path, options) => {
      resolve();
      await removal.promise;
      await real?.(path, options);
    });
  });
  const deleting = payloads.deleteRuns(["old"]);
  await begun;
  const { stored } = payloads.put("new", large);
  expect(await settled(stored ?? Promise.resolve())).toBe("open");
  removal.resolve();
  await Promise.all([deleting, stored]);

  expect((await payloads.get("new", payloadDigest(large)))?.length).toBe(large.length);
});
