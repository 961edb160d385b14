import { describe, expect, it } from "vitest";
import { killRepeatedly } from "./kill/kill-repeatedly.ts";

describe("a server that is killed at 50 random moments under load", () => {
  it("keeps every promise that it has made", { timeout: 600_000 }, async () => {
    const ordeal = await killRepeatedly(50, 20_261_102);
    console.info(ordeal);
    expect(ordeal.kills.serving + ordeal.kills.starting).toBe(50);
    // Otherwise it was no ordeal.
    expect(ordeal.kills.serving).toBeGreaterThan(25);
    expect(ordeal.kills.starting).toBeGreaterThan(0);
    expect(ordeal.interruptions).toBeGreaterThan(50);
    expect(ordeal.resumedBetweenSteps).toBeGreaterThan(0);
    expect(ordeal.watchesResumed).toBeGreaterThan(0);
  });
});
