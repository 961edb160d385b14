import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  AccessLevel,
  FailureCategory,
  Quality,
  RecoveryAction,
  WorkflowPolicySchema,
} from "../../gen/retake/v1/options_pb.js";
import { joinOverrides, mergePolicy } from "../../src/contract/merge-policy.ts";
import { resolvePolicy } from "../../src/contract/policy.ts";

const policy = (init: MessageInitShape<typeof WorkflowPolicySchema> = {}) => create(WorkflowPolicySchema, init);
const seconds = (value: number) => ({ seconds: BigInt(value) });

import { RunState } from "../../gen/retake/v1/run_pb.js";

describe("resolvePolicy", () => {
  it("fills in every default that options.proto promises", () => {
    expect(resolvePolicy(policy())).toEqual({
      timeoutMs: 24 * 3_600_000,
      attemptTimeoutMs: Number.POSITIVE_INFINITY,
      progressTimeoutMs: Number.POSITIVE_INFINITY,
      concurrency: { limit: Number.POSITIVE_INFINITY, queueLimit: 10_000, perPrincipal: Number.POSITIVE_INFINITY },
      fallbacks: [],
      fallbackConverters: new Map(),
      recovery: [],
      onInterrupt: "retake",
      maxInterruptions: 5,
      callerGraceMs: 60_000,
      cancelGraceMs: 30_000,
      retention: {},
      forwardMetadata: [],
    });
  });

  it("tells nobody of the ends of runs where the operator's empty URL switches that off", () => {
    const contract = policy({ notify: { url: "https://hooks.example/retake" } });
    expect(resolvePolicy(contract).notify).toEqual({ url: "https://hooks.example/retake" });
    expect(resolvePolicy(mergePolicy(contract, policy({ notify: { url: "" } }))).notify).toBeUndefined();
    expect(resolvePolicy(mergePolicy(contract, policy({ notify: {} }))).notify).toBeDefined();
  });

  it("fills in the defaults of each stage that is declared empty", () => {
    const resolved = resolvePolicy(
      policy({
        access: {},
        retry: {},
        circuitBreaker: {},
        quality: {},
        recovery: { rules: [{ action: RecoveryAction.RESTART }] },
      }),
    );
    expect(resolved.access).toEqual({ min: AccessLevel.ADMIN, groups: [] });
    expect(resolved.retry).toEqual({
      maxAttempts: 3,
      initialBackoffMs: 1_000,
      maxBackoffMs: 60_000,
      backoffMultiplier: 2,
      retryableCodes: new Set([Code.Unavailable]),
      retryableCategories: new Set(),
      lowerQuality: false,
    });
    expect(resolved.circuitBreaker).toEqual({
      errorThresholdPercentage: 50,
      volumeThreshold: 5,
      resetTimeoutMs: 30_000,
      windowMs: 60_000,
      successThreshold: 1,
      onOpen: "by-mode",
    });
    expect(resolved.quality).toEqual({ min: Quality.MINIMAL, restoreAfterMs: 300_000, lowerAfterFailures: 3 });
    expect(resolved.recovery).toEqual([
      {
        categories: new Set([1, 2, 3, 4, 5, 6, 7]),
        action: RecoveryAction.RESTART,
        timeoutMs: 30_000,
        cooldownMs: 60_000,
      },
    ]);
  });

  it("keeps what is declared, zero included", () => {
    const resolved = resolvePolicy(
      policy({
        timeout: { nanos: 1_500_000 },
        callerGrace: {},
        cancelGrace: {},
        concurrency: { queueLimit: 0 },
        retention: { succeeded: {}, maxFailed: 0, maxExpired: 7 },
        retry: { retryableCategories: [FailureCategory.MEMORY], lowerQuality: true },
      }),
    );
    expect(resolved.timeoutMs).toBe(2);
    expect(resolved.callerGraceMs).toBe(0);
    expect(resolved.cancelGraceMs).toBe(0);
    expect(resolved.concurrency.queueLimit).toBe(0);
    expect(resolved.retention).toEqual({
      succeededMs: 0,
      most: new Map([
        [RunState.FAILED, 0],
        [RunState.EXPIRED, 7],
      ]),
    });
    expect(resolved.retry?.retryableCategories).toEqual(new Set([FailureCategory.MEMORY]));
    expect(resolved.retry?.lowerQuality).toBe(true);
  });

  it.each([
    ["three attempt time-outs, where those are longer than a minute", 600, 1_800_000],
    ["a minute, where they are shorter", 5, 60_000],
    ["a day at most", 86_400, 86_400_000],
  ])("makes the breaker's window %s", (_, attemptSeconds, windowMs) => {
    const resolved = resolvePolicy(policy({ attemptTimeout: seconds(attemptSeconds), circuitBreaker: {} }));
    expect(resolved.circuitBreaker?.windowMs).toBe(windowMs);
  });

  it("knows every code of gRPC by its name", () => {
    const names =
      "CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED " +
      "RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS UNAUTHENTICATED";
    const { retry } = resolvePolicy(policy({ retry: { retryableStatusCodes: names.split(" ") } }));
    expect([...(retry?.retryableCodes ?? [])]).toEqual(Array.from({ length: 16 }, (_, index) => index + 1));
    expect(retry?.retryableCodes.has(Code.Canceled)).toBe(true);
    expect(retry?.retryableCodes.has(Code.Unauthenticated)).toBe(true);
  });
});

describe("mergePolicy", () => {
  it("merges messages field by field", () => {
    const merged = mergePolicy(
      policy({
        timeout: seconds(10),
        retry: { maxAttempts: 4, backoffMultiplier: 3 },
        access: { min: AccessLevel.PUBLIC },
      }),
      policy({ retry: { maxAttempts: 1 }, concurrency: { limit: 2 } }),
    );
    expect(merged).toEqual(
      policy({
        timeout: seconds(10),
        retry: { maxAttempts: 1, backoffMultiplier: 3 },
        access: { min: AccessLevel.PUBLIC },
        concurrency: { limit: 2 },
      }),
    );
  });

  it("replaces lists", () => {
    const merged = mergePolicy(
      policy({ fallbacks: ["a.B/C", "a.B/D"], recovery: { rules: [{ action: RecoveryAction.RESTART }] } }),
      policy({ fallbacks: ["a.B/E"], recovery: { rules: [{ action: RecoveryAction.INTERRUPT }] } }),
    );
    expect(merged.fallbacks).toEqual(["a.B/E"]);
    expect(merged.recovery?.rules.map(({ action }) => action)).toEqual([RecoveryAction.INTERRUPT]);
  });

  it("merges maps entry by entry, where an empty converter is none", () => {
    const contract = policy({ fallbackConverters: { "a.B/C": "one", "a.B/D": "two" } });
    const merged = mergePolicy(contract, policy({ fallbackConverters: { "a.B/D": "", "a.B/E": "three" } }));
    expect([...resolvePolicy(merged).fallbackConverters]).toEqual([
      ["a.B/C", "one"],
      ["a.B/E", "three"],
    ]);
  });

  it("replaces a duration as a whole", () => {
    const merged = mergePolicy(
      policy({ timeout: { seconds: 1n, nanos: 500_000_000 } }),
      policy({ timeout: seconds(2) }),
    );
    expect(resolvePolicy(merged).timeoutMs).toBe(2_000);
  });

  it("lets an override set zero where that can be told from nothing", () => {
    const merged = mergePolicy(
      policy({ callerGrace: seconds(9), concurrency: { queueLimit: 5 } }),
      policy({ callerGrace: {}, concurrency: { queueLimit: 0 } }),
    );
    expect(resolvePolicy(merged).callerGraceMs).toBe(0);
    expect(merged.concurrency?.queueLimit).toBe(0);
  });

  it("shares nothing with what it was made of", () => {
    const contract = policy({ retry: { maxAttempts: 4 }, fallbacks: ["a.B/C"] });
    const override = policy({ timeout: seconds(1), quality: { min: Quality.LOW } });
    const merged = mergePolicy(contract, override);
    if (merged.retry) merged.retry.maxAttempts = 9;
    if (merged.timeout) merged.timeout.seconds = 9n;
    if (merged.quality) merged.quality.min = Quality.HIGH;
    merged.fallbacks.push("a.B/D");
    expect(contract).toEqual(policy({ retry: { maxAttempts: 4 }, fallbacks: ["a.B/C"] }));
    expect(override).toEqual(policy({ timeout: seconds(1), quality: { min: Quality.LOW } }));
  });

  it.each<[string, MessageInitShape<typeof WorkflowPolicySchema>]>([
    ["fallbacks", { retry: { lowerQuality: true, maxAttempts: 4 }, recovery: { rules: [{ action: 1 }] } }],
    ["retry", { fallbacks: ["a.B/C"], recovery: { rules: [{ action: 1 }] } }],
    ["retry.lower_quality", { fallbacks: ["a.B/C"], retry: { maxAttempts: 4 }, recovery: { rules: [{ action: 1 }] } }],
    ["recovery.rules", { fallbacks: ["a.B/C"], retry: { lowerQuality: true, maxAttempts: 4 }, recovery: {} }],
    [
      "circuit_breaker.window",
      {
        fallbacks: ["a.B/C"],
        retry: { lowerQuality: true, maxAttempts: 4 },
        recovery: { rules: [{ action: 1 }] },
      },
    ],
  ])("takes back what an override clears: %s", (path, left) => {
    const contract = policy({
      fallbacks: ["a.B/C"],
      retry: { lowerQuality: true, maxAttempts: 4 },
      recovery: { rules: [{ action: 1 }] },
    });
    expect(mergePolicy(contract, policy({ clear: [path] }))).toEqual(policy(left));
  });

  it("clears before it sets", () => {
    const merged = mergePolicy(
      policy({ retry: { maxAttempts: 4, lowerQuality: true } }),
      policy({ clear: ["retry"], retry: { backoffMultiplier: 3 } }),
    );
    expect(merged).toEqual(policy({ retry: { backoffMultiplier: 3 } }));
  });

  it("does with two overrides that were joined what it does with one after the other", () => {
    const some = fc.record({
      clear: fc.subarray([
        "fallbacks",
        "retry",
        "retry.lower_quality",
        "timeout",
        "fallback_converters",
        "access.groups",
      ]),
      fallbacks: fc.subarray(["a.B/C", "a.B/D"]),
      timeout: fc.option(fc.constantFrom(seconds(1), seconds(2)), { nil: undefined }),
      retry: fc.option(fc.record({ maxAttempts: fc.constantFrom(1, 2), lowerQuality: fc.boolean() }), {
        nil: undefined,
      }),
      access: fc.option(fc.record({ groups: fc.subarray(["film", "sound"]) }), { nil: undefined }),
      fallbackConverters: fc.dictionary(fc.constantFrom("a.B/C", "a.B/D"), fc.constantFrom("one", "two", "")),
    });
    const init = ({ timeout, retry, access, ...others }: typeof some extends fc.Arbitrary<infer T> ? T : never) =>
      policy({ ...others, ...(timeout && { timeout }), ...(retry && { retry }), ...(access && { access }) });
    fc.assert(
      fc.property(some, some, some, (one, two, three) => {
        const contract = policy({ ...init(one), clear: [] });
        const joined = mergePolicy(contract, joinOverrides(init(two), init(three)));
        expect(resolvePolicy(joined)).toEqual(
          resolvePolicy(mergePolicy(mergePolicy(contract, init(two)), init(three))),
        );
      }),
    );
  });
});
