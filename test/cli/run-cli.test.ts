import { describe, expect, it } from "vitest";
import { commands } from "../../src/cli/commands/index.ts";
import { runCli } from "../../src/cli/run-cli.ts";
import { createIo, retake } from "./harness.ts";

/** They talk to no server. */
const local = new Set(
  "init dev lint protos serve backup restore check compact config"
    .split(" ")
    .concat("webhook test", "webhook secret", "audit verify"),
);

describe("retake", () => {
  it("without a command shows help as an error", async () => {
    const { exitCode, stdout, stderr } = await retake([]);
    expect(exitCode).toBe(2);
    expect(stdout).toBe("");
    expect(stderr).toContain("Usage: retake COMMAND");
  });

  it.each([["--help"], ["-h"], ["help"]])("%s lists commands, flags and exit codes", async (argument) => {
    const { exitCode, stdout, stderr } = await retake([argument]);
    expect(exitCode).toBe(0);
    expect(stderr).toBe("");
    for (const name of commands.keys()) expect(stdout).toMatch(new RegExp(`^  ${name} +\\S`, "m"));
    for (const flag of ["--target HOST:PORT", "--api-key KEY", "--json", "--version"]) expect(stdout).toContain(flag);
    for (const code of [0, 1, 2, 3, 4, 5, 6, 7, 130]) expect(stdout).toMatch(new RegExp(`^  ${code} +\\S`, "m"));
  });

  it.each([...commands.keys()])("%s --help shows its usage, flags, examples and exit codes", async (name) => {
    for (const argv of [
      [...name.split(" "), "--help"],
      ["help", ...name.split(" ")],
      [...name.split(" "), "-x", "-h"],
    ]) {
      const { exitCode, stdout, stderr } = await retake(argv);
      expect(exitCode).toBe(0);
      expect(stderr).toBe("");
      expect(stdout).toContain(`Usage: retake ${name}`);
      expect(stdout).toContain("Examples:\n");
      expect(stdout).toContain("--json");
      expect(stdout.includes("--target HOST:PORT")).toBe(!local.has(name));
      expect(stdout).toContain("Exit codes:");
      expect(longestLine(stdout)).toBeLessThanOrEqual(100);
    }
  });

  it("fits help into a narrow terminal", async () => {
    const { stdout } = await retake(["runs", "list", "--help"], { isTTY: true, columns: 60 });
    expect(stdout).toContain("Only of this workflow;");
    expect(longestLine(stdout)).toBeLessThanOrEqual(60);
  });

  it.each([["--version"], ["-V"]])("%s prints the version alone", async (argument) => {
    const { exitCode, stdout } = await retake([argument]);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it("shows a group's commands", async () => {
    const { exitCode, stderr } = await retake(["runs"]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain("runs cancel");
    expect((await retake(["runs", "--help"])).exitCode).toBe(0);
  });

  it.each([
    [["wach"], 'retake: there is no command "wach". Did you mean "watch"?\n  Try: retake --help\n'],
    [["xyz"], 'retake: there is no command "xyz".\n  Try: retake --help\n'],
    [["runs", "lst"], 'retake: there is no command "runs lst". Did you mean "list"?\n  Try: retake runs --help\n'],
    [["help", "wach"], 'retake: there is no command "wach". Did you mean "watch"?\n  Try: retake --help\n'],
    [
      ["runs", "list", "--stat", "x"],
      'retake: there is no flag --stat. Did you mean "--state"?\n  Try: retake runs list --help\n',
    ],
    [["--targt", "x", "runs"], 'retake: there is no command "x".\n  Try: retake --help\n'],
    [["--verson"], 'retake: there is no flag --verson. Did you mean "--version"?\n'],
    [["watch"], "retake: RUN_ID is missing: the run's id, as `retake run` printed it\n  Try: retake watch --help\n"],
    [["serve", "--target", "x"], "retake: there is no flag --target.\n  Try: retake serve --help\n"],
  ])("%j is refused, with what was perhaps meant", async (argv, message) => {
    expect(await retake(argv)).toEqual({ exitCode: 2, stdout: "", stderr: message });
  });

  it("takes flags for the connection before the command too", async () => {
    for (const argv of [
      ["--target", "http://x", "workflows"],
      ["--target=http://x", "workflows"],
      ["workflows", "--target", "http://x"],
      ["--json", "--target", "http://x", "runs", "list"],
    ]) {
      const { exitCode, stderr } = await retake(argv);
      expect(exitCode).toBe(2);
      expect(stderr).toContain('--target: "http://x" is a URL, and gRPC takes "host:port": leave out "http://"');
    }
  });

  it("says that it was interrupted", async () => {
    const { io, stderr, interrupt } = createIo();
    interrupt();
    expect(await runCli(["workflows", "--target", "127.0.0.1:1"], io)).toBe(130);
    expect(stderr()).toBe("retake: interrupted\n");
  });
});

describe("the connection", () => {
  it.each([
    [
      { RETAKE_TARGET: "https://x" },
      [],
      '--target: "https://x" is a URL, and gRPC takes "host:port": leave out "https://", and use --tls',
    ],
    [
      { RETAKE_TARGET: "gpu:1", RETAKE_API_KEY: "k" },
      [],
      "the API key would travel to gpu:1 in plain text: use --tls, or --plaintext-api-key",
    ],
    [{ RETAKE_API_KEY: "a b" }, [], "--api-key: a key has only printable ASCII characters"],
    [{ RETAKE_TLS: "maybe" }, [], 'RETAKE_TLS is "maybe", and must be 1 or 0'],
    [{ RETAKE_CA: "/nowhere/ca.pem" }, [], "--ca: /nowhere/ca.pem cannot be read: ENOENT"],
    [{}, ["--ca", "package.json"], "--ca: package.json has no certificate in it; it must be a PEM file"],
    [{ RETAKE_TARGET: "right:1" }, ["--target", ""], "--target: name the server"],
  ])("with %j and %j is refused", async (env, flags, message) => {
    const { exitCode, stderr } = await retake(["workflows", ...flags], { env });
    expect(stderr).toContain(message);
    expect(exitCode).toBe(2);
  });

  it("never shows the API key", async () => {
    const { stderr } = await retake(["workflows", "--api-key", "secret value"]);
    expect(stderr).not.toContain("secret");
  });

  it("says what to do when nobody is there", async () => {
    const { exitCode, stdout, stderr } = await retake(["workflows", "--target", "127.0.0.1:1"]);
    expect(exitCode).toBe(3);
    expect(stdout).toBe("");
    expect(stderr).toMatch(/cannot reach the server: nothing listens there\n {2}Start one with `retake serve`/);
  });
});

/** Command lines in examples are not broken. */
function longestLine(help: string): number {
  return Math.max(
    ...help
      .replace(/Examples:.*Exit/s, "")
      .split("\n")
      .map((line) => line.length),
  );
}
