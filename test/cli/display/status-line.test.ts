import { describe, expect, it } from "vitest";
import { StatusLine } from "../../../src/cli/display/status-line.ts";
import { createVirtualClock } from "../../../src/testing/virtual-clock.ts";
import { createIo } from "../harness.ts";
import { Screen } from "./screen.ts";

function setUp(columns = 40) {
  const clock = createVirtualClock();
  const test = createIo({ isTTY: true, columns, clock });
  let text = "one";
  const widths: number[] = [];
  const status = new StatusLine(test.io, (width) => {
    widths.push(width);
    return text.slice(0, width);
  });
  return {
    ...test,
    clock,
    status,
    widths,
    change: (next: string) => {
      text = next;
      status.update();
    },
    screen: (width = columns) => Screen.of(test.stdout(), width),
  };
}

describe("StatusLine", () => {
  it("draws over itself, with the cursor hidden", async () => {
    const { change, clock, screen } = setUp();
    expect(screen().lines()).toEqual(["one"]);
    expect(screen().cursorVisible).toBe(false);
    await clock.advance(100);
    change("two, longer");
    expect(screen().lines()).toEqual(["two, longer"]);
    await clock.advance(100);
    change("3");
    expect(screen().lines()).toEqual(["3"]);
  });

  it("draws ten times a second at most, and then the newest", async () => {
    const { change, clock, widths, screen } = setUp();
    for (let count = 0; count < 50; count++) {
      change(`frame ${count}`);
      await clock.advance(10);
    }
    await clock.advance(100);
    expect(widths.length).toBeLessThanOrEqual(8);
    expect(screen().lines()).toEqual(["frame 49"]);
  });

  it("draws each second by itself, for what changes with time", async () => {
    const { clock, widths } = setUp();
    await clock.advance(5_000);
    expect(widths).toHaveLength(6);
  });

  it("leaves the last column free", () => {
    expect(setUp(40).widths).toEqual([39]);
  });

  it("keeps printed lines above itself", async () => {
    const { status, screen } = setUp();
    status.print("step 1 is done", "step 2 is done");
    expect(screen().lines()).toEqual(["step 1 is done", "step 2 is done", "one"]);
  });

  it("leaves nothing behind when the terminal becomes narrower and wraps it", async () => {
    const { change, clock, resize, stdout } = setUp(40);
    await clock.advance(100);
    change("x".repeat(39));
    const screen = Screen.of(stdout(), 40);
    expect(screen.lines()).toEqual(["x".repeat(39)]);
    const before = stdout().length;
    screen.reflow(16);
    expect(screen.lines()).toEqual(["x".repeat(16), "x".repeat(16), "x".repeat(7)]);
    resize(16);
    screen.write(stdout().slice(before));
    expect(screen.lines()).toEqual(["x".repeat(15)]);
  });

  it("uses the room that a wider terminal gives", async () => {
    const { change, clock, resize, widths } = setUp(20);
    await clock.advance(100);
    change("y".repeat(60));
    resize(80);
    expect(widths.at(-1)).toBe(79);
  });

  it("erases itself and gives the cursor, timers and listeners back", () => {
    const { status, clock, screen, resizeListeners } = setUp();
    expect(resizeListeners()).toBe(1);
    status[Symbol.dispose]();
    expect(screen().lines()).toEqual([]);
    expect(screen().cursorVisible).toBe(true);
    expect(clock.pendingTimers).toBe(0);
    expect(resizeListeners()).toBe(0);
  });
});
