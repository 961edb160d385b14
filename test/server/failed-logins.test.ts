import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { AdminService } from "../../gen/retake/v1/admin_service_pb.js";
import { AuditOutcome } from "../../gen/retake/v1/audit_pb.js";
import { AccessLevel } from "../../gen/retake/v1/options_pb.js";
import { systemRandom } from "../../src/clock.ts";
import { createKey } from "../../src/security/keys/key-format.ts";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { startListening } from "./listening-server.ts";

const plain = `${WorkflowsService.typeName}/Plain`;

it("calls with wrong API keys, and the lock-out they end in, are on record and in the report", async () => {
  // The answers to the first two are held back for that time, and for twice that; the lock-out takes four times as long.
  const lockout = { threshold: 3, initialDelay: { nanos: 500_000_000 }, maxLockout: { seconds: 60n } };
  const { server, grpc, web } = await startListening({}, { config: { security: { lockout } } });
  const admin = createClient(AdminService, server.transport);
  const { key: right } = await admin.createApiKey({ subject: "ana", level: AccessLevel.ADMIN });
  const wrong = createKey(systemRandom);
  const call = (apiKey: string, transport: Transport = grpc) =>
    createClient(WorkflowsService, transport)
      .plain({}, { headers: { "x-api-key": apiKey } })
      .then(
        () => "let in",
        (error: unknown) => Code[ConnectError.from(error).code],
      );

  const fronts = [grpc, web["connect with JSON"], grpc, web["gRPC-Web"], grpc, web["connect with protobuf"]];
  const outcomes = await Promise.all(fronts.map((front) => call(wrong.text, front)));
  expect(outcomes.sort()).toEqual([...Array(4).fill("ResourceExhausted"), "Unauthenticated", "Unauthenticated"]);
  expect(await call(right)).toBe("let in");

  const { records } = await admin.listAuditRecords({ filter: { action: "auth.*" }, oldestFirst: true });
  const failed = records.filter(({ action }) => action === "auth.failed");
  const locked = records.filter(({ action }) => action === "auth.locked_out");
  expect(failed.reduce((sum, { count }) => sum + Number(count || 1n), 0)).toBe(2);
  expect(locked).toHaveLength(1);
  for (const record of [...failed, ...locked]) {
    expect(record).toMatchObject({
      subject: "anonymous",
      outcome: AuditOutcome.DENIED,
      resource: plain,
      reason: "CREDENTIALS_REFUSED",
      details: { key_id: wrong.id },
    });
    expect(record.source).not.toBe("");
  }
  expect(locked[0]?.details).toMatchObject({ for_ms: expect.stringMatching(/^\d+$/) });
  expect(JSON.stringify(records, (_, value) => (typeof value === "bigint" ? String(value) : value))).not.toContain(
    wrong.text.slice(16),
  );

  const { report } = await admin.getSecurityReport({});
  expect(report).toMatchObject({ denied: 3n, lockouts: 1n });
  expect(report?.actions).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ action: "auth.failed", outcome: AuditOutcome.DENIED, count: 2n }),
      expect.objectContaining({ action: "auth.locked_out", outcome: AuditOutcome.DENIED, count: 1n }),
    ]),
  );
  expect(report?.deniedAccess).toEqual([
    expect.objectContaining({ reason: "CREDENTIALS_REFUSED", resource: plain, count: 3n }),
  ]);
});
