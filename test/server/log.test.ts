import { describe, expect, it } from "vitest";
import { createLog, type LogOptions } from "../../src/server/log.ts";

function logged(options: Partial<LogOptions>, isTTY: boolean): string {
  let text = "";
  const destination = { isTTY, write: (line: string) => (text += line) };
  const log = createLog({ level: "info", redact: (line) => line.replace("secret", "***"), destination, ...options });
  log.debug({}, "not wanted");
  log.info({ run_id: "r-1" }, "a secret film");
  return text;
}

const json = /^\{"level":30,"time":\d+,.*"run_id":"r-1","msg":"a \*\*\* film"\}\n$/;
const pretty = /^\d\d:\d\d:\d\d\.\d{3} INFO {2}a \*\*\* film run_id=r-1\n$/;

describe("the log", () => {
  it.each<[string, Partial<LogOptions>, boolean, RegExp]>([
    ["is JSON where something collects it", {}, false, json],
    ["is for people on a terminal", {}, true, pretty],
    ["is JSON on a terminal where that is wanted", { format: "json" }, true, json],
    ["is for people in a file where that is wanted", { format: "pretty" }, false, pretty],
  ])("%s", (_, options, isTTY, expected) => {
    expect(logged(options, isTTY)).toMatch(expected);
  });
});
