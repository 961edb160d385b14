import { describe, expect, it } from "vitest";
import { peersCommand } from "../../../bench/peers/peers-command.ts";

async function refusal(...args: readonly string[]): Promise<string> {
  const told: string[] = [];
  const code = await peersCommand(args, {
    print: () => undefined,
    tell: (line) => told.push(line),
    signal: AbortSignal.abort(new Error("the test does not get that far")),
  });
  expect(code).toBe(2);
  return told.join("\n");
}

describe("bench:peers", () => {
  it("says what it knows when it is asked for something else", async () => {
    expect(await refusal("--only", "retake,cadence")).toContain("there is nothing named cadence");
    expect(await refusal("--only", "cadence")).toContain("retake, restate, dbos, bullmq, bullmq-everysec");
    expect(await refusal("--verbose")).toContain("npm run bench:peers -- [--only NAME,NAME]");
    expect(await refusal("--rounds", "0")).toContain("--rounds is from 1 to 20");
    expect(await refusal("--seconds", "an hour")).toContain("--seconds is above 0, up to 60");
  });
});
