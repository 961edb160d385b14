import { expect, it } from "vitest";
import { FullScreen } from "../../../src/cli/display/full-screen.ts";
import { createVirtualClock } from "../../../src/testing/index.ts";
import { createIo } from "../harness.ts";
import { Screen } from "./screen.ts";

it("a full screen is drawn in place, each second, and anew for another size, and gives back what was there", async () => {
  const clock = createVirtualClock();
  const test = createIo({ isTTY: true, columns: 20, rows: 3, clock });
  test.io.stdout.write("before\n");
  let lines = ["a long first line", "second"];
  const sizes: [number, number][] = [];
  {
    using screen = new FullScreen(test.io, (width, height) => {
      sizes.push([width, height]);
      return lines;
    });
    const seen = () => Screen.of(test.stdout(), 20);
    expect(seen().lines()).toEqual(["a long first line", "second"]);
    expect(seen().cursorVisible).toBe(false);
    lines = ["short"];
    screen.update();
    expect(seen().lines()).toEqual(["short"]);
    lines = ["1", "2", "3", "4"];
    await clock.advance(1_000);
    expect(seen().lines()).toEqual(["1", "2", "3"]);
    test.resize(10);
    expect(sizes).toEqual([
      [19, 3],
      [19, 3],
      [19, 3],
      [9, 3],
    ]);
  }
  const after = Screen.of(test.stdout(), 20);
  expect([after.lines(), after.cursorVisible]).toEqual([["before"], true]);
  expect([clock.pendingTimers, test.resizeListeners()]).toEqual([0, 0]);
});
