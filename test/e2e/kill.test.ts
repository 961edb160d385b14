import { describe, expect, it } from "vitest";
import { killRepeatedly } from "./kill/kill-repeatedly.ts";

describe("a server that is killed under load", () => {
  it("keeps every promise that it has made", { timeout: 120_000 }, async () => {
    const ordeal = await killRepeatedly(3, 20_261_101);
    expect(ordeal.kills.serving + ordeal.kills.starting).toBe(3);
    // Otherwise it was no ordeal.
    expect(ordeal.interruptions).toBeGreaterThan(0);
    expect(ordeal.watchesResumed).toBeGreaterThan(0);
  });
});
