import { Code, ConnectError, createContextValues, type UnaryRequest } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { RunService } from "../../../gen/retake/v1/run_service_pb.js";
import { auditCalls, auditDenials } from "../../../src/interceptors/rpc/index.ts";
import { createError } from "../../../src/runs/index.ts";
import {
  type Audit,
  type AuditEvent,
  anonymous,
  createDenial,
  inProcess,
  type Principal,
  principalKey,
} from "../../../src/security/index.ts";
import { peerKey } from "../../../src/transport/index.ts";

function recording(given: Partial<Audit> = {}) {
  const events: AuditEvent[] = [];
  const audit: Audit = {
    record: (event) => events.push(event),
    refuses: false,
    wants: () => true,
    reads: false,
    ...given,
  };
  return { events, audit };
}

function requestOf(name: "cancelRun" | "getRun" | "startRun", principal?: Principal, message: object = {}) {
  const contextValues = createContextValues();
  contextValues.set(peerKey, { address: "192.0.2.1:50", certificate: undefined });
  if (principal !== undefined) contextValues.set(principalKey, principal);
  const method = RunService.method[name];
  return { stream: false, service: RunService, method, message, contextValues } as unknown as UnaryRequest;
}

describe("auditDenials", () => {
  const caller = { ...anonymous };
  const cases: [string, ConnectError, Principal | undefined, string | undefined][] = [
    ["too few rights", createDenial(Code.PermissionDenied, "LEVEL_TOO_LOW", "no"), caller, "LEVEL_TOO_LOW"],
    ["too many calls", createDenial(Code.ResourceExhausted, "RATE_LIMITED", "no"), caller, "RATE_LIMITED"],
    ["a caller that must show something", createDenial(Code.Unauthenticated, "NEEDED", "no"), caller, "NEEDED"],
    [
      "an authenticator that lets in nobody",
      new ConnectError("no", Code.PermissionDenied),
      undefined,
      "PermissionDenied",
    ],
    [
      "what a run failed with, whatever it says of itself",
      createError(Code.PermissionDenied, "LEVEL_TOO_LOW", "no"),
      caller,
      undefined,
    ],
    ["too many calls of a back-end", createError(Code.ResourceExhausted, "RATE_LIMITED", "no"), caller, undefined],
    [
      "wrong credentials, which are on record as such",
      createError(Code.Unauthenticated, "X", "no"),
      undefined,
      undefined,
    ],
    [
      "a full queue, which is nobody's access",
      createError(Code.ResourceExhausted, "QUEUE_FULL", "no"),
      caller,
      undefined,
    ],
    ["anything else", createError(Code.NotFound, "UNKNOWN_RUN", "no"), caller, undefined],
  ];
  it.each(cases)("sees %s", (_, error, principal, reason) => {
    const { events, audit } = recording();
    auditDenials(audit)(error, requestOf("getRun", principal));
    expect(events.map((event) => event.reason)).toEqual(reason === undefined ? [] : [reason]);
    if (reason !== undefined) {
      expect(events[0]).toMatchObject({
        ...{ action: "call", outcome: "denied", principal: principal ?? anonymous, source: "192.0.2.1:50" },
        resource: "retake.v1.RunService/GetRun",
      });
    }
  });
});

describe("auditCalls", () => {
  const change = {
    action: "run.cancel",
    resource: ({ runId }: { runId: string }) => runId,
    details: () => ({ a: "b" }),
  };
  const changes = new Map([["retake.v1.RunService/CancelRun", change]]);
  const isRecorded = ({ name }: { name: string }) => name === "StartRun";
  const call = (audit: Audit, request: UnaryRequest, answer: () => Promise<unknown>) =>
    auditCalls({ audit, changes, isRecorded })(answer as never)(request);

  it("records a change once it is made, or has failed, and not that it was denied", async () => {
    const { events, audit } = recording();
    const request = requestOf("cancelRun", inProcess, { runId: "r1" });
    await call(audit, request, async () => ({ message: {} }));
    const failed = createError(Code.NotFound, "UNKNOWN_RUN", "none");
    await expect(call(audit, request, () => Promise.reject(failed))).rejects.toBe(failed);
    await expect(call(audit, request, () => Promise.reject(new Error("x")))).rejects.toThrow("x");
    const denied = createDenial(Code.PermissionDenied, "NO", "no");
    await expect(call(audit, request, () => Promise.reject(denied))).rejects.toBe(denied);
    expect(events).toMatchObject([
      { action: "run.cancel", outcome: "granted", resource: "r1", details: { a: "b" }, principal: inProcess },
      { outcome: "failed", reason: "UNKNOWN_RUN" },
      { outcome: "failed", reason: "INTERNAL" },
    ]);
  });

  it("adds nothing to a call that is recorded where it is carried out, or only reads", async () => {
    const { events, audit } = recording();
    const answer = Promise.resolve({ message: {} });
    for (const name of ["startRun", "getRun"] as const) {
      expect(call(audit, requestOf(name), () => answer)).toBe(answer);
    }
    expect(events).toEqual([]);
    await call({ ...audit, reads: true }, requestOf("getRun"), () => answer);
    expect(events).toMatchObject([{ action: "call", outcome: "granted", resource: "retake.v1.RunService/GetRun" }]);
  });

  it("refuses what could not be recorded, where that is wanted", async () => {
    const { audit } = recording({ refuses: true });
    const answer = Promise.resolve({ message: {} });
    for (const name of ["startRun", "cancelRun"] as const) {
      await expect(call(audit, requestOf(name), () => answer)).rejects.toMatchObject({ code: Code.Unavailable });
    }
    await expect(call(audit, requestOf("getRun"), () => answer)).resolves.toBeDefined();
  });
});
