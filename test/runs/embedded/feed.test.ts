import { queryObjects } from "node:v8";
import { describe, expect, it } from "vitest";
import { createEmbeddedFeed } from "../../../src/runs/embedded/feed.ts";
import { describeFeed } from "../ports/feed-contract.ts";

describeFeed("the embedded feed", (onError) => createEmbeddedFeed({ onError }));

describe("createEmbeddedFeed", () => {
  it("forgets runs that nobody listens to any more", () => {
    const feed = createEmbeddedFeed({ onError: () => {} });
    const mapsAlive = () => Number(queryObjects(Map));
    const before = mapsAlive();
    const ends = Array.from({ length: 1000 }, (_, run) => feed.subscribe(`run ${run}`, () => {}));
    expect(mapsAlive() - before).toBeGreaterThanOrEqual(1000);
    for (const end of ends) {
      end();
    }

    expect(mapsAlive() - before).toBeLessThan(100);
    expect(feed.listeners("run 0")).toBe(0);
  });
});
