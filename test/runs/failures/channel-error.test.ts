import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { RetryInfoSchema } from "../../../gen/google/rpc/error_details_pb.js";
import { failureFromConnectError } from "../../../src/runs/failure.ts";
import { channelError } from "../../../src/runs/failures/channel-error.ts";
import { channelPatterns, lostCallPatterns } from "../../../src/runs/failures/messages.ts";

const samples = [
  ["connect ECONNREFUSED 10.0.0.1:5432", "CONNECTION_REFUSED", " (ECONNREFUSED)"],
  ["read ECONNRESET", "CONNECTION_LOST", " (ECONNRESET)"],
  [
    "No connection established. Last error: connect EHOSTUNREACH 10.0.0.1:1. Resolution note: ",
    "HOST_UNREACHABLE",
    " (EHOSTUNREACH)",
  ],
  ["No connection established. Last error: null. Resolution note: ", "HOST_UNREACHABLE", ""],
  ["Name resolution failed for target dns:nowhere.example:1", "NAME_LOOKUP_FAILED", ""],
  ["Connection dropped", "CONNECTION_LOST", ""],
] as const;

/** Once headers have come. */
const lost = [
  ["read ECONNRESET", "CONNECTION_LOST", " (ECONNRESET)"],
  ["Connection dropped", "CONNECTION_LOST", ""],
] as const;
const header = { "content-type": "application/grpc" };

describe("channelError", () => {
  it.each(samples)("tells without its words why nobody answered: %s", (text, reason, code) => {
    const told = channelError(new ConnectError(text, Code.Unavailable));
    expect(told && failureFromConnectError(told)).toMatchObject({
      ...{ code: Code.Unavailable, reason, message: `the back-end cannot be reached${code}`, causes: [] },
    });
    expect(told?.cause).toBeUndefined();
  });

  it.each(lost)("tells that the connection was lost after headers had come: %s", (text, reason, code) => {
    const told = channelError(new ConnectError(text, Code.Unavailable, header));
    expect(told && failureFromConnectError(told)).toMatchObject({
      ...{ code: Code.Unavailable, reason, message: `the back-end cannot be reached${code}` },
    });
  });

  it.each([
    ["before", channelPatterns, samples],
    ["after", lostCallPatterns, lost],
  ])("has a sample for each pattern, and a source: %s headers", (_, patterns, known) => {
    for (const { pattern, source } of patterns) {
      expect(known.some(([text]) => pattern.test(text))).toBe(true);
      expect(source).not.toBe("");
    }
  });

  it("leaves a server its words", () => {
    const [[text]] = samples;
    const details = [{ desc: RetryInfoSchema, value: {} }];
    expect(channelError(new ConnectError(text, Code.Unavailable, undefined, details))).toBeUndefined();
    expect(channelError(new ConnectError(text, Code.Unavailable, header))).toBeUndefined();
    expect(channelError(new ConnectError("database: read ECONNRESET", Code.Unavailable, header))).toBeUndefined();
    expect(channelError(new ConnectError(text, Code.Internal))).toBeUndefined();
    expect(channelError(new ConnectError("busy", Code.Unavailable))).toBeUndefined();
  });
});
