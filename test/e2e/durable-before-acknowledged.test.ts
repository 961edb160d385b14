import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { clone, create, type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import type { CallOptions } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { type Payload, type RunEvent, RunEventSchema } from "../../gen/retake/v1/run_pb.js";
import { GetRunResponseSchema } from "../../gen/retake/v1/run_service_pb.js";
import { StepsRequestSchema, WorkloadService } from "../gen/retake/test/e2e/v1/workload_pb.js";
import { describeWithTool, requireTool } from "../tools.ts";
import { connect } from "./connection.ts";
import { type Journal, readJournals } from "./kill/journals.ts";
import type { Mark } from "./marks.ts";
import { createServerSite } from "./server-process.ts";
import { LogWrites } from "./strace/log-writes.ts";
import { Publications } from "./strace/publications.ts";
import { parseSystemCalls } from "./strace/system-calls.ts";
import { tracingLauncher } from "./strace/tracer.ts";

const { method } = WorkloadService;

describeWithTool("strace", "a server, system call by system call", () => {
  it("acknowledges, publishes and executes nothing before the sync that keeps it has returned", async (context) => {
    await using site = await createServerSite();
    const trace = join(site.root, "trace");
    const server = site.launch({ launcher: tracingLauncher(requireTool("strace", context), trace) });
    await server.ready;
    const seen = await callEverything(site.grpcPort);
    expect(await server.terminate()).toEqual({ code: 0, signal: null });

    const calls = parseSystemCalls(await readFile(trace, "utf8"));
    const log = new LogWrites(calls);
    const sent = new Publications(calls, site.grpcPort);
    const durable = (event: RunEvent, runId: string) =>
      log.durableAt(journaledBytes(event), `event ${event.sequence} (${event.event.case}) of run ${runId}`);
    /** What happened, with the time at which it did and that at which what it stands on was durable. */
    const checks: { what: string; at: number; durableAt: number }[] = [];

    for (const [runId, events] of seen.watched) {
      for (const event of events) {
        const what = `event ${event.sequence} (${event.event.case}) of run ${runId} is shown`;
        checks.push({ what, at: sent.sentAt(toBinary(RunEventSchema, event), what), durableAt: durable(event, runId) });
      }
    }
    for (const { runId, bytes, what, covered, headers } of seen.answers) {
      const event = seen.journals.get(runId)?.events.findLast(covered);
      if (event === undefined) {
        throw new Error(`the journal of run ${runId} does not hold what ${what} stands on`);
      }
      const at = headers ? sent.headersSentAt(bytes, what) : sent.sentAt(bytes, what);
      checks.push({ what: `${what} of run ${runId}`, at, durableAt: durable(event, runId) });
    }
    const marks = calls.filter(({ file }) => file === site.marksPath);
    for (const { data, began } of marks) {
      const mark = JSON.parse(data.toString()) as Mark;
      const before = eventsBefore(mark, seen.journals.get(mark.runId)?.events ?? []);
      expect(before).not.toEqual([]);
      for (const event of before) {
        const what = `${mark.step === undefined ? "the handler" : `step ${mark.step}`} of run ${mark.runId} is called`;
        checks.push({ what, at: began, durableAt: durable(event, mark.runId) });
      }
    }

    expect(checks.filter(({ at, durableAt }) => at <= durableAt)).toEqual([]);
    // It has seen all of that: syncs, events, answers of every kind, handlers and steps.
    expect(log.syncs).toBeGreaterThan(20);
    expect(seen.watched.size).toBeGreaterThan(2);
    expect(new Set(seen.answers.map(({ what }) => what)).size).toBe(7);
    expect(marks.length).toBeGreaterThan(10);
    expect(checks.length).toBeGreaterThan(60);
  }, 120_000);
});

/** Something that a client was told, and the event that it stands on. */
interface Told {
  readonly what: string;
  readonly runId: string;
  readonly bytes: Uint8Array;
  /** The headers of the answer tell it already. */
  readonly headers: boolean;
  covered(event: RunEvent): boolean;
}

interface Seen {
  readonly watched: ReadonlyMap<string, readonly RunEvent[]>;
  readonly answers: readonly Told[];
  readonly journals: ReadonlyMap<string, Journal>;
}

const isKind =
  (kind: RunEvent["event"]["case"]) =>
  ({ event }: RunEvent): boolean =>
    event.case === kind;

/** Calls a server in every way that there is, alone and several at once, and keeps what it was told. */
async function callEverything(port: number): Promise<Seen> {
  using connection = connect(port);
  const { workloads, runs } = connection;
  const watched = new Map<string, readonly RunEvent[]>();
  const answers: Told[] = [];
  const told = (what: string, runId: string, bytes: Uint8Array, kind: RunEvent["event"]["case"], headers = false) =>
    answers.push({ what, runId, bytes, headers, covered: isKind(kind) });
  const direct = async <Output extends DescMessage>(
    output: Output,
    call: (options: CallOptions) => Promise<MessageShape<Output>>,
  ): Promise<void> => {
    let runId = "";
    const response = await call({
      onHeader: (header) => {
        runId = header.get("retake-run-id") ?? "";
      },
    });
    told("the answer to a direct call", runId, toBinary(output, response), "succeeded");
  };

  const start = async (text: string): Promise<string> => {
    const input = anyPack(StepsRequestSchema, create(StepsRequestSchema, { text }));
    const { run } = await runs.startRun({
      workflow: `${WorkloadService.typeName}/${method.steps.name}`,
      input: { case: "message", value: input },
    });
    const runId = run?.runId ?? "";
    told("the answer to StartRun", runId, Buffer.from(runId), "accepted");
    return runId;
  };
  const watch = async (runId: string): Promise<void> => {
    const events: RunEvent[] = [];
    for await (const { update } of runs.watchRun({ runId })) {
      if (update.case === "event") {
        events.push(update.value);
      }
    }
    watched.set(runId, events);
  };
  /** Asks for it again and again while it works, and joins its watchers each time: between a commit and its sync, too. */
  const look = async (runId: string): Promise<void> => {
    const joined: Promise<void>[] = [];
    for (let ended = false; !ended; ) {
      joined.push(watch(runId));
      const response = await runs.getRun({ runId });
      const { lastSequence = 0n, endTime } = response.run ?? {};
      const bytes = toBinary(GetRunResponseSchema, response);
      const covered = ({ sequence }: RunEvent) => sequence === lastSequence;
      answers.push({ what: "the answer to GetRun", runId, bytes, headers: false, covered });
      ended = endTime !== undefined;
    }
    await Promise.all(joined);
  };
  const stream = async (key: string): Promise<void> => {
    let runId = "";
    const responses = workloads.stream(
      { key, lines: 3 },
      {
        onHeader: (header) => {
          runId = header.get("retake-run-id") ?? "";
        },
      },
    );
    for await (const response of responses) {
      const { update } = response;
      const bytes = toBinary(method.stream.output, response);
      if (update.case === "token") {
        told("the result of a streaming call", runId, bytes, "succeeded");
        told("the headers of a streaming call", runId, bytes, "accepted", true);
      } else if (update.case === "line") {
        const sha256 = createHash("sha256").update(bytes).digest();
        const covered = ({ event }: RunEvent) =>
          event.case === "updateRecorded" && sha256.equals(event.value.update?.sha256 ?? new Uint8Array());
        answers.push({ what: "an update of a streaming call", runId, bytes, headers: false, covered });
      }
    }
  };
  const cancel = async (reason: string): Promise<void> => {
    const { run } = await runs.startRun({
      workflow: `${WorkloadService.typeName}/${method.held.name}`,
      input: { case: "json", value: '{"gate":"never"}' },
    });
    const runId = run?.runId ?? "";
    await runs.cancelRun({ runId, reason });
    told("the answer to CancelRun", runId, Buffer.from(reason), "cancelRequested");
  };

  const first = await start("alone");
  await Promise.all([watch(first), look(first)]);
  await direct(method.single.output, (options) => workloads.single({ text: "alone" }, options));
  await stream("alone");
  await cancel("no longer of interest");
  await Promise.all([
    ...["a", "b", "c"].map(async (text) => watch(await start(text))),
    ...["d", "e", "f"].map((key) =>
      direct(method.steps.output, (options) => workloads.steps({ key, text: key }, options)),
    ),
    direct(method.family.output, (options) => workloads.family({ text: "g" }, options)),
    stream("h"),
  ]);
  return { watched, answers, journals: await readJournals(connection) };
}

/** What was journaled before a mark was left: the start of its attempt, and the steps before its own. */
function eventsBefore(mark: Mark, events: readonly RunEvent[]): readonly RunEvent[] {
  const started = events.findIndex(({ event }) => event.case === "attemptStarted" && event.value.token === mark.token);
  const completed = events.findIndex(({ event }) => event.case === "stepCompleted" && event.value.name === mark.step);
  // A step that was cancelled while it worked has no result.
  return events.slice(0, Math.max(started + 1, completed));
}

/** An event as the journal holds it: without the messages that a watcher is given along with it. */
function journaledBytes(event: RunEvent): Uint8Array {
  const copy = clone(RunEventSchema, event);
  const payload = payloadOf(copy.event);
  if (payload !== undefined) {
    delete payload.value;
  }
  return toBinary(RunEventSchema, copy);
}

function payloadOf(body: RunEvent["event"]): Payload | undefined {
  switch (body.case) {
    case "accepted":
      return body.value.input;
    case "stepCompleted":
    case "succeeded":
      return body.value.result;
    case "updateRecorded":
      return body.value.update;
    default:
      return undefined;
  }
}
