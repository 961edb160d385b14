import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { selectManyFigures } from "../../../bench/many/figures.ts";
import { runMany } from "../../../bench/many/run-many.ts";

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "retake-bench-test-"));
  vi.stubEnv("TMPDIR", directory);
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(directory, { recursive: true, force: true });
});

describe("runMany", () => {
  it("measures real servers, only what it is asked for, and leaves nothing behind", async () => {
    const told: string[] = [];
    const { figures } = await runMany(
      [...selectManyFigures("many-at-once"), ...selectManyFigures("many-at-once-time")],
      {
        scale: 0.02,
        tell: (line) => told.push(line),
        signal: new AbortController().signal,
      },
    );
    expect(told).toEqual(["Measuring at-once."]);
    expect(figures).toEqual([
      expect.objectContaining({ name: "many-at-once", value: 1, holds: true }),
      expect.objectContaining({ name: "many-at-once-time", value: expect.any(Number), holds: undefined }),
    ]);
    expect(figures[1]?.value).toBeGreaterThan(0);
    expect(await readdir(directory)).toEqual([]);
  }, 60_000);

  it("measures what it takes to watch over a server", async () => {
    const { figures } = await runMany(
      ["alerts", "series", "scrape"].flatMap((name) => selectManyFigures(name)),
      { scale: 0.02, tell: () => {}, signal: new AbortController().signal },
    );
    const value = (name: string) => figures.find((figure) => figure.name === name)?.value ?? Number.NaN;
    expect(value("alerts-evaluation")).toBeGreaterThan(0);
    expect(value("alerts-webhook")).toBeGreaterThan(9_000);
    expect(value("alerts-webhook-after-sample")).toBeGreaterThan(0);
    expect(value("series-memory")).toBeGreaterThan(0);
    expect(value("scrape-turn")).toBeGreaterThan(0);
    expect(value("scrape-turn-max")).toBeGreaterThanOrEqual(value("scrape-turn"));
  }, 120_000);

  it("measures what the server does in trouble", async () => {
    const names = ["failing", "overload", "shedding", "breaker", "parked"];
    const { figures } = await runMany(
      names.flatMap((name) => selectManyFigures(name)),
      {
        scale: 0.03,
        tell: () => {},
        signal: new AbortController().signal,
      },
    );
    const value = (name: string) => figures.find((figure) => figure.name === name)?.value ?? Number.NaN;
    expect(value("failing-at-once")).toBe(1);
    expect(value("overload-peak")).toBeGreaterThan(0);
    expect(value("overload-refused")).toBeGreaterThan(0.1);
    expect(value("overload-failed")).toBe(0);
    expect(value("overload-refusal-p99")).toBeGreaterThan(0);
    for (const trouble of ["journal", "memory", "event-loop"]) {
      expect(value(`shedding-${trouble}-refused`)).toBeGreaterThan(0.1);
      expect(value(`shedding-${trouble}-refusal-p99`)).toBeGreaterThan(0);
      expect(value(`shedding-${trouble}-keyed-refusal-p99`)).toBeGreaterThan(0);
    }
    for (const answer of ["fail", "fallback", "reference"]) {
      expect(value(`breaker-${answer}-p50`)).toBeGreaterThan(0);
      expect(value(`breaker-${answer}-loaded-p50`)).toBeGreaterThan(0);
      expect(value(`breaker-${answer}-most`)).toBeGreaterThan(0);
    }
    expect(value("parked-drained")).toBe(1);
    expect(value("parked-drain-over-limit")).toBe(0);
    expect(value("parked-drain-rate")).toBeGreaterThan(0);
  }, 120_000);

  it("leaves nothing behind when it is interrupted", async () => {
    const interruption = new AbortController();
    const measured = runMany(selectManyFigures("many-at-once"), {
      scale: 0.02,
      tell: () => interruption.abort(new Error("interrupted")),
      signal: interruption.signal,
    });
    await expect(measured).rejects.toThrow("at-once: interrupted");
    expect(await readdir(directory)).toEqual([]);
  });
});
