import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import { expectAlerts } from "./fault-matrix/expect-alerts.ts";
import { faultCases } from "./fault-matrix/faults.ts";
import { hour, minute, nameOf, second, startWorld } from "./fault-matrix/world.ts";

/** The share of every disk that is free; undefined for as much as there is. */
const disks = vi.hoisted(() => ({ free: undefined as number | undefined }));

vi.mock("node:fs/promises", async (original) => {
  const own = await original<typeof import("node:fs/promises")>();
  const statfs = async (...args: Parameters<typeof own.statfs>) => {
    const found = await own.statfs(...args);
    return disks.free === undefined ? found : { ...found, bavail: Number(found.blocks) * disks.free };
  };
  return { ...own, statfs };
});

describe("the alerts of a server, on virtual time", () => {
  it.each(faultCases.filter(({ quick }) => !quick))("$fault: $raises", expectAlerts, 60_000);

  it.each([
    [0.5, []],
    [0.12, ["RetakeDiskSpace warning"]],
    [0.03, ["RetakeDiskSpace critical"]],
  ] as const)("%d of the disk is free: %j", async (free, raises) => {
    const dataDirectory = await mkdtemp(join(tmpdir(), "retake-matrix-"));
    // A thread that was not waited for may still write, as its time is not virtual.
    onTestFinished(() => rm(dataDirectory, { recursive: true, force: true, maxRetries: 5 }));
    disks.free = free;
    onTestFinished(() => {
      disks.free = undefined;
    });
    const fault = { fault: "the disk fills", raises, world: { dataDirectory } };
    await expectAlerts({
      ...fault,
      play: (world) =>
        world.pass(2 * minute, async () => {
          // No virtual time passes while something is written: the real disk would seem to be slow.
          await world.start("Plain");
          const states = [RunState.QUEUED, RunState.RUNNING];
          await expect.poll(async () => (await world.runs.listRuns({ states })).runs, { interval: 2 }).toEqual([]);
          // How full the disk is takes a while to find out.
          await new Promise((resolve) => setTimeout(resolve, 5));
        }),
    });
  });

  it("runs of a contract that is gone are told of, and of those of the others nothing", async () => {
    const first = await startWorld({ own: { keyed: () => new Promise(() => {}) } });
    await first.start("Keyed");
    await first.pass(minute);
    await first.close();
    const next = await startWorld({ clock: first.clock, storage: first.storage, without: true });
    await next.pass(hour + minute);
    expect(await next.fired()).toEqual(["RetakeRunParked warning Keyed"]);
  }, 60_000);

  it("what fires fires on over a restart and a clock that is set, with who looks after it and what is silenced", async () => {
    const fault = { case: "status", value: { code: "INTERNAL" } } as const;
    const first = await startWorld();
    await first.inject("Plain", fault);
    await first.pass(3 * minute, () => first.start("Plain", 2));
    const raised = ["RetakeErrorRate critical Plain"];
    expect(await first.firing()).toEqual(raised);
    const alertOf = async ({ monitoring }: typeof first) => {
      const { alerts } = await monitoring.listAlerts({ rule: "RetakeErrorRate" });
      return alerts[0];
    };
    const before = await alertOf(first);
    await first.monitoring.acknowledgeAlert({ alertId: before?.alertId ?? "", note: "looking into it" });
    const matchers = [{ label: "alertname", value: "RetakeErrorRate" }];
    await first.monitoring.setSilence({
      silence: { matchers, comment: "it is known" },
      duration: { seconds: BigInt((3 * hour) / second) },
    });
    await first.close();
    await first.clock.advance(20 * second);

    const next = await startWorld({ clock: first.clock, storage: first.storage });
    const held = async (): Promise<void> => {
      expect(await next.firing()).toEqual(raised);
      expect(await alertOf(next)).toMatchObject({
        alertId: before?.alertId,
        acknowledgement: { note: "looking into it" },
        silenceIds: [expect.any(String)],
      });
    };
    await held();
    await next.pass(minute, () => next.start("Plain", 5));
    await held();
    next.clock.jump(hour);
    await next.pass(3 * minute, () => next.start("Plain", 5));
    await held();
    next.clock.jump(-2 * hour);
    await next.pass(3 * minute, () => next.start("Plain", 5));
    await held();
    expect(await next.fired()).toEqual(raised);

    await next.admin
      .listFaults({})
      .then(({ faults }) => Promise.all(faults.map(({ faultId }) => next.admin.removeFault({ faultId }))));
    await next.pass(15 * minute, () => next.start("Plain", 2));
    expect(await next.firing()).toEqual([]);
    expect((await alertOf(next))?.acknowledgement).toBeUndefined();
    expect(nameOf("Plain")).toBe((await alertOf(next))?.labels["retake_workflow"] ?? nameOf("Plain"));
  }, 60_000);
});
