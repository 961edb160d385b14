import { describe, expect, it } from "vitest";
import { parseDuration, parseTime } from "../../src/cli/parse-time.ts";

describe("parseDuration", () => {
  it.each([
    ["250ms", 250],
    ["90s", 90_000],
    ["1h30m", 5_400_000],
    ["1.5h", 5_400_000],
    ["7d", 604_800_000],
    ["2w", 1_209_600_000],
  ])("reads %s", (text, ms) => {
    expect(parseDuration("--timeout", text)).toBe(ms);
  });

  it.each(["", "90", "s", "1x", "1h 30m", "-1s", "1h30", "h1"])("refuses %j", (text) => {
    expect(() => parseDuration("--timeout", text)).toThrow(`--timeout: "${text}" is no duration; one looks like 90s`);
  });
});

describe("parseTime", () => {
  const nowMs = Date.UTC(2026, 10, 22, 12);

  it("reads how long ago", () => {
    expect(parseTime("--since", "2h", nowMs)).toBe(nowMs - 7_200_000);
  });

  it("takes dates and times without a zone for local ones", () => {
    expect(parseTime("--since", "2026-11-22", nowMs)).toBe(new Date(2026, 10, 22).getTime());
    expect(parseTime("--since", "2026-11-22T10:30", nowMs)).toBe(new Date(2026, 10, 22, 10, 30).getTime());
    expect(parseTime("--since", "2026-11-22 10:30:15", nowMs)).toBe(new Date(2026, 10, 22, 10, 30, 15).getTime());
  });

  it("takes a zone where one is given", () => {
    expect(parseTime("--since", "2026-11-22T10:00Z", nowMs)).toBe(Date.UTC(2026, 10, 22, 10));
    expect(parseTime("--since", "2026-11-22T10:00+02:00", nowMs)).toBe(Date.UTC(2026, 10, 22, 8));
  });

  it.each(["", "yesterday", "2026-13-01", "22.11.2026", "10:00", "2026"])("refuses %j", (text) => {
    expect(() => parseTime("--since", text, nowMs)).toThrow(`--since: "${text}" is no`);
  });

  it("refuses a duration with an unknown unit as one", () => {
    expect(() => parseTime("--since", "3y", nowMs)).toThrow('--since: "3y" is no duration');
  });
});
