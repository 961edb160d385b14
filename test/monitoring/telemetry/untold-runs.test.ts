import { expect, it } from "vitest";
import { RunState } from "../../../gen/retake/v1/run_pb.js";
import { UntoldRuns } from "../../../src/monitoring/telemetry/untold-runs.ts";
import { type Journal, JournalUnavailableError, silentLogger } from "../../../src/runs/index.ts";
import { createMemoryStorage } from "../../../src/runs/memory/index.ts";
import { createVirtualClock } from "../../../src/testing/virtual-clock.ts";
import { creation } from "../../runs/ports/storage-harness.ts";
import { recordingLogger } from "../../server/listening-server.ts";
import { writeEnded } from "./ended-runs.ts";

const clock = createVirtualClock();

async function setUp() {
  const { journal } = createMemoryStorage({ clock });
  await writeEnded(journal, "a", 1_000, 9_000);
  // What it says is no event.
  await journal.append([creation("damaged", { createTimeMs: 1_000, state: RunState.FAILED })]);
  await writeEnded(journal, "b", 1_000, 9_000);
  await journal.append([creation("open", { createTimeMs: 1_000, state: RunState.QUEUED })]);
  const told: string[] = [];
  const find = (reading: Pick<Journal, "listRuns" | "read">, log = silentLogger) =>
    UntoldRuns.find({
      ...{ journal: reading, clock, log },
      mark: { toldMs: 5_000, openMs: 5_000, openRunIds: ["a", "damaged", "b", "open"] },
      observer: { retold: ({ accepted }) => void told.push(accepted.runId) },
    });
  return { journal, told, find };
}

it("runs that ended are told again, though one of them cannot be read", async () => {
  const { journal, told, find } = await setUp();
  const log = recordingLogger();
  const untold = await find(journal, log);
  expect(await untold.tell()).toBe(true);
  expect(told).toEqual(["a", "b"]);
  expect(log.entries).toMatchObject([{ level: "warn", fields: { run_id: "damaged" } }]);
});

it("runs that were open are found among those that have ended without a look at their journals", async () => {
  const { journal, find } = await setUp();
  const read: string[] = [];
  const reading: Pick<Journal, "listRuns" | "read"> = {
    listRuns: (...args) => journal.listRuns(...args),
    read: (stream, ...args) => {
      read.push(stream);
      return journal.read(stream, ...args);
    },
  };
  const untold = await find(reading);
  expect(read).toEqual([]);
  await untold.tell();
  expect(read).not.toContain("run/open");
});

it("there is something left to tell of while the journal cannot be read", async () => {
  const { journal, told, find } = await setUp();
  const untold = await find({
    listRuns: (...args) => journal.listRuns(...args),
    read: () => Promise.reject(new JournalUnavailableError("closed")),
  });
  expect(await untold.tell()).toBe(false);
  expect(told).toEqual([]);
});
