import { describe, expect, it } from "vitest";
import { Readiness } from "../../../src/monitoring/health/readiness.ts";

const mib = 2 ** 20;

function reasonAfter(...facts: Parameters<Readiness["sampled"]>[0][]): string {
  const readiness = new Readiness();
  for (const each of facts) readiness.sampled(each);
  return readiness.reason;
}

const disk = (free: number, size = 100_000) => ({ diskFreeBytes: free * mib, diskSizeBytes: size * mib });
const loop = (seconds: number) => ({ eventLoopMaxDelaySeconds: seconds });

describe("Readiness", () => {
  it("is there while nothing is known", () => {
    expect(reasonAfter()).toBe("");
    expect(reasonAfter({}, {}, {})).toBe("");
  });

  it("ends when the disk is full in two samples in a row", () => {
    expect(reasonAfter(disk(10))).toBe("");
    expect(reasonAfter(disk(10), disk(70), disk(10))).toBe("");
    expect(reasonAfter(disk(10), disk(9))).toBe("the disk of the data directory has 9 MiB left");
  });

  it("takes a hundredth of a small disk for enough", () => {
    expect(reasonAfter(disk(3, 200), disk(3, 200))).toBe("");
    expect(reasonAfter(disk(1, 200), disk(1, 200))).not.toBe("");
  });

  it("comes back only with twice as much room, in two samples in a row", () => {
    const full = [disk(10), disk(10)];
    expect(reasonAfter(...full, disk(70), disk(70), disk(70))).not.toBe("");
    expect(reasonAfter(...full, disk(200))).not.toBe("");
    expect(reasonAfter(...full, disk(200), disk(70), disk(200))).not.toBe("");
    expect(reasonAfter(...full, disk(200), disk(200))).toBe("");
  });

  it("ends while the event loop is stuck again and again, not for once", () => {
    expect(reasonAfter(loop(30))).toBe("");
    expect(reasonAfter(loop(30), loop(0.1), loop(30))).toBe("");
    expect(reasonAfter(loop(4), loop(5))).toBe("the event loop was stuck for 5.0 s");
    expect(reasonAfter(loop(4), loop(5), loop(2), loop(2))).not.toBe("");
    expect(reasonAfter(loop(4), loop(5), loop(0.1), loop(0.1))).toBe("");
  });

  it("ends while the journal does not answer", () => {
    const journal = (seconds: number) => ({ journalUnansweredSeconds: seconds });
    expect(reasonAfter(journal(10), journal(0), journal(10))).toBe("");
    expect(reasonAfter(journal(10), journal(20))).toBe("the journal has not answered for 20 s");
    expect(reasonAfter(journal(10), journal(20), journal(30), journal(0), journal(0))).toBe("");
  });

  it("is not there before both are well", () => {
    const bad = { ...disk(10), ...loop(5) };
    expect(reasonAfter(bad, bad, loop(0), loop(0), disk(10), disk(10))).toContain("disk");
  });
});
