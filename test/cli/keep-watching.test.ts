import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { keepWatching } from "../../src/cli/keep-watching.ts";
import { createVirtualClock } from "../../src/testing/virtual-clock.ts";
import { createIo } from "./harness.ts";

const away = () => new ConnectError("nobody there", Code.Unavailable);

/** Streams in turn, each with what it tells before it fails, or ends; then the user interrupts. */
function setUp(...streams: readonly (readonly [updates: readonly number[], error?: Error])[]) {
  const clock = createVirtualClock();
  const test = createIo({ clock });
  const told: (number | string)[] = [];
  let begun = 0;
  async function* stream() {
    const [updates, error] = streams[begun++] ?? [[]];
    yield* updates;
    if (begun >= streams.length) test.interrupt();
    if (error !== undefined) throw error;
  }
  const watcher = { show: (update: number) => void told.push(update), lost: (why: string) => void told.push(why) };
  const watching = keepWatching(stream, watcher, test.io);
  return {
    told,
    async end(): Promise<void> {
      let over = false;
      const ended = watching.finally(() => {
        over = true;
      });
      ended.catch(() => undefined);
      while (!over) {
        await clock.advance(1_000);
        await new Promise((resolve) => setImmediate(resolve));
      }
      await ended;
    },
  };
}

describe("keepWatching", () => {
  it("goes on where a server comes back, and says each time that it is away", async () => {
    const { told, end } = setUp([[1, 2], away()], [[], away()], [[], away()], [[3]]);
    await end();
    expect(told).toEqual([1, 2, "nobody there", "nobody there", "nobody there", 3]);
  });

  it("goes on where a server ends the stream because it is stopped", async () => {
    const { told, end } = setUp([[1]], [[2]]);
    await end();
    expect(told).toEqual([1, 2]);
  });

  it("does not wait for a server that was never there", async () => {
    const { told, end } = setUp([[], away()], [[1]]);
    await expect(end()).rejects.toThrow("nobody there");
    expect(told).toEqual([]);
  });

  it("does not try again what the server refuses", async () => {
    const { told, end } = setUp([[1], new ConnectError("not you", Code.PermissionDenied)], [[2]]);
    await expect(end()).rejects.toThrow("not you");
    expect(told).toEqual([1]);
  });
});
