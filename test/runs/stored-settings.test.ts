import { create, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { PolicyOverrideEventSchema } from "../../gen/retake/v1/policy_override_pb.js";
import { type Journal, JournalConflictError, JournalUnavailableError, StoredSettings } from "../../src/runs/index.ts";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import { createVirtualClock } from "../../src/testing/index.ts";

const clock = createVirtualClock();

function open(journal: Journal) {
  return new StoredSettings({
    ...{ journal, clock, prefix: "policy/", schema: PolicyOverrideEventSchema },
    takesBack: ({ event }) => event.case === "deleted",
    settingOf: (name, { event }, revision) =>
      event.case === "set" ? `${name} by ${event.value.requestedBy}, ${revision}` : undefined,
  });
}

function set(requestedBy: string) {
  return { event: { case: "set" as const, value: { requestedBy } } };
}

const deleted = { event: { case: "deleted" as const, value: {} } };

test("settings are what was set last, also for the next process", async () => {
  const { journal } = createMemoryStorage({ clock });
  const settings = open(journal);
  expect(await settings.append("a", set("ada"))).toBe("a by ada, 1");
  expect(await settings.append("b", set("ada"))).toBe("b by ada, 1");
  expect(await settings.append("a", set("eve"))).toBe("a by eve, 2");
  expect(await settings.append("b", deleted)).toBeUndefined();
  const restarted = open(journal);
  await restarted.open();
  for (const each of [settings, restarted]) {
    expect(each.entries()).toEqual([["a", "a by eve, 2"]]);
    expect(await each.get("b")).toBeUndefined();
  }
  expect(await restarted.append("b", set("eve"))).toBe("b by eve, 3");
});

test("a change that the journal does not take changes nothing", async () => {
  const { journal } = createMemoryStorage({ clock });
  const settings = open(journal);
  await settings.append("a", set("ada"));
  const append = journal.append.bind(journal);
  journal.append = () => Promise.reject(new JournalUnavailableError("the disk is full"));
  await expect(settings.append("a", set("eve"))).rejects.toThrow(JournalUnavailableError);
  expect(settings.list()).toEqual(["a by ada, 1"]);
  journal.append = append;
  expect(await settings.append("a", set("eve"))).toBe("a by eve, 2");
});

test("a change that was stored though it was answered as lost holds after the next one, which is refused once", async () => {
  const { journal } = createMemoryStorage({ clock });
  const settings = open(journal);
  const records = [toBinary(PolicyOverrideEventSchema, create(PolicyOverrideEventSchema, set("ada")))];
  await journal.append([{ stream: "policy/a", expectedSequence: 0, records }]);
  await expect(settings.append("a", set("eve"))).rejects.toThrow(JournalConflictError);
  expect(settings.list()).toEqual(["a by ada, 1"]);
  expect(await settings.append("a", set("eve"))).toBe("a by eve, 2");
});

test("what is removed leaves nothing in the journal, and can be set anew", async () => {
  const { journal } = createMemoryStorage({ clock });
  const settings = open(journal);
  for (const name of ["a", "b"]) await settings.append(name, set("ada"));
  await settings.remove(["a"]);
  expect(settings.list()).toEqual(["b by ada, 1"]);
  expect(await journal.listStreams("policy/", "", 10)).toEqual(["policy/b"]);
  expect(await settings.append("a", set("eve"))).toBe("a by eve, 1");
});

test("the journal grows neither with the changes of a name nor with names that are taken back", async () => {
  const { journal } = createMemoryStorage({ clock });
  const settings = open(journal);
  for (let change = 0; change < 250; change++) await settings.append("a", set("ada"));
  for (const name of ["b", "c", "d"]) {
    await settings.append(name, set("ada"));
    expect(await settings.append(name, deleted)).toBeUndefined();
  }
  await journal.flush();
  const streams = await journal.listStreams("policy/", "", 10);
  expect(streams).toHaveLength(2);
  const records = await Promise.all(streams.map((stream) => journal.read(stream, 0, 1_000)));
  expect(records.flat().length).toBeLessThanOrEqual(101);
  const restarted = open(journal);
  await restarted.open();
  for (const each of [settings, restarted]) expect(each.entries()).toEqual([["a", "a by ada, 250"]]);
  expect(await restarted.append("a", set("eve"))).toBe("a by eve, 251");
});

test("a revision means one record for ever, whatever was taken back and set again meanwhile", async () => {
  const { journal } = createMemoryStorage({ clock });
  const seen = new Set<string | undefined>();
  for (let process = 0; process < 3; process++) {
    const settings = open(journal);
    await settings.open();
    await settings.append("other", set("ada"));
    for (let again = 0; again < 3; again++) {
      seen.add(await settings.append("a", set("ada")));
      await Promise.all([settings.append("other", deleted), settings.append("a", deleted)]);
    }
  }
  expect(seen.size).toBe(9);
});

test("what a crash keeps from being deleted changes nothing, and goes at the next start", async () => {
  const { journal } = createMemoryStorage({ clock });
  const deleteStreams = journal.deleteStreams.bind(journal);
  journal.deleteStreams = () => new Promise(() => undefined);
  const settings = open(journal);
  for (let change = 0; change < 1_050; change++) await settings.append("a", set("ada"));
  for (const name of ["b", "c"]) {
    await settings.append(name, set("ada"));
    await settings.append(name, deleted);
  }
  expect(await journal.listStreams("policy/", "", 100)).toHaveLength(15);
  journal.deleteStreams = deleteStreams;
  const restarted = open(journal);
  await restarted.open();
  expect(restarted.entries()).toEqual([["a", "a by ada, 1050"]]);
  await journal.flush();
  expect(await journal.listStreams("policy/", "", 100)).toEqual(["policy/#4", "policy/a#1000"]);
  expect(await restarted.append("b", set("eve"))).toBe("b by eve, 5");
});
