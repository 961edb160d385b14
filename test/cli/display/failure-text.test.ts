import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { FailureCategory } from "../../../gen/retake/v1/options_pb.js";
import { FailureSchema, FailureSeverity } from "../../../gen/retake/v1/run_pb.js";
import { failureDetails } from "../../../src/cli/display/failure-text.ts";

describe("failureDetails", () => {
  it("says what led to a failure, and how to find more", () => {
    const failure = create(FailureSchema, {
      category: FailureCategory.NETWORK,
      severity: FailureSeverity.MEDIUM,
      retryable: true,
      retryDelay: { seconds: 7n },
      referenceId: "r-1",
      causes: [
        { reason: "CONNECTION_LOST", code: "UND_ERR_SOCKET", message: "a connection was lost" },
        { reason: "MINE", message: "" },
        { reason: "EVIL", code: "\u001b[31m", message: "x\u001b[2J" },
      ],
    });
    const lines = failureDetails(failure);
    expect(lines.slice(0, 4)).toEqual([
      "NETWORK trouble, severity MEDIUM, another attempt may succeed",
      "not before 7.0 s have passed",
      "because a connection was lost (UND_ERR_SOCKET)",
      "because MINE",
    ]);
    expect(lines.join("")).not.toContain("\u001b");
    expect(lines.at(-1)).toBe("reference r-1, for the server's log");
  });

  it("tells whether somebody has ruled another attempt out", () => {
    expect(failureDetails(create(FailureSchema, {}))).toEqual(["another attempt would fail the same way"]);
    expect(failureDetails(create(FailureSchema, { final: true }))).toEqual([
      "its source has ruled another attempt out",
    ]);
  });
});
