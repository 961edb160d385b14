import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { ErrorInfoSchema, QuotaFailureSchema } from "../../gen/google/rpc/error_details_pb.js";
import { AcceptedSchema, RunMode } from "../../gen/retake/v1/run_pb.js";
import { HeldInputs } from "../../src/runs/held-inputs.ts";

const alice = { tenant: "t", subject: "alice" };
const bob = { tenant: "t", subject: "bob" };

function accepted(owner: typeof alice, size: number, given: { mode?: RunMode; parentRunId?: string } = {}) {
  return create(AcceptedSchema, { owner, input: { size: BigInt(size) }, mode: RunMode.DETACHED, ...given });
}

describe("HeldInputs", () => {
  it("bounds how many runs an owner leaves unfinished, and says which limit, how much is used, and what to do", () => {
    const inputs = new HeldInputs({ maxRuns: 2, maxBytes: () => 1_000 });
    const first = accepted(alice, 10);
    inputs.add(first);
    expect(inputs.refusal(alice, 10)).toBeUndefined();
    inputs.add(accepted(alice, 10));
    const refusal = inputs.refusal(alice, 10);
    expect(refusal?.code).toBe(Code.ResourceExhausted);
    expect(refusal?.message).toBe(
      "[resource_exhausted] 2 runs of one owner may be unfinished (runs.max_unfinished_per_owner), and 2 are; " +
        "wait until some have ended, or cancel those that you do not need",
    );
    expect(refusal?.findDetails(ErrorInfoSchema)[0]?.reason).toBe("INPUT_QUOTA");
    expect(refusal?.findDetails(QuotaFailureSchema)[0]?.violations).toMatchObject([{ subject: "principal:t/alice" }]);
    for (const other of [bob, { ...alice, tenant: "u" }]) expect(inputs.refusal(other, 10)).toBeUndefined();
    inputs.remove(first);
    expect(inputs.refusal(alice, 10)).toBeUndefined();
  });

  it("bounds the bytes of their inputs, once it is known how many there may be", () => {
    let maxBytes: number | undefined;
    const inputs = new HeldInputs({ maxRuns: 100, maxBytes: () => maxBytes });
    const first = accepted(alice, 700);
    inputs.add(first);
    expect(inputs.refusal(alice, 10_000)).toBeUndefined();
    maxBytes = 1_000;
    expect(inputs.refusal(alice, 300)).toBeUndefined();
    const refusal = inputs.refusal(alice, 301);
    expect(refusal?.message).toContain(
      "may have 1000 bytes (runs.max_unfinished_bytes_per_owner): those of 1 runs have 700, and this one 301;",
    );
    expect(inputs.refusal(bob, 1_000)).toBeUndefined();
    expect(inputs.refusal(bob, 1_001)?.message).toContain("those of 0 runs have 0, and this one 1001");
    inputs.remove(first);
    expect(inputs.refusal(alice, 1_000)).toBeUndefined();
  });

  it("leaves out what ends with its caller, and children", () => {
    const inputs = new HeldInputs({ maxRuns: 1, maxBytes: () => 100 });
    for (const run of [accepted(alice, 99, { mode: RunMode.ATTACHED }), accepted(alice, 99, { parentRunId: "a" })]) {
      inputs.add(run);
      expect(inputs.refusal(alice, 99)).toBeUndefined();
    }
    const keyed = accepted(alice, 99, { mode: RunMode.ATTACHED_KEYED });
    inputs.add(keyed);
    for (const run of [accepted(alice, 99, { mode: RunMode.ATTACHED }), accepted(alice, 99, { parentRunId: "a" })]) {
      inputs.remove(run);
      expect(inputs.refusal(alice, 1)).toBeDefined();
    }
    inputs.remove(keyed);
    expect(inputs.refusal(alice, 99)).toBeUndefined();
  });

  it("takes nothing from what an owner's other runs are counted for when one ends that could not be counted", () => {
    const inputs = new HeldInputs({ maxRuns: 1, maxBytes: () => 100 });
    const [counted, unread] = [accepted(alice, 60), accepted(alice, 60)];
    inputs.leaveOut("unread");
    inputs.add(counted);
    inputs.remove({ ...unread, runId: "unread" });
    expect(inputs.refusal(alice, 1)?.message).toContain("and 1 are");
    inputs.remove(counted);
    expect(inputs.refusal(alice, 100)).toBeUndefined();
    expect(inputs.refusal(alice, 101)?.message).toContain("those of 0 runs have 0");
  });
});
