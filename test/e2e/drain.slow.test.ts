import { describe, expect, it } from "vitest";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import { WorkloadService } from "../gen/retake/test/e2e/v1/workload_pb.js";
import { connect } from "./connection.ts";
import { probe, ServingStatus, untilHealth } from "./health.ts";
import { untilFirstStep, untilRunning } from "./held-runs.ts";
import { describeRun, eventsOf, readJournals } from "./kill/journals.ts";
import { verifyJournals, verifyMarks } from "./kill/verify.ts";
import { readMarks } from "./marks.ts";
import { expectUnavailable } from "./refusals.ts";
import { createServerSite } from "./server-process.ts";

const held = `${WorkloadService.typeName}/${WorkloadService.method.held.name}`;

describe("retake serve, told to stop", () => {
  it("says so at once, takes no new runs, lets running attempts end, and exits with 0", async () => {
    await using site = await createServerSite({ drainTimeoutMs: 120_000 });
    const server = site.launch();
    await server.ready;
    using connection = connect(site.grpcPort);
    const { workloads, runs } = connection;
    expect(await probe(site.webPort, "/readyz")).toBe(200);
    const unkeyed = workloads.held({ gate: "gate" });
    const keyed = workloads.held({ key: "keyed", gate: "gate" });
    const [runId = ""] = await untilRunning(connection, 2);

    server.signal("SIGTERM");
    await untilHealth(connection, ServingStatus.NOT_SERVING);
    expect(await probe(site.webPort, "/readyz")).toBe(503);
    expect(await probe(site.webPort, "/healthz")).toBe(200);
    await expectUnavailable(runs.startRun({ workflow: held }), "DRAINING");
    await expectUnavailable(workloads.held({ key: "new", gate: "gate" }), "DRAINING");
    await expectUnavailable(workloads.single({}), "DRAINING");
    // What was there before goes on as ever, and can be seen.
    expect((await runs.getRun({ runId })).run?.state).toBe(RunState.RUNNING);

    server.release("gate");
    expect(await Promise.all([unkeyed, keyed])).toMatchObject([{ gate: "gate" }, { gate: "gate" }]);
    expect(await server.exited).toEqual({ code: 0, signal: null });
  }, 120_000);

  it("hands back what does not end in time, answers every open call, and resumes at the next start", async () => {
    await using site = await createServerSite({ drainTimeoutMs: 50 });
    const before = site.launch();
    await before.ready;
    using connection = connect(site.grpcPort);
    const { workloads, runs } = connection;
    const started = (await runs.startRun({ workflow: held, idempotencyKey: "started" })).run?.runId ?? "";
    const calls = [
      workloads.held({ key: "keyed", gate: "gate" }),
      workloads.held({ gate: "gate" }),
      untilEnd(runs.watchRun({ runId: started })),
    ].map((call) => expectUnavailable(call, "DRAINING"));
    for (const runId of await untilRunning(connection, 3)) {
      await untilFirstStep(connection, runId);
    }
    const exit = before.terminate();
    await Promise.all(calls);
    expect(await exit).toEqual({ code: 0, signal: null });

    const after = site.launch();
    await after.ready;
    using reconnected = connect(site.grpcPort);
    await untilRunning(reconnected, 2, 2);
    const again = reconnected.workloads.held({ key: "keyed", gate: "gate" });
    after.release("gate");
    after.release("");
    expect(await again).toMatchObject({ gate: "gate" });
    const journals = await readJournals(reconnected);
    verifyJournals(journals);
    verifyMarks(journals, readMarks(site.marksPath));
    const all = [...journals.values()];
    expect(all).toHaveLength(3);
    for (const journal of all) {
      const failures = eventsOf(journal, "attemptFailed").map(({ failure, counted }) => [failure?.reason, counted]);
      expect(failures, describeRun(journal)).toEqual([["HANDED_BACK", false]]);
      const [cancelled] = eventsOf(journal, "cancelled");
      if (journal.run.idempotencyKey === "") {
        expect(cancelled?.reason, describeRun(journal)).toBe("DRAINED");
      } else {
        expect(journal.run.state, describeRun(journal)).toBe(RunState.SUCCEEDED);
      }
    }
  }, 120_000);

  it("stops at once when it is told a second time, and loses nothing by that", async () => {
    await using site = await createServerSite({ drainTimeoutMs: 600_000 });
    const before = site.launch();
    await before.ready;
    using connection = connect(site.grpcPort);
    const { run } = await connection.runs.startRun({
      workflow: held,
      input: { case: "json", value: '{"gate":"gate"}' },
    });
    const runId = run?.runId ?? "";
    await untilFirstStep(connection, runId);
    before.signal("SIGTERM");
    await untilHealth(connection, ServingStatus.NOT_SERVING);
    expect(await before.terminate()).toEqual({ code: 128 + 15, signal: null });

    const after = site.launch();
    await after.ready;
    after.release("gate");
    using reconnected = connect(site.grpcPort);
    const journals = await readJournals(reconnected);
    verifyJournals(journals);
    verifyMarks(journals, readMarks(site.marksPath));
    const journal = journals.get(runId);
    expect(journal?.run.state).toBe(RunState.SUCCEEDED);
    expect(journal && eventsOf(journal, "attemptFailed")).toMatchObject([{ failure: { reason: "INTERRUPTED" } }]);
  }, 120_000);
});

async function untilEnd(stream: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of stream) {
    // What it says does not matter.
  }
}
