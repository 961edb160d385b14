import { describe, expect, it } from "vitest";
import { retake } from "../harness.ts";
import { directoryWith } from "../projects.ts";

describe("retake dev", () => {
  it("says how to make a project where there is none", async () => {
    const { exitCode, stderr } = await retake(["dev", await directoryWith()]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain("has no buf.yaml");
    expect(stderr).toContain("retake init DIR");
  });

  it.each([
    [["--grpc-port", "http"], '--grpc-port: "http" is no port'],
    [["--grpc-port", "off", "--web-port", "off"], "leave one on"],
    [["--handlers", "nowhere.ts"], "--handlers: there is no nowhere.ts here"],
  ])("refuses %j", async (flags, message) => {
    const { exitCode, stderr } = await retake(["dev", await directoryWith({ "buf.yaml": "version: v2" }), ...flags]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(message);
  });
});
