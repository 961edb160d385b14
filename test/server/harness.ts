import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { expect } from "vitest";
import type { RunEvent, RunState } from "../../gen/retake/v1/run_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import type { ServiceJobs } from "../../src/index.ts";
import type { WorkflowImpl } from "../../src/server/server.ts";
import { createTestServer, type TestServer, type TestServerOptions } from "../../src/testing/test-server.ts";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { handlers } from "./handlers.ts";

export interface Harness extends TestServer {
  readonly workflows: Client<typeof WorkflowsService>;
  readonly runs: Client<typeof RunService>;
}

/** A server on virtual time with these handlers, listening. */
export async function startServer(
  own: WorkflowImpl<typeof WorkflowsService> = {},
  options: TestServerOptions = {},
  jobs?: ServiceJobs,
): Promise<Harness> {
  const test = createTestServer(options);
  test.server.implement(WorkflowsService, handlers(own), jobs);
  const listening = test.server.listen();
  await Promise.all([test.clock.advance(0), listening]);
  return {
    ...test,
    workflows: createClient(WorkflowsService, test.server.transport),
    runs: createClient(RunService, test.server.transport),
  };
}

/** Stops a server in virtual time. */
export async function stopServer(
  { server, clock }: Pick<Harness, "server" | "clock">,
  drainTimeoutMs = 0,
): Promise<void> {
  const closed = server.close({ drainTimeoutMs });
  await clock.advance(drainTimeoutMs);
  await closed;
}

/** The events of a run that has ended, or those up to a number. */
export async function eventsOf(
  { runs }: Pick<Harness, "runs">,
  runId: string,
  upTo = Number.POSITIVE_INFINITY,
): Promise<RunEvent[]> {
  const events: RunEvent[] = [];
  for await (const { update } of runs.watchRun({ runId })) {
    if (update.case === "event") {
      events.push(update.value);
      if (Number(update.value.sequence) >= upTo) break;
    }
  }
  return events;
}

export function kindsOf(events: readonly RunEvent[]): (string | undefined)[] {
  return events.map(({ event }) => event.case);
}

/** The ConnectError that a promise rejects with. */
export async function rejection(promise: Promise<unknown>, code?: Code): Promise<ConnectError> {
  const error = await promise.then(
    () => {
      throw new Error("it resolves");
    },
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ConnectError);
  if (code !== undefined) {
    expect(Code[(error as ConnectError).code]).toBe(Code[code]);
  }
  return error as ConnectError;
}

/** The state of a run right now. */
export async function stateOf({ runs }: Harness, runId: string): Promise<RunState | undefined> {
  return (await runs.getRun({ runId })).run?.state;
}

/** A promise that the test settles by hand. */
export function deferred<T = void>() {
  return Promise.withResolvers<T>();
}
