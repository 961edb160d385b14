import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { AlertSeverity, AlertState } from "../../../gen/retake/v1/alert_pb.js";
import { BreakerMode, BreakerState } from "../../../gen/retake/v1/breaker_pb.js";
import { Quality } from "../../../gen/retake/v1/options_pb.js";
import { RunState } from "../../../gen/retake/v1/run_pb.js";
import { HealthComponent, HealthLevel, StatusSchema } from "../../../gen/retake/v1/status_pb.js";
import { statusLines } from "../../../src/cli/display/status-lines.ts";
import { textWidth } from "../../../src/cli/display/text-width.ts";

const nowMs = new Date(2026, 0, 2, 10, 2, 13).getTime();
const seconds = (value: number) => ({ seconds: BigInt(Math.floor(value)), nanos: Math.round((value % 1) * 1e9) });

const runs = {
  open: [
    { state: RunState.QUEUED, count: 12n },
    { state: RunState.RUNNING, count: 3n },
    { state: RunState.PARKED, count: 2n },
  ],
  ...{ startRate: 1.25, endRate: 0.1, failedShare: 0.034, retryRate: 0.01, oldestQueued: seconds(185) },
  ...{ p50Duration: seconds(1.2), p95Duration: seconds(14), p99Duration: seconds(20) },
};

const troubled: MessageInitShape<typeof StatusSchema> = {
  ...{ version: "1.2.3", serving: false, notServingReason: "the journal cannot be written: the disk is full" },
  startTime: timestampFromMs(nowMs - 11_040_000),
  sampleTime: timestampFromMs(nowMs - 3_000),
  health: {
    ...{ score: 10, level: HealthLevel.POOR, limitedBy: HealthComponent.JOURNAL },
    explanation: "No more than 10, for that: The journal cannot be written: the disk is full",
    components: [
      { component: HealthComponent.JOURNAL, score: 0, deduction: 86, explanation: "The journal cannot be written." },
      { component: HealthComponent.DISK, score: 100, explanation: "The disk has room." },
      { component: HealthComponent.FAILURES, score: 80, deduction: 4, explanation: "Of 40 runs, 4 failed." },
    ],
  },
  runs,
  workflows: ["film.v1.FilmService/Render", "film.v1.FilmService/Score"].map((workflow, i) => ({
    ...{ workflow, runs, breaker: i === 0 ? BreakerState.OPEN : BreakerState.CLOSED, paused: i === 1 },
    quality: i === 0 ? Quality.LOW : Quality.FULL,
  })),
  workflowCount: 2,
  breakers: [
    {
      ...{ workflow: "film.v1.FilmService/Render", state: BreakerState.OPEN, mode: BreakerMode.AUTOMATIC },
      ...{ waitingRuns: 2n, notBefore: timestampFromMs(nowMs + 12_000) },
    },
  ],
  alertCounts: { watched: true, critical: 1, pending: 2 },
  alerts: [
    {
      ...{ rule: "RetakeJournalUnavailable", severity: AlertSeverity.CRITICAL, state: AlertState.FIRING },
      annotations: { summary: "the journal \u001b[31mcannot be written" },
    },
    {
      ...{ rule: "RetakeDeadMan", severity: AlertSeverity.WARNING, state: AlertState.FIRING },
      labels: { deadman: "true" },
    },
  ],
  journal: {
    available: false,
    error: "the disk is full",
    sizeBytes: 2n ** 30n,
    diskFreeBytes: 0n,
    diskSizeBytes: 2n ** 36n,
  },
  process: {
    memoryBytes: 2n ** 27n,
    memoryLimitBytes: 2n ** 33n,
    eventLoopDelay: seconds(0.002),
    cpus: 0.3,
    watchers: 4n,
  },
};

const lines = (init: object, frame: object = {}) =>
  statusLines(create(StatusSchema, init), {
    ...{
      target: "studio:50051",
      nowMs,
      problem: "",
      width: Number.POSITIVE_INFINITY,
      height: Number.POSITIVE_INFINITY,
    },
    ...frame,
  });

describe("statusLines", () => {
  it("tell health and why, what is to be done, and what is out of the ordinary", () => {
    expect(lines(troubled)).toEqual([
      "Retake 1.2.3 at studio:50051, NOT SERVING, up 3 h 04 min, sampled 3.0 s ago  10:02:13",
      "It takes no work: the journal cannot be written: the disk is full",
      "",
      "Health   10 of 100, poor: No more than 10, for that: The journal cannot be written: the disk is full",
      "  -86  journal       0  The journal cannot be written.",
      "  -4   failures     80  Of 40 runs, 4 failed.",
      "Runs     12 QUEUED, 3 RUNNING, 2 PARKED, one QUEUED for 3 min 05 s; 1.3/s in, 6.0/min out, 3.4 % failed, 0.6/min retried",
      "Took     50 % up to 1.2 s, 95 % up to 14 s, 99 % up to 20 s",
      "Alerts   1 critical, 2 pending",
      "Journal  CANNOT BE WRITTEN: the disk is full, 1.0 GiB in size, 0 bytes of 64 GiB free on its disk",
      "Process  memory 128 MiB of 8.0 GiB, event loop 2 ms late, 0.30 processors, 4 watching",
      "",
      "ALERT     RULE                      WHY",
      "CRITICAL  RetakeJournalUnavailable  the journal cannot be written",
      "",
      "BREAKER                     STATE  WAITING  NEXT",
      "film.v1.FilmService/Render  OPEN   2        in 12 s",
      "",
      "WORKFLOW                    RUNNING  QUEUED  HELD  OUT      FAILED  P95",
      "film.v1.FilmService/Render  3        12      2     6.0/min  3.4 %   14 s  breaker OPEN, quality LOW",
      "film.v1.FilmService/Score   3        12      2     6.0/min  3.4 %   14 s  paused",
    ]);
  });

  it("tell what there is of a server that has just begun", () => {
    const status = {
      version: "1.2.3",
      serving: true,
      health: { level: HealthLevel.UNKNOWN, explanation: "Too little." },
    };
    expect(lines({ ...status, startTime: timestampFromMs(nowMs - 2_000), journal: { available: true } })).toEqual([
      "Retake 1.2.3 at studio:50051, serving, up 2.0 s, no samples yet  10:02:13",
      "",
      "Health   unknown: Too little.",
      "Alerts   nobody watches",
      "Journal  available",
    ]);
  });

  it("say so when the connection is lost", () => {
    expect(lines(troubled, { problem: "CONNECTION LOST" })[1]).toBe("CONNECTION LOST");
  });

  it.each([20, 40, 79, 120])("fit %i columns", (width) => {
    for (const line of lines(troubled, { width })) expect(textWidth(line)).toBeLessThanOrEqual(width);
  });

  it.each([5, 14, 17, 20, 24])("fit %i lines, and count what is left out of the tables", (height) => {
    const many = { ...troubled, workflowCount: 300, workflows: Array(30).fill(troubled.workflows?.[0]) };
    const shown = lines(many, { height });
    expect(shown.length).toBeLessThanOrEqual(height);
    if (height < 24) return;
    const more = Number(/^and (\d+) more$/.exec(shown.at(-1) ?? "")?.[1]);
    expect(more + shown.filter((line) => line.startsWith("film.v1.FilmService/Render  3")).length).toBe(300);
  });
});
