import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { FailureCategory, Quality, WorkflowPolicySchema } from "../../../gen/retake/v1/options_pb.js";
import { resolvePolicy } from "../../../src/contract/policy.ts";
import { quality } from "../../../src/interceptors/run/index.ts";
import { createFailure, type Outcome, type RunRequest } from "../../../src/runs/index.ts";

const { FULL, HIGH, MEDIUM, LOW, MINIMAL, UNSPECIFIED } = Quality;
const blocked: Outcome = { kind: "blocked", gate: "", reason: "" };

interface Asked {
  readonly level?: Quality;
  readonly minQuality?: Quality;
  readonly outOfMemoryAt?: Quality;
  readonly policyMin?: Quality;
  readonly lowerQuality?: boolean;
  readonly degradable?: boolean;
}

function set({ level = FULL, degradable = true, ...asked }: Asked) {
  const told: unknown[] = [];
  const stage = quality({
    levels: { of: () => level, failed: (workflow, { reason }, at) => told.push([workflow, reason, at]) },
  });
  const policy = resolvePolicy(
    create(WorkflowPolicySchema, {
      quality: { min: asked.policyMin ?? UNSPECIFIED },
      retry: { lowerQuality: asked.lowerQuality ?? true },
    }),
  );
  const run = {
    accepted: { minQuality: asked.minQuality ?? UNSPECIFIED },
    attempts: 0,
    outOfMemoryAt: asked.outOfMemoryAt ?? 0,
  };
  const request = { run, workflow: { name: "a.B/C", degradable, policy } } as unknown as RunRequest;
  return { stage, request, run, told };
}

describe("the quality of an attempt", () => {
  it.each<[string, Asked, Quality | undefined]>([
    ["FULL, which is not said", {}, undefined],
    ["the workflow's level", { level: MEDIUM }, MEDIUM],
    ["the policy's minimum where that is higher", { level: MINIMAL, policyMin: LOW }, LOW],
    ["the caller's minimum where that is higher", { level: MINIMAL, policyMin: LOW, minQuality: HIGH }, HIGH],
    ["one below where the run ran out of memory", { outOfMemoryAt: HIGH }, MEDIUM],
    ["the level where that is lower still", { level: LOW, outOfMemoryAt: FULL }, LOW],
    ["no lower than the minimum after running out of memory", { outOfMemoryAt: MEDIUM, minQuality: MEDIUM }, MEDIUM],
    ["no lower than MINIMAL", { outOfMemoryAt: MINIMAL }, MINIMAL],
    ["the level where runs are not lowered", { outOfMemoryAt: HIGH, lowerQuality: false }, undefined],
  ])("is %s", async (_, asked, expected) => {
    const { stage, request } = set(asked);
    let seen: RunRequest | undefined;
    const outcome = await stage(async (given) => {
      seen = given;
      return blocked;
    })(request);
    expect(outcome).toBe(blocked);
    expect(seen?.quality).toBe(expected);
    if (expected === undefined) expect(seen).toBe(request);
  });
});

describe("a workflow that cannot ask for less", () => {
  it("passes as it is: the same request, and the same promise", () => {
    const { stage, request } = set({ level: LOW, degradable: false });
    const answer = Promise.resolve(blocked);
    const given: RunRequest[] = [];
    const passed = stage((each) => {
      given.push(each);
      return answer;
    })(request);
    expect(passed).toBe(answer);
    expect(given[0]).toBe(request);
  });
});

describe("failures", () => {
  const failure = createFailure({
    code: Code.ResourceExhausted,
    reason: "OOM",
    message: "",
    category: FailureCategory.MEMORY,
  });

  it("of attempts are told to the level, with what they asked for; what came to no attempt is not", async () => {
    const { stage, request, run, told } = set({ level: MEDIUM });
    await stage(async () => ({ kind: "failed", failure }))(request);
    expect(told).toEqual([]);
    await stage(async () => {
      run.attempts += 1;
      return { kind: "failed", failure };
    })(request);
    expect(told).toEqual([["a.B/C", "OOM", MEDIUM]]);
  });
});
