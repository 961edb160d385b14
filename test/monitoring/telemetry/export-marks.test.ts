import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { RunState } from "../../../gen/retake/v1/run_pb.js";
import { SpansExportedSchema } from "../../../gen/retake/v1/storage_pb.js";
import { ExportMarks } from "../../../src/monitoring/telemetry/export-marks.ts";
import { type Journal, type Logger, recordsOf, silentLogger, timestampFromMs } from "../../../src/runs/index.ts";
import { createMemoryStorage } from "../../../src/runs/memory/index.ts";
import { createVirtualClock } from "../../../src/testing/virtual-clock.ts";
import { creation } from "../../runs/ports/storage-harness.ts";
import { recordingLogger } from "../../server/listening-server.ts";

const clock = createVirtualClock();
const nothing = { added: 0, settled: 0 };
const record = (ms: number, openRunIds: string[]) =>
  toBinary(SpansExportedSchema, create(SpansExportedSchema, { time: timestampFromMs(ms), openRunIds }));

function marksOn(journal: Journal, log: Logger = silentLogger): ExportMarks {
  return new ExportMarks({ journal, clock, log }, nothing);
}

it("the mark at the end says which runs are open", async () => {
  const { journal } = createMemoryStorage({ clock });
  const marks = marksOn(journal);
  await marks.open();
  marks.begin();
  await journal.append([creation("parked", { state: RunState.PARKED })]);
  await marks.close();
  expect((await marksOn(journal).open())?.openRunIds).toEqual(["parked"]);
});

it("a mark that is damaged is none, and the one before holds", async () => {
  const { journal } = createMemoryStorage({ clock });
  const damaged = new Uint8Array([255]);
  const records = [record(1_000, ["a"]), damaged, record(2_000, [])];
  await journal.append([{ stream: "exported/1", expectedSequence: 0, records }]);
  const marks = marksOn(journal);
  expect(await marks.open()).toMatchObject({ toldMs: 1_000, openRunIds: ["a"] });
  marks.begin();
  await marks.close();
  expect(await marksOn(journal).open()).toMatchObject({ toldMs: clock.now() + 1 });

  const other = createMemoryStorage({ clock }).journal;
  await other.append([{ stream: "exported/1", expectedSequence: 0, records: [damaged] }]);
  expect(await marksOn(other).open()).toBeUndefined();
  expect(await marksOn(other).open()).toMatchObject({ toldMs: clock.now() });
});

it("streams that a crash has left hold up no start", async () => {
  const { journal } = createMemoryStorage({ clock });
  for (const number of [1, 2]) {
    await journal.append([
      { stream: `exported/${number}`, expectedSequence: 0, records: [record(number * 1_000, [])] },
    ]);
  }
  journal.deleteStreams = () => new Promise<never>(() => undefined);
  expect(await marksOn(journal).open()).toMatchObject({ toldMs: 2_000 });
});

it("a stream that is outgrown holds up neither the marks that follow nor a start, while it cannot be deleted", async () => {
  const { journal } = createMemoryStorage({ clock });
  const records = Array.from({ length: 100 }, (_, i) => record(1_000 + i, []));
  await journal.append([{ stream: "exported/1", expectedSequence: 0, records }]);
  journal.deleteStreams = () => new Promise<never>(() => undefined);
  const marks = marksOn(journal);
  await marks.open();
  marks.begin();
  for (let i = 0; i < 2; i++) {
    marks.sending();
    await clock.advance(500);
  }
  expect(await journal.read("exported/2", 0, 10)).toHaveLength(2);

  const other = createMemoryStorage({ clock }).journal;
  await other.append([{ stream: "exported/1", expectedSequence: 0, records: [new Uint8Array([255])] }]);
  other.deleteStreams = journal.deleteStreams;
  expect(await marksOn(other).open()).toBeUndefined();
});

it("those that end first are noted where more runs are open than may be", async () => {
  const { journal } = createMemoryStorage({ clock });
  const of = (id: string, state: RunState) => creation(id, { state });
  const queued = (from: string) => Array.from({ length: 1_500 }, (_, i) => of(`${from}${i}`, RunState.QUEUED));
  await journal.append([...queued("old"), of("running", RunState.RUNNING), ...queued("new")]);
  const log = recordingLogger();
  const marks = marksOn(journal, log);
  await marks.open();
  marks.begin();
  await marks.close();
  const { openRunIds = [] } = (await marksOn(journal).open()) ?? {};
  expect(openRunIds).toHaveLength(2_000);
  expect(openRunIds.slice(0, 2)).toEqual(["running", "old0"]);
  expect(openRunIds).toContain("old1499");
  expect(log.entries).toHaveLength(1);
});

it("what was open is in the journal once for each look, and holds for the marks after it", async () => {
  const { journal } = createMemoryStorage({ clock });
  await journal.append([creation("open", { state: RunState.QUEUED })]);
  const marks = marksOn(journal);
  await marks.open();
  marks.begin();
  for (let i = 0; i < 3; i++) {
    marks.sending();
    await clock.advance(500);
  }
  const written: number[] = [];
  for await (const { data } of recordsOf(journal, "exported/1")) {
    written.push(fromBinary(SpansExportedSchema, data).openRunIds.length);
  }
  expect(written).toEqual([1, 1, 0, 0]);
  expect((await marksOn(journal).open())?.openRunIds).toEqual(["open"]);
});
