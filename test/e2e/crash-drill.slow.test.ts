import { expect, it } from "vitest";
import { type RunEvent, RunState } from "../../gen/retake/v1/run_pb.js";
import { WorkloadService } from "../gen/retake/test/e2e/v1/workload_pb.js";
import { connect } from "./connection.ts";
import { createServerSite } from "./server-process.ts";

const workflow = `${WorkloadService.typeName}/Single`;

it("a drill that ends the process does so once, and no run is lost by it", async () => {
  await using site = await createServerSite({ flags: ["--allow-crash-faults"] });
  const before = site.launch();
  await before.ready;
  using connection = connect(site.grpcPort);
  await connection.admin.injectFault({
    fault: { workflow, effect: { case: "crash", value: {} } },
    duration: { seconds: 600n },
  });
  const { run } = await connection.runs.startRun({ workflow });
  expect(await before.exited).toEqual({ code: null, signal: "SIGKILL" });

  const after = site.launch();
  await after.ready;
  using again = connect(site.grpcPort);
  const events: RunEvent["event"][] = [];
  for await (const { update } of again.runs.watchRun({ runId: run?.runId ?? "" })) {
    if (update.case === "event") events.push(update.value.event);
  }
  expect(events.map(({ case: kind }) => kind)).toEqual([
    "accepted",
    "attemptStarted",
    "faultInjected",
    "attemptFailed",
    "attemptStarted",
    "succeeded",
  ]);
  expect((await again.runs.getRun({ runId: run?.runId ?? "" })).run?.state).toBe(RunState.SUCCEEDED);
  expect((await again.admin.listFaults({})).faults).toEqual([]);
}, 120_000);
