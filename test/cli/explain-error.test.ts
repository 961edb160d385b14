import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { BadRequestSchema, ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { FailureSchema } from "../../gen/retake/v1/run_pb.js";
import { CliError, UsageError } from "../../src/cli/cli-error.ts";
import { ExitCode } from "../../src/cli/exit-code.ts";
import { explainError } from "../../src/cli/explain-error.ts";

const { signal } = new AbortController();

function explain(message: string, code: Code, details: ConnectError["details"] = []) {
  return explainError(new ConnectError(message, code, undefined, details as never), signal);
}

describe("explainError", () => {
  it.each([
    ["connect ECONNREFUSED 127.0.0.1:1", "nothing listens there"],
    [
      "No connection established. Last error: Error: connect ECONNREFUSED 127.0.0.1:1. Resolution note:",
      "nothing listens there",
    ],
    ["Name resolution failed for target dns:gpu:1", "its name is unknown"],
    [
      "No connection established. Last error: Error: self-signed certificate. Resolution note:",
      "Error: self-signed certificate.",
    ],
  ])("says why a server cannot be reached: %s", (message, cause) => {
    const { lines, exitCode } = explain(message, Code.Unavailable);
    expect(lines[0]).toBe(`cannot reach the server: ${cause}`);
    expect(lines.join("\n")).toContain("retake serve");
    expect(exitCode).toBe(ExitCode.unreachable);
  });

  it("lets a server that takes no work speak for itself", () => {
    const info = { desc: ErrorInfoSchema, value: { reason: "DRAINING" } };
    expect(explain("the server is about to stop", Code.Unavailable, [info])).toEqual({
      lines: ["the server is about to stop"],
      exitCode: ExitCode.unreachable,
    });
  });

  it.each([
    [Code.DeadlineExceeded, ExitCode.unreachable],
    [Code.NotFound, ExitCode.notFound],
    [Code.InvalidArgument, ExitCode.usage],
    [Code.OutOfRange, ExitCode.usage],
    [Code.Unauthenticated, ExitCode.refused],
    [Code.PermissionDenied, ExitCode.refused],
    [Code.AlreadyExists, ExitCode.refused],
    [Code.FailedPrecondition, ExitCode.refused],
    [Code.ResourceExhausted, ExitCode.refused],
    [Code.Unimplemented, ExitCode.refused],
    [Code.Internal, ExitCode.refused],
  ])("exits by the code of a refused call: %i with %i", (code, exitCode) => {
    expect(explain("why", code).exitCode).toBe(exitCode);
  });

  it("tells every violation that the message has not told yet", () => {
    const fieldViolations = [
      { field: "frames", description: "must be less than 1800" },
      { field: "", description: "must have scenes" },
    ];
    const detail = { desc: BadRequestSchema, value: { fieldViolations } };
    expect(explain("invalid a.B: frames: must be less than 1800", Code.InvalidArgument, [detail]).lines).toEqual([
      "invalid a.B: frames: must be less than 1800",
      "must have scenes",
    ]);
  });

  it("says what to do about missing credentials, a foreign server, and an error in the server's log", () => {
    expect(explain("who?", Code.Unauthenticated).lines[1]).toContain("--api-key");
    expect(explain("no such method", Code.Unimplemented).lines[1]).toContain("Is this a Retake server");
    const failure = { desc: FailureSchema, value: { referenceId: "ref-7" } };
    expect(explain("internal error", Code.Internal, [failure]).lines[1]).toContain("ref-7");
  });

  it("passes nothing on that could steer the terminal", () => {
    expect(explain("\u001b[2Jall is well\r\n", Code.Internal).lines).toEqual(["all is well"]);
  });

  it("takes messages and exit codes of our own as they are", () => {
    expect(explainError(new CliError("one\ntwo", ExitCode.notFound), signal)).toEqual({
      lines: ["one", "two"],
      exitCode: ExitCode.notFound,
    });
    expect(explainError(new UsageError("x"), signal).exitCode).toBe(ExitCode.usage);
  });

  it("shows where a mistake of ours is", () => {
    const { lines, exitCode } = explainError(new RangeError("bug"), signal);
    expect(lines[0]).toBe("RangeError: bug");
    expect(lines[1]).toContain("explain-error.test.ts");
    expect(exitCode).toBe(ExitCode.refused);
    expect(explainError("thrown text", signal).lines).toEqual(["thrown text"]);
  });

  it("puts an interruption before what it led to", () => {
    expect(explainError(new ConnectError("aborted", Code.Canceled), AbortSignal.abort())).toEqual({
      lines: ["interrupted"],
      exitCode: ExitCode.interrupted,
    });
  });
});
