import { Webhook } from "standardwebhooks";
import { expect, it } from "vitest";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import { WorkloadService } from "../gen/retake/test/e2e/v1/workload_pb.js";
import { startReceiver, status, until } from "../webhooks/receiver.ts";
import { connect } from "./connection.ts";
import { createServerSite } from "./server-process.ts";

const secret = `whsec_${Buffer.alloc(32, 3).toString("base64")}`;
const workflow = `${WorkloadService.typeName}/Single`;

it("the ends of runs are told although the server is killed before anybody has taken them, and then no more", async () => {
  const receiver = await startReceiver();
  receiver.answer(() => undefined);
  await using site = await createServerSite({
    config: {
      workflows: { [workflow]: { notify: { url: receiver.url } } },
      webhooks: { secrets: [{ environment: "RETAKE_TEST_SECRET" }], initialBackoff: "0.1s", concurrency: 2 },
    },
    env: { RETAKE_TEST_SECRET: secret },
  });
  const first = site.launch();
  await first.ready;
  using connection = connect(site.grpcPort);
  const runIds: string[] = [];
  for (let count = 0; count < 5; count++) {
    const { run } = await connection.runs.startRun({ workflow, input: { case: "json", value: '{"text":"a"}' } });
    runIds.push(run?.runId ?? "");
  }
  await until(async () => {
    const { runs } = await connection.runs.listRuns({ states: [RunState.SUCCEEDED] });
    return runs.length === 5 && receiver.open === 2;
  });
  await first.kill();
  await until(() => receiver.open === 0);

  const before = receiver.requests.length;
  receiver.answer(status(204));
  const second = site.launch();
  await second.ready;
  await until(() => receiver.requests.length === before + 5 && receiver.open === 0);
  const told = receiver.requests.slice(before);
  expect(told.map(({ id }) => id).sort()).toEqual(runIds.toSorted());
  for (const { id, body, headers } of told) {
    const message = new Webhook(secret).verify(body, headers as Record<string, string>);
    expect(message).toMatchObject({ type: "run.succeeded", data: { runId: id, workflow } });
  }
  await second.terminate();

  const third = site.launch();
  await third.ready;
  using again = connect(site.grpcPort);
  const { run } = await again.runs.startRun({ workflow });
  await until(() => receiver.requests.length > before + 5);
  expect(receiver.requests.slice(before + 5).map(({ id }) => id)).toEqual([run?.runId]);
}, 60_000);
