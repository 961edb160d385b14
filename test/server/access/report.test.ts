import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MonitoringService } from "../../../gen/retake/v1/monitoring_service_pb.js";
import { type Report, ReportSection } from "../../../gen/retake/v1/report_pb.js";
import { AccessService } from "../../gen/retake/test/v1/access_pb.js";
import { rejection } from "../harness.ts";
import { type AccessServer, callers, startAccessServer } from "./access-server.ts";
import { asApiKey, type Caller, transportTo } from "./callers.ts";

let running: AccessServer;
beforeAll(async () => {
  running = await startAccessServer(
    { web: { disabled: true }, grpc: { disabled: true } },
    {
      authenticated: () => {
        throw new ConnectError("the disk lies", Code.DataLoss);
      },
    },
  );
});
afterAll(() => running.server.close({ drainTimeoutMs: 0 }));

const as = (caller: Caller) => transportTo(running.server, "in process", asApiKey(caller));

const reportFor = async (caller: Caller): Promise<Report | undefined> => {
  const sections = [ReportSection.ERRORS, ReportSection.SECURITY, ReportSection.RESILIENCE];
  return (await createClient(MonitoringService, as(caller)).getReport({ sections })).report;
};

describe("a report", () => {
  it("names the critical failures of those runs alone that its reader sees", async () => {
    for (const caller of [callers.alice, callers.stranger]) {
      await createClient(AccessService, as(caller))
        .authenticated({})
        .catch(() => undefined);
    }
    const failures = async (caller: Caller) => (await reportFor(caller))?.errors?.critical.map(({ runId }) => runId);
    const all = (await failures(callers.admin)) ?? [];
    expect(all).toHaveLength(2);
    expect(await failures(callers.lead)).toEqual(all.slice(1));
    expect(await failures(callers.otherLead)).toEqual(all.slice(0, 1));
  });

  it("tells administrators alone what the audit log says", async () => {
    const [lead, admin] = [await reportFor(callers.lead), await reportFor(callers.admin)];
    expect(lead?.security).toBeUndefined();
    expect(lead?.missing).toMatchObject([{ section: ReportSection.SECURITY }]);
    expect(admin?.missing).toEqual([]);
    expect(admin?.security?.events).toBeGreaterThan(0n);
  });

  it("is nothing for others", async () => {
    await rejection(reportFor(callers.alice), Code.PermissionDenied);
  });
});
