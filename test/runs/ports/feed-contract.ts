import { beforeEach, describe, expect, it } from "vitest";
import type { Feed, FeedHint } from "../../../src/runs/ports/feed.ts";

const hint = (lastSequence: number): FeedHint => ({ kind: "events", lastSequence });

/** What every feed has to hold, whatever it is made of. `settle` resolves when all that was published has arrived. */
export function describeFeed(
  name: string,
  create: (onError: (error: unknown, runId: string) => void) => Feed,
  settle: () => Promise<void> = async () => {},
): void {
  describe(`${name} as a feed`, () => {
    let errors: [unknown, string][];
    let feed: Feed;
    let heard: [string, FeedHint][];

    const listener = (name: string) => (hint: FeedHint) => {
      heard.push([name, hint]);
    };

    beforeEach(() => {
      errors = [];
      heard = [];
      feed = create((error, runId) => errors.push([error, runId]));
    });

    it("publishes to nobody without a complaint", async () => {
      feed.publish("run", hint(1));
      await settle();

      expect(feed.listeners("run")).toBe(0);
    });

    it("tells everybody who listens to the run, and nobody else", async () => {
      feed.subscribe("run", listener("a"));
      feed.subscribe("run", listener("b"));
      feed.subscribe("other", listener("c"));
      feed.publish("run", hint(1));
      await settle();

      expect(heard).toEqual([
        ["a", hint(1)],
        ["b", hint(1)],
      ]);
    });

    it("hands hints on as they are, in order", async () => {
      const hints: FeedHint[] = [hint(1), { kind: "update", attempt: 2, message: new Uint8Array([1, 2]) }, hint(2)];
      feed.subscribe("run", listener("a"));
      for (const one of hints) {
        feed.publish("run", one);
      }
      await settle();

      expect(heard.map(([, one]) => one)).toEqual(hints);
    });

    it("tells nobody what was published before", async () => {
      feed.publish("run", hint(1));
      await settle();
      feed.subscribe("run", listener("a"));
      feed.publish("run", hint(2));
      await settle();

      expect(heard).toEqual([["a", hint(2)]]);
    });

    it("ends a subscription for good, others stay", async () => {
      const endA = feed.subscribe("run", listener("a"));
      feed.subscribe("run", listener("b"));
      endA();
      endA();
      feed.publish("run", hint(1));
      await settle();

      expect(heard).toEqual([["b", hint(1)]]);
    });

    it("knows one listener that subscribes twice as two", async () => {
      const same = listener("a");
      const end = feed.subscribe("run", same);
      feed.subscribe("run", same);
      feed.publish("run", hint(1));
      end();
      feed.publish("run", hint(2));
      await settle();

      expect(heard.length).toBe(3);
    });

    it("counts those who listen", () => {
      const endA = feed.subscribe("run", listener("a"));
      const endB = feed.subscribe("run", listener("b"));
      expect(feed.listeners("run")).toBe(2);

      endA();
      endA();
      expect(feed.listeners("run")).toBe(1);
      endB();
      expect(feed.listeners("run")).toBe(0);
      feed.subscribe("run", listener("c"));
      endB();
      expect(feed.listeners("run")).toBe(1);
    });

    it("tells the others when a listener throws, and reports what it threw", async () => {
      const broken = new Error("broken listener");
      feed.subscribe("run", listener("a"));
      feed.subscribe("run", () => {
        throw broken;
      });
      feed.subscribe("run", listener("c"));
      feed.publish("run", hint(1));
      await settle();

      expect(heard.map(([name]) => name)).toEqual(["a", "c"]);
      expect(errors).toEqual([[broken, "run"]]);
    });

    it("lets listeners end subscriptions while they are told: those are told no more", async () => {
      const ends: (() => void)[] = [];
      ends.push(
        feed.subscribe("run", (hint) => {
          listener("a")(hint);
          ends[0]?.();
          ends[1]?.();
        }),
        feed.subscribe("run", listener("b")),
        feed.subscribe("run", listener("c")),
      );
      feed.publish("run", hint(1));
      feed.publish("run", hint(2));
      await settle();

      expect(heard).toEqual([
        ["a", hint(1)],
        ["c", hint(1)],
        ["c", hint(2)],
      ]);
    });

    it("lets listeners subscribe while they are told: the new ones hear the next hint", async () => {
      const again = (hint: FeedHint) => {
        heard.push(["again", hint]);
        feed.subscribe("run", again);
      };
      feed.subscribe("run", again);
      feed.publish("run", hint(1));
      await settle();
      expect(heard).toEqual([["again", hint(1)]]);

      feed.publish("run", hint(2));
      await settle();
      expect(heard.length).toBe(3);
    });

    it("lets the last listener leave and another one come while it is told", async () => {
      const end = feed.subscribe("run", (hint) => {
        listener("a")(hint);
        end();
        feed.subscribe("run", listener("b"));
      });
      feed.publish("run", hint(1));
      feed.publish("run", hint(2));
      await settle();

      expect(heard).toEqual([
        ["a", hint(1)],
        ["b", hint(2)],
      ]);
    });

    it("lets listeners publish while they are told", async () => {
      feed.subscribe("run", (one) => {
        listener("a")(one);
        if (one.kind === "events" && one.lastSequence === 1) {
          feed.publish("other", hint(7));
        }
      });
      feed.subscribe("other", listener("b"));
      feed.publish("run", hint(1));
      await settle();

      expect(heard).toEqual([
        ["a", hint(1)],
        ["b", hint(7)],
      ]);
    });
  });
}
