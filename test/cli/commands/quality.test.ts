import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { QualityService } from "../../gen/retake/test/v1/quality_pb.js";
import { type CliServer, retake as cli, jsonLines, startServer } from "../harness.ts";

let server: CliServer;
beforeAll(async () => {
  server = await startServer(
    {},
    {},
    {
      more: (own) =>
        own.implement(QualityService, {
          paint: ({ strokes }) => ({ strokes }),
          async *paintSlowly() {},
          sketch: () => ({}),
          exhibit: () => ({}),
        }),
    },
  );
});
afterAll(() => server[Symbol.asyncDispose]());

const retake = (...argv: string[]) => cli(argv, { env: server.env });
const paint = "retake.test.v1.QualityService/Paint";

describe("retake quality", () => {
  it("lists and sets the quality of workflows, and runs tell what they got", async () => {
    expect((await retake("quality", "list")).stdout).toMatch(
      /^WORKFLOW +QUALITY +SINCE +NEXT +WHY\n\S+\/Paint +FULL\n\S+\/PaintSlowly +FULL\n\S+\/Sketch +FULL\n$/,
    );
    const set = await retake("quality", "set", "Paint", "Medium", "--for", "2h", "--reason", "one card less");
    expect(set).toMatchObject({ exitCode: 0, stderr: `Ask for everything again: retake quality set ${paint} full\n` });
    expect(set.stdout).toMatch(
      new RegExp(`^${paint} asks for MEDIUM, held at MEDIUM until \\d{4}-\\d\\d-\\d\\d .*\n$`),
    );
    expect((await retake("quality", "list")).stdout).toMatch(
      /\/Paint +MEDIUM +\d{4}\S+ \S+ +held at MEDIUM until \d{4}\S+ \S+ +set by anonymous: one card less$/m,
    );
    expect(jsonLines((await retake("quality", "list", "--json")).stdout)[0]).toMatchObject({
      workflow: paint,
      level: "QUALITY_MEDIUM",
      cause: "QUALITY_CAUSE_OPERATOR",
      heldAt: "QUALITY_MEDIUM",
    });
    const run = await retake("run", "Paint", "--input", '{"strokes": 100}', "--watch");
    expect(run.stdout).toContain('"strokes": 60');
    const shown = await retake("runs", "get", /Run (\S+)/.exec(run.stderr)?.[1] ?? "");
    expect(shown.stdout).toContain("at quality MEDIUM, with other strokes");
    const more = await retake("run", "Paint", "--input", '{"strokes": 100}', "--min-quality", "high", "--watch");
    expect(more.stdout).toContain('"strokes": 80');
    expect(await retake("quality", "set", "Paint", "full")).toMatchObject({
      exitCode: 0,
      stdout: `${paint} asks for FULL\n`,
      stderr: "",
    });
    expect(jsonLines((await retake("quality", "set", "Paint", "low", "--json")).stdout)).toMatchObject([
      { workflow: paint, level: "QUALITY_LOW" },
    ]);
  });

  it.each([
    [["set", "Paint"], 2, "QUALITY is missing"],
    [
      ["set", "Paint", "hihg"],
      2,
      'QUALITY: there is no "hihg", only minimal, low, medium, high, full. Did you mean "high"',
    ],
    [["set", "Paint", "full", "--for", "1h"], 2, "--for goes with a level below full"],
    [["set", "Paint", "low", "--for", "soon"], 2, "--for"],
    [["set", "Pant", "low"], 4, "there is no workflow"],
    [["set", "Exhibit", "low"], 6, "nothing says what a lower quality"],
    [["set", "Paint", "minimal"], 6, "no lower than LOW (quality.min)"],
  ])("%j is refused", async (argv, exitCode, message) => {
    const refused = await retake("quality", ...argv);
    expect(refused.stderr).toContain(message);
    expect(refused.exitCode).toBe(exitCode);
  });

  it("says where nothing can ask for less", async () => {
    await using other = await startServer();
    const { exitCode, stdout, stderr } = await cli(["quality", "list"], { env: other.env });
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: "" });
    expect(stderr).toContain("No workflow of this server can ask for less");
  });
});
