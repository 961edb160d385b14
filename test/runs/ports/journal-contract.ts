import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { RunState } from "../../../gen/retake/v1/run_pb.js";
import {
  type Journal,
  JournalConflictError,
  type JournalStatus,
  JournalUnavailableError,
  type RunFilter,
  type RunIndexEntry,
  runStream,
} from "../../../src/runs/ports/journal.ts";
import { createVirtualClock, type VirtualClock } from "../../../src/testing/virtual-clock.ts";
import {
  bytes,
  creation,
  type OpenStorage,
  owner,
  records,
  type Storage,
  settled,
  workflow,
} from "./storage-harness.ts";
import { TestDisk } from "./test-disk.ts";

const decoder = new TextDecoder();

/** What every journal has to hold, whatever it is made of. */
export function describeJournal(name: string, open: OpenStorage): void {
  describe(`${name} as a journal`, () => {
    let clock: VirtualClock;
    let disk: TestDisk;
    let storage: Storage;
    let journal: Journal;

    beforeEach(() => {
      clock = createVirtualClock();
      disk = new TestDisk();
      storage = open(clock, disk.sync);
      journal = storage.journal;
    });

    afterEach(async () => {
      disk.mend();
      disk.release();
      await storage.close();
    });

    async function read(stream: string, after = 0, limit = 100): Promise<string[]> {
      const found = await journal.read(stream, after, limit);
      return found.map(({ sequence, data }) => `${sequence} ${decoder.decode(data)}`);
    }

    async function listed(filter: RunFilter = {}, limit = 100): Promise<string[]> {
      return (await journal.listRuns(filter, { limit })).map(({ runId }) => runId);
    }

    describe("append and read", () => {
      it("gives records back in order, numbered from 1 on", async () => {
        await journal.append([{ stream: "a", expectedSequence: 0, records: records("one", "two") }]);
        await journal.append([{ stream: "a", expectedSequence: 2, records: records("three") }]);

        expect(await read("a")).toEqual(["1 one", "2 two", "3 three"]);
      });

      it.each([
        [0, 2, ["1 one", "2 two"]],
        [1, 100, ["2 two", "3 three", "4 four"]],
        [1, 1, ["2 two"]],
        [3, 5, ["4 four"]],
        [4, 5, []],
        [9, 5, []],
        [0, 0, []],
      ])("reads after number %d at most %d records", async (after, limit, expected) => {
        await journal.append([{ stream: "a", expectedSequence: 0, records: records("one", "two", "three") }]);
        await journal.append([{ stream: "a", expectedSequence: 3, records: records("four") }]);

        expect(await read("a", after, limit)).toEqual(expected);
      });

      it("knows no records of an unknown stream", async () => {
        expect(await read("nobody")).toEqual([]);
      });

      it("keeps bytes as they are, none too", async () => {
        const data = Uint8Array.from({ length: 70_000 }, (_, index) => index % 251);
        await journal.append([{ stream: "a", expectedSequence: 0, records: [data, new Uint8Array(), data] }]);

        const found = await journal.read("a", 0, 10);
        expect(found.map((record) => Buffer.from(record.data))).toEqual([
          Buffer.from(data),
          Buffer.alloc(0),
          Buffer.from(data),
        ]);
      });

      it("keeps names apart that differ in anything", async () => {
        const names = ["a", "A", "a ", "a\0", "a\0b", "ä", "a\u0308", "%", "_", "run/", "😀"];
        await Promise.all(
          names.map((stream) => journal.append([{ stream, expectedSequence: 0, records: records(stream) }])),
        );

        for (const stream of names) {
          expect(await read(stream)).toEqual([`1 ${stream}`]);
        }
      });

      it.each([
        ["an expectation below zero", { stream: "a", expectedSequence: -1, records: records("x") }],
        ["an expectation that is no integer", { stream: "a", expectedSequence: 0.5, records: records("x") }],
        ["a new stream without a record", { stream: "a", expectedSequence: 0, records: [] }],
        ["a creation after the first record", { ...creation("x"), expectedSequence: 1 }],
      ])("refuses %s", async (_, append) => {
        await expect(journal.append([append])).rejects.toThrow(RangeError);
        expect(await journal.listStreams("", "", 10)).toEqual([]);
      });
    });

    describe("conflicts", () => {
      it.each([
        ["a stream that exists is taken for new", "a", 0],
        ["a stream is taken for longer than it is", "a", 2],
        ["a stream that does not exist is taken for one that does", "b", 1],
      ])("reject the append alone, and change nothing, when %s", async (_, stream, expectedSequence) => {
        await journal.append([{ stream: "a", expectedSequence: 0, records: records("one") }]);
        const results = await Promise.allSettled([
          journal.append([{ stream: "before", expectedSequence: 0, records: records("x") }]),
          journal.append([{ stream, expectedSequence, records: records("wrong") }]),
          journal.append([{ stream: "after", expectedSequence: 0, records: records("y") }]),
        ]);

        expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
        const error = (results[1] as PromiseRejectedResult).reason;
        expect(error).toBeInstanceOf(JournalConflictError);
        expect(error).toMatchObject({ stream, expectedSequence });
        expect(await read("a")).toEqual(["1 one"]);
        expect(await read("b")).toEqual([]);
        expect(await read("before")).toEqual(["1 x"]);
        expect(await read("after")).toEqual(["1 y"]);
      });

      it("meet whoever comes second, also within one batch", async () => {
        const results = await Promise.allSettled(
          ["first", "second"].map((text) =>
            journal.append([{ stream: "a", expectedSequence: 0, records: records(text) }]),
          ),
        );

        expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
        expect(await read("a")).toEqual(["1 first"]);
      });

      it("hold back all streams of an append", async () => {
        await journal.append([{ stream: "a", expectedSequence: 0, records: records("one") }]);
        const both = (expected: number): Promise<void> =>
          journal.append([
            { stream: "b", expectedSequence: 0, records: records("new") },
            { stream: "a", expectedSequence: expected, records: records("two") },
            creation("c"),
          ]);

        await expect(both(7)).rejects.toThrow(JournalConflictError);
        expect([await read("a"), await read("b"), await listed()]).toEqual([["1 one"], [], []]);
        await both(1);
        expect([await read("a"), await read("b"), await listed()]).toEqual([["1 one", "2 two"], ["1 new"], ["c"]]);
      });

      it("hold back what asks only that another stream stands somewhere, and changes nothing of that one", async () => {
        await journal.append([{ stream: "a", expectedSequence: 0, records: records("1"), state: RunState.QUEUED }]);
        const behind = (stream: string, sequence: number) =>
          journal.append([
            { stream, expectedSequence: 0, records: records("x") },
            { stream: "a", expectedSequence: sequence, records: [] },
          ]);
        const refused = journal.append([{ stream: "a", expectedSequence: 7, records: records("never") }]);
        const follower = behind("b", 8);
        await expect(refused).rejects.toThrow(JournalConflictError);
        await expect(follower).rejects.toThrow(JournalConflictError);
        await behind("c", 1);
        await journal.append([{ stream: "a", expectedSequence: 1, records: records("2") }]);
        expect([await read("a"), await read("b"), await read("c")]).toEqual([["1 1", "2 2"], [], ["1 x"]]);
      });

      it("do not come from an append that names a stream twice, in order", async () => {
        await journal.append([
          { stream: "a", expectedSequence: 0, records: records("one") },
          { stream: "a", expectedSequence: 1, records: records("two") },
        ]);
        await expect(
          journal.append([
            { stream: "b", expectedSequence: 0, records: records("one") },
            { stream: "b", expectedSequence: 0, records: records("again") },
          ]),
        ).rejects.toThrow(JournalConflictError);

        expect([await read("a"), await read("b")]).toEqual([["1 one", "2 two"], []]);
      });
    });

    describe("durability", () => {
      it("resolves appends in the order of the calls, those that fail too", async () => {
        const order: string[] = [];
        const note = (text: string) => (): void => {
          order.push(text);
        };
        await Promise.all([
          journal.append([{ stream: "a", expectedSequence: 0, records: records("1") }]).then(note("a1")),
          journal.append([{ stream: "b", expectedSequence: 5, records: records("1") }]).catch(note("b conflict")),
          journal.append([{ stream: "a", expectedSequence: 1, records: records("2") }]).then(note("a2")),
          journal.flush().then(note("flush")),
          journal.append([{ stream: "c", expectedSequence: 0, records: records("1") }]).then(note("c1")),
        ]);

        expect(order).toEqual(["a1", "b conflict", "a2", "flush", "c1"]);
      });

      it("shares one sync among appends that are due together", async () => {
        await Promise.all(
          Array.from({ length: 50 }, (_, index) =>
            journal.append([{ stream: `s${index}`, expectedSequence: 0, records: records("x") }]),
          ),
        );

        expect(disk.syncs).toBe(1);
      });

      it("neither acknowledges nor shows what is not durable", async () => {
        await journal.append([creation("old", { key: "k", state: RunState.QUEUED, createTimeMs: 1 })]);
        disk.hold();
        const appended = journal.append([
          creation("new", { key: "k", state: RunState.FAILED, retireAtMs: 5, createTimeMs: 2 }),
          { stream: runStream("old"), expectedSequence: 1, records: records("more"), state: RunState.RUNNING },
        ]);
        await clock.advance(0);
        const reads = {
          read: journal.read(runStream("old"), 0, 10).then((found) => found.length),
          streams: journal.listStreams("run/", "", 10).then((names) => names.length),
          runs: journal.listRuns({}, { limit: 10 }).then((rows) => rows.map(({ state }) => state)),
          byKey: journal.findRunByKey(owner, workflow, "k").then((row) => row?.runId),
          retired: journal.listRetired(10, 10),
          flush: journal.flush(),
        };

        expect(await settled(appended)).toBe("open");
        expect(await settled(reads.flush)).toBe("open");
        expect(["open", 1]).toContainEqual(await settled(reads.read));
        expect(["open", 1]).toContainEqual(await settled(reads.streams));
        expect(["open", [RunState.QUEUED]]).toContainEqual(await settled(reads.runs));
        expect(["open", "old"]).toContainEqual(await settled(reads.byKey));
        expect(["open", []]).toContainEqual(await settled(reads.retired));

        disk.release();
        await Promise.all([appended, ...Object.values(reads)]);
        expect(await journal.findRunByKey(owner, workflow, "k")).toMatchObject({ runId: "new", lastSequence: 1 });
        expect(await journal.listRetired(10, 10)).toEqual(["new"]);
        expect(await read(runStream("old"))).toEqual(["1 accepted", "2 more"]);
      });

      it("flushes at once when nothing is under way", async () => {
        await journal.flush();
        expect(disk.syncs).toBe(0);
      });
    });

    describe("while the storage fails", () => {
      let statuses: JournalStatus[];

      beforeEach(() => {
        statuses = [];
        journal.onStatus((status) => statuses.push(status));
      });

      async function mended(): Promise<void> {
        disk.mend();
        const available = new Promise<void>((resolve) => {
          const stop = journal.onStatus(({ kind }) => {
            if (kind === "available") {
              stop();
              resolve();
            }
          });
        });
        await clock.advance(10_000);
        await available;
      }

      it("says so, and why, and says when it holds again", async () => {
        expect(journal.status).toEqual({ kind: "available" });
        disk.fail("no such disk");
        const appended = journal.append([{ stream: "a", expectedSequence: 0, records: records("x") }]);
        expect(await settled(appended)).toBe("open");

        expect(journal.status.kind).toBe("failing");
        expect(statuses).toEqual([journal.status]);
        expect((statuses[0] as { cause: Error }).cause.message).toContain("no such disk");

        await mended();
        await appended;
        expect(journal.status).toEqual({ kind: "available" });
        expect(statuses.map(({ kind }) => kind)).toEqual(["failing", "available"]);
      });

      it("tells nobody who no longer listens", async () => {
        const heard: JournalStatus[] = [];
        const stop = journal.onStatus((status) => heard.push(status));
        stop();
        disk.fail();
        const appended = journal.append([{ stream: "a", expectedSequence: 0, records: records("x") }]);
        await settled(appended);
        await mended();
        await appended;

        expect(heard).toEqual([]);
      });

      it("keeps appends and their order, and stores each once when it holds again", async () => {
        disk.fail();
        const order: number[] = [];
        const append = (number: number): Promise<void> =>
          journal
            .append([{ stream: "a", expectedSequence: number - 1, records: records(`r${number}`) }])
            .then(() => void order.push(number));
        const first = append(1);
        await settled(first);
        const later = [append(2), append(3)];
        expect(await settled(Promise.all(later))).toBe("open");

        await mended();
        await Promise.all([first, ...later]);
        expect(order).toEqual([1, 2, 3]);
        expect(await read("a")).toEqual(["1 r1", "2 r2", "3 r3"]);
      });

      it("rejects impatient appends that come then, and what builds on them, and stores nothing of them", async () => {
        disk.fail();
        const patient = journal.append([{ stream: "a", expectedSequence: 0, records: records("kept") }]);
        await settled(patient);
        const impatient = journal.append([creation("x")], { impatient: true });

        await expect(impatient).rejects.toThrow(JournalUnavailableError);
        await mended();
        await patient;
        expect(await listed()).toEqual([]);
        await journal.append([creation("x")], { impatient: true });
        expect(await listed()).toEqual(["x"]);
      });

      it("does not show what is not known to be durable", async () => {
        disk.fail();
        const appended = journal.append([{ stream: "a", expectedSequence: 0, records: records("x") }]);
        await settled(appended);
        const reading = read("a");

        expect(["open", []]).toContainEqual(await settled(reading));
        await mended();
        await Promise.all([appended, reading]);
        expect(await read("a")).toEqual(["1 x"]);
      });
    });

    describe("listStreams", () => {
      it("gives the names with a prefix, by code points, page by page", async () => {
        // U+FF5E comes before U+1F600, though its UTF-16 code unit is the larger one.
        const names = ["p/", "p/a", "p/aa", "p/b", "p/\u{FF5E}", "p/\u{1F600}", "o/z", "p", "q/a", "p0"];
        for (const stream of names) {
          await journal.append([{ stream, expectedSequence: 0, records: records("x") }]);
        }

        expect(await journal.listStreams("p/", "", 100)).toEqual([
          "p/",
          "p/a",
          "p/aa",
          "p/b",
          "p/\u{FF5E}",
          "p/\u{1F600}",
        ]);
        expect(await journal.listStreams("p/", "p/a", 2)).toEqual(["p/aa", "p/b"]);
        expect(await journal.listStreams("p/", "p/\u{1F600}", 2)).toEqual([]);
        expect(await journal.listStreams("p/", "z", 2)).toEqual([]);
        expect(await journal.listStreams("", "", 100)).toHaveLength(names.length);
        expect(await journal.listStreams("\u{10FFFF}", "", 100)).toEqual([]);
      });
    });

    describe("listRuns", () => {
      it("gives the newest first, with what is indexed of them", async () => {
        await journal.append([creation("one", { state: RunState.QUEUED, createTimeMs: 10 })]);
        await journal.append([creation("two", { state: RunState.RUNNING, createTimeMs: 20, workflow: "w/2" })]);
        await journal.append([
          { stream: runStream("one"), expectedSequence: 1, records: records("a", "b"), state: RunState.SUCCEEDED },
        ]);
        await journal.append([{ stream: "other", expectedSequence: 0, records: records("x") }]);

        const rows = await journal.listRuns({}, { limit: 10 });
        expect(rows).toMatchObject([
          { runId: "two", workflow: "w/2", state: RunState.RUNNING, lastSequence: 1 },
          { runId: "one", workflow, state: RunState.SUCCEEDED, lastSequence: 3 },
        ]);
        expect(rows[0]?.position).toBeGreaterThan(rows[1]?.position ?? Number.NaN);
      });

      it("keeps a state that an append does not name", async () => {
        await journal.append([creation("one", { state: RunState.RUNNING })]);
        await journal.append([{ stream: runStream("one"), expectedSequence: 1, records: records("x") }]);
        await journal.append([{ stream: runStream("one"), expectedSequence: 2, records: records("y"), retireAtMs: 7 }]);

        expect(await journal.listRuns({ states: [RunState.RUNNING] }, { limit: 10 })).toMatchObject([
          { runId: "one", lastSequence: 3 },
        ]);
      });

      it("orders runs of one millisecond by acceptance, however many", async () => {
        const count = 1_100;
        const ids = Array.from({ length: count }, (_, index) => `r${String(index).padStart(4, "0")}`);
        await Promise.all(ids.map((id) => journal.append([creation(id, { createTimeMs: 50 })])));
        await journal.append([creation("next", { createTimeMs: 51 })]);

        expect((await listed({}, count + 1)).filter((id) => id !== "next")).toEqual(ids.reverse());
        expect(await listed({ createdBeforeMs: 50 })).toEqual([]);
        expect(await listed({ createdSinceMs: 51 }, 1_000)).toContain("next");
      });

      it("puts runs where their time is when the clock has gone back", async () => {
        for (const [id, createTimeMs] of Object.entries({ a: 10, b: 30, c: 20, d: 20, e: 30, f: 10 })) {
          await journal.append([creation(id, { createTimeMs })]);
        }

        expect(await listed()).toEqual(["e", "b", "d", "c", "f", "a"]);
      });

      it("takes fractions of a millisecond for the whole one", async () => {
        await journal.append([creation("a", { createTimeMs: 10.75 })]);
        expect(await listed({ createdSinceMs: 10, createdBeforeMs: 11 })).toEqual(["a"]);
      });

      it.each<[string, RunFilter]>([
        ["an unknown workflow", { workflow: "no.such/Thing" }],
        ["an unknown tenant", { tenant: "nowhere" }],
        ["an unknown owner", { owner: { tenant: "default", subject: "nobody" } }],
        ["an owner whose parts are moved", { owner: { tenant: "defaulta", subject: "da" } }],
        ["an unknown parent", { parentRunId: "nobody" }],
        ["a state that no run is in", { states: [RunState.EXPIRED] }],
        ["an empty range of time", { createdSinceMs: 5, createdBeforeMs: 5 }],
        ["times beyond all dates", { createdSinceMs: Number.MAX_VALUE }],
        ["times before all dates", { createdBeforeMs: -1 }],
      ])("finds nothing for %s", async (_, filter) => {
        await journal.append([creation("one", { state: RunState.QUEUED })]);
        expect(await listed(filter)).toEqual([]);
      });

      it("answers any filter like a look at every run, page by page", async () => {
        const workflows = ["w/1", "w/2"];
        const owners = [owner, { tenant: "default", subject: "bob" }, { tenant: "t2", subject: "ada" }];
        const parents = ["p1", "p2", undefined];
        const states = [RunState.QUEUED, RunState.RUNNING, RunState.PARKED, RunState.SUCCEEDED, RunState.FAILED];
        const run = fc.record({
          workflow: fc.constantFrom(...workflows),
          owner: fc.constantFrom(...owners),
          parentRunId: fc.constantFrom(...parents),
          state: fc.constantFrom(...states),
          createTimeMs: fc.integer({ min: 0, max: 20 }),
        });
        const filter = fc.record(
          {
            workflow: fc.constantFrom(...workflows),
            owner: fc.constantFrom(...owners),
            tenant: fc.constantFrom("default", "t2"),
            parentRunId: fc.constantFrom("p1", "p2"),
            states: fc.uniqueArray(fc.constantFrom(...states), { maxLength: 4 }),
            createdSinceMs: fc.integer({ min: 0, max: 20 }),
            createdBeforeMs: fc.integer({ min: 0, max: 21 }),
          },
          { requiredKeys: [] },
        );
        let number = 0;
        const all: (RunIndexEntry & { state: RunState })[] = [];
        await fc.assert(
          fc.asyncProperty(
            fc.array(run, { maxLength: 10 }),
            fc.array(filter, { minLength: 5, maxLength: 5 }),
            fc.integer({ min: 1, max: 5 }),
            async (runs, filters, limit) => {
              await Promise.all(
                runs.map(({ parentRunId, ...fields }) => {
                  const runId = `run-${number++}`;
                  const entry = { ...fields, runId, ...(parentRunId === undefined ? {} : { parentRunId }) };
                  all.push(entry);
                  return journal.append([creation(runId, entry)]);
                }),
              );
              for (const wanted of filters) {
                const expected = all
                  .filter((entry) => isWanted(wanted, entry))
                  .sort((a, b) => a.createTimeMs - b.createTimeMs || all.indexOf(a) - all.indexOf(b))
                  .map(({ runId }) => runId)
                  .reverse();
                const found: string[] = [];
                let beforePosition: number | undefined;
                for (;;) {
                  const page = await journal.listRuns(wanted, {
                    limit,
                    ...(beforePosition === undefined ? {} : { beforePosition }),
                  });
                  found.push(...page.map(({ runId }) => runId));
                  if (page.length < limit) {
                    break;
                  }
                  beforePosition = page.at(-1)?.position;
                }
                expect(found).toEqual(expected);
              }
            },
          ),
          { numRuns: 20 },
        );
      });
    });

    describe("findRunByKey", () => {
      it("gives the newest run with that key of that owner and workflow", async () => {
        const other = { tenant: "default", subject: "bob" };
        await journal.append([creation("r1", { key: "k", createTimeMs: 1, state: RunState.FAILED })]);
        await journal.append([creation("r2", { key: "k", createTimeMs: 2, state: RunState.QUEUED })]);
        await journal.append([creation("r3", { key: "k", createTimeMs: 3, owner: other })]);
        await journal.append([creation("r4", { key: "k", createTimeMs: 4, workflow: "w/2" })]);
        await journal.append([creation("r5", { key: "K", createTimeMs: 5 })]);
        await journal.append([creation("r6", { createTimeMs: 6 })]);

        const find = async (by: typeof owner, of: string, key: string): Promise<string | undefined> =>
          (await journal.findRunByKey(by, of, key))?.runId;
        expect(await find(owner, workflow, "k")).toBe("r2");
        expect(await find(other, workflow, "k")).toBe("r3");
        expect(await find(owner, "w/2", "k")).toBe("r4");
        expect(await find(other, "w/2", "k")).toBeUndefined();
        expect(await find(owner, workflow, "")).toBeUndefined();
        expect(await find(owner, "no.such/Thing", "k")).toBeUndefined();
      });
    });

    describe("retention", () => {
      it("lists runs whose time is over, the longest over first", async () => {
        await journal.append([creation("later", { retireAtMs: 300, state: RunState.FAILED, createTimeMs: 1 })]);
        await journal.append([creation("first", { retireAtMs: 100, state: RunState.FAILED, createTimeMs: 2 })]);
        await journal.append([creation("open", { createTimeMs: 3 })]);
        await journal.append([creation("second", { createTimeMs: 4 })]);
        await journal.append([
          {
            stream: runStream("second"),
            expectedSequence: 1,
            records: records("end"),
            state: RunState.SUCCEEDED,
            retireAtMs: 200,
          },
        ]);

        expect(await journal.listRetired(99, 10)).toEqual([]);
        expect(await journal.listRetired(200, 10)).toEqual(["first", "second"]);
        expect(await journal.listRetired(1_000, 2)).toEqual(["first", "second"]);
        expect(await journal.listRetired(1_000, 10)).toEqual(["first", "second", "later"]);
      });

      it("takes any time for the end of a run's time, that of fractions and that which never comes", async () => {
        await journal.append([creation("soon", { retireAtMs: 99.5, createTimeMs: 1 })]);
        await journal.append([creation("never", { retireAtMs: Number.POSITIVE_INFINITY, createTimeMs: 2 })]);
        await journal.append([
          {
            stream: runStream("never"),
            expectedSequence: 1,
            records: records("end"),
            retireAtMs: Number.POSITIVE_INFINITY,
          },
        ]);

        expect(await journal.listRetired(99, 10)).toEqual([]);
        expect(await journal.listRetired(100, 10)).toEqual(["soon"]);
        expect(await journal.listRetired(Number.MAX_SAFE_INTEGER, 10)).toEqual(["soon"]);
      });

      it("counts ended runs without a parent, and lists those that were accepted first", async () => {
        const { SUCCEEDED, FAILED } = RunState;
        const ended = (id: string, createTimeMs: number, more: Parameters<typeof creation>[1] = {}) =>
          journal.append([creation(id, { state: SUCCEEDED, retireAtMs: 9_999, createTimeMs, ...more })]);
        await ended("second", 20);
        await ended("first", 10);
        await ended("failed", 5, { state: FAILED });
        await ended("elsewhere", 30, { workflow: "w/2" });
        await ended("keyed", 40, { key: "k" });
        await journal.append([creation("open", { createTimeMs: 1 })]);
        await journal.append([creation("child", { createTimeMs: 2, state: SUCCEEDED, parentRunId: "p" })]);

        const counts = (await journal.countEnded()).map(
          ({ workflow: name, state, count }) => `${name} ${state} ${count}`,
        );
        expect(counts.sort()).toEqual(
          [`${workflow} ${SUCCEEDED} 3`, `${workflow} ${FAILED} 1`, `w/2 ${SUCCEEDED} 1`].sort(),
        );
        const listed = async (filter: object, after = -1, limit = 10) =>
          (await journal.listEnded({ state: SUCCEEDED, keyedBeforeMs: 41, ...filter }, after, limit)).map(
            (run) => run.runId,
          );
        expect(await listed({})).toEqual(["first", "second", "elsewhere", "keyed"]);
        expect(await listed({ keyedBeforeMs: 40 })).toEqual(["first", "second", "elsewhere"]);
        expect(await listed({ workflow })).toEqual(["first", "second", "keyed"]);
        expect(await listed({ workflow: "no.such/Thing" })).toEqual([]);
        expect(await listed({ state: FAILED })).toEqual(["failed"]);
        expect(await listed({}, -1, 2)).toEqual(["first", "second"]);
        const [first] = await journal.listEnded({ state: SUCCEEDED, keyedBeforeMs: 0 }, -1, 1);
        expect(first).toEqual({
          runId: "first",
          workflow,
          state: SUCCEEDED,
          lastSequence: 1,
          position: expect.any(Number),
          keyed: false,
        });
        expect(await listed({}, first?.position)).toEqual(["second", "elsewhere", "keyed"]);
      });

      it("finds the ended ones among very many others", async () => {
        for (let index = 0; index < 4_500; index++) {
          void journal.append([creation(`open${index}`, { createTimeMs: index })]);
        }
        for (const id of ["a", "b"]) {
          void journal.append([creation(id, { createTimeMs: 5_000, state: RunState.SUCCEEDED, retireAtMs: 9_999 })]);
        }
        await journal.flush();

        expect(await journal.countEnded()).toEqual([{ workflow, state: RunState.SUCCEEDED, count: 2 }]);
        const filter = { state: RunState.SUCCEEDED, keyedBeforeMs: 0 };
        expect((await journal.listEnded(filter, -1, 10)).map(({ runId }) => runId)).toEqual(["a", "b"]);
        expect((await journal.listEnded({ ...filter, workflow }, -1, 1)).map(({ runId }) => runId)).toEqual(["a"]);
      });

      it("deletes streams with everything that is indexed of them, and nothing else", async () => {
        const all = { key: "k", parentRunId: "p", retireAtMs: 1, state: RunState.FAILED };
        await journal.append([creation("gone", all)]);
        await journal.append([creation("stays", all)]);
        await journal.append([{ stream: "other", expectedSequence: 0, records: records("x") }]);
        await journal.deleteStreams([runStream("gone"), "other", "never there", runStream("gone")]);

        expect(await read(runStream("gone"))).toEqual([]);
        expect(await journal.listStreams("", "", 10)).toEqual([runStream("stays")]);
        for (const filter of [{}, { owner }, { workflow }, { parentRunId: "p" }, { states: [RunState.FAILED] }]) {
          expect(await listed(filter)).toEqual(["stays"]);
        }
        expect(await journal.listRetired(10, 10)).toEqual(["stays"]);
        expect((await journal.findRunByKey(owner, workflow, "k"))?.runId).toBe("stays");
        expect(await read(runStream("stays"))).toEqual(["1 accepted"]);
      });

      it("lets a stream begin anew once it is deleted", async () => {
        await journal.append([creation("x", { records: records("old", "older") })]);
        await journal.deleteStreams([runStream("x")]);
        await journal.append([creation("x", { records: records("new") })]);

        expect(await read(runStream("x"))).toEqual(["1 new"]);
        expect(await listed()).toEqual(["x"]);
      });

      it("forgets an owner with the last run, and knows them again with the next", async () => {
        await journal.append([creation("x")]);
        await journal.deleteStreams([runStream("x")]);
        expect(await listed({ owner })).toEqual([]);
        await journal.append([creation("y", { owner: { tenant: "default", subject: "bob" } })]);
        await journal.append([creation("z")]);

        expect(await listed({ owner })).toEqual(["z"]);
      });
    });

    describe("close", () => {
      it("finishes what was appended, then takes nothing", async () => {
        const appended = journal.append([{ stream: "a", expectedSequence: 0, records: records("x") }]);
        await journal.close();
        await appended;

        await expect(journal.append([{ stream: "a", expectedSequence: 1, records: records("y") }])).rejects.toThrow(
          JournalUnavailableError,
        );
        await expect(journal.read("a", 0, 1)).rejects.toThrow(JournalUnavailableError);
        await expect(journal.listRuns({}, { limit: 1 })).rejects.toThrow(JournalUnavailableError);
        await expect(journal.findRunByKey(owner, workflow, "k")).rejects.toThrow(JournalUnavailableError);
        await expect(journal.deleteStreams(["a"])).rejects.toThrow(JournalUnavailableError);
        await expect(journal.flush()).rejects.toThrow(JournalUnavailableError);
        await expect(journal.close()).resolves.toBeUndefined();
      });

      it("waits for a sync that is under way, and takes nothing new meanwhile", async () => {
        disk.hold();
        const appended = journal.append([{ stream: "a", expectedSequence: 0, records: records("x") }]);
        await settled(appended);
        const closed = journal.close();
        expect(await settled(closed)).toBe("open");
        await expect(journal.append([{ stream: "b", expectedSequence: 0, records: records("x") }])).rejects.toThrow(
          JournalUnavailableError,
        );
        disk.release();

        await Promise.all([appended, closed]);
      });
    });

    it("keeps every stream without a gap under any interleaving of appends", async () => {
      const names = ["a", "b", "c"];
      const step = fc.record({
        streams: fc.uniqueArray(fc.constantFrom(...names), { minLength: 1, maxLength: 3 }),
        count: fc.integer({ min: 1, max: 3 }),
        /** How far the expectation is off. */
        off: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.integer({ min: -2, max: 2 })),
        /** What is waited for before the next one. */
        wait: fc.constantFrom("nothing", "a turn", "the append"),
      });
      let round = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
          const prefix = `${round++}/`;
          const model = new Map<string, string[]>(names.map((name) => [name, []]));
          const outcomes: Promise<"stored" | "conflict">[] = [];
          const expected: ("stored" | "conflict")[] = [];
          for (const [index, { streams, count, off, wait }] of steps.entries()) {
            const texts = Array.from({ length: count }, (_, number) => `${index}.${number}`);
            const wanted = streams.map((name) => Math.max(0, (model.get(name)?.length ?? 0) + off));
            const fits = streams.every((name, position) => model.get(name)?.length === wanted[position]);
            const outcome = journal
              .append(
                streams.map((name, position) => ({
                  stream: prefix + name,
                  expectedSequence: wanted[position] ?? 0,
                  records: texts.map(bytes),
                })),
              )
              .then(
                () => "stored" as const,
                (error: unknown) => {
                  expect(error).toBeInstanceOf(JournalConflictError);
                  return "conflict" as const;
                },
              );
            outcomes.push(outcome);
            expected.push(fits ? "stored" : "conflict");
            if (fits) {
              for (const name of streams) {
                model.get(name)?.push(...texts);
              }
            }
            if (wait === "the append") {
              await outcome;
            } else if (wait === "a turn") {
              await new Promise<void>((resolve) => setImmediate(resolve));
            }
          }
          expect(await Promise.all(outcomes)).toEqual(expected);
          for (const [name, texts] of model) {
            expect(await read(prefix + name)).toEqual(texts.map((text, index) => `${index + 1} ${text}`));
          }
        }),
        { numRuns: 40 },
      );
    });
  });
}

function isWanted(filter: RunFilter, entry: RunIndexEntry & { state: RunState }): boolean {
  return (
    (filter.workflow === undefined || filter.workflow === entry.workflow) &&
    (filter.owner === undefined ||
      (filter.owner.tenant === entry.owner.tenant && filter.owner.subject === entry.owner.subject)) &&
    (filter.tenant === undefined || filter.tenant === entry.owner.tenant) &&
    (filter.parentRunId === undefined || filter.parentRunId === entry.parentRunId) &&
    (filter.states === undefined || filter.states.length === 0 || filter.states.includes(entry.state)) &&
    (filter.createdSinceMs === undefined || entry.createTimeMs >= filter.createdSinceMs) &&
    (filter.createdBeforeMs === undefined || entry.createTimeMs < filter.createdBeforeMs)
  );
}
