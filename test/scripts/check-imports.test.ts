import { describe, expect, it } from "vitest";
import { findViolations } from "../../scripts/check-imports.ts";

describe("findViolations", () => {
  it.each([
    ["a lower module's index", "runs/turn.ts", 'import { x } from "../contract/index.ts";'],
    ["its own module's files", "runs/turn.ts", 'import { x } from "./sqlite/journal.ts";'],
    ["generated code", "runs/sqlite/journal.ts", 'import { x } from "../../../gen/retake/v1/run_pb.js";'],
    ["files that belong to nobody", "runs/turn.ts", 'import type { Clock } from "../clock.ts";'],
    ["a module listed by its path", "server/engine.ts", 'import { x } from "../interceptors/run/index.ts";'],
    ["a front door within another module", "server/server.ts", 'import { x } from "../runs/sqlite/index.ts";'],
    ["packages", "runs/turn.ts", 'import fastify from "fastify";'],
  ])("lets a module import %s", (_, file, source) => {
    expect(findViolations(new Map([[file, source]]))).toEqual([]);
  });

  it.each([
    ["the inside of another module", "runs/turn.ts", 'import { x } from "../contract/policy.ts";', "index.ts"],
    ["a higher module", "contract/policy.ts", 'import {\n  x,\n  y,\n} from "../runs/index.ts";', "is below"],
    ["a module of its own layer", "contract/policy.ts", 'export * from "../transport/index.ts";', "one layer"],
    ["a higher module, dynamically", "runs/turn.ts", 'await import("../server/index.ts")', "is below"],
    [
      "the inside of a module listed by its path",
      "server/a.ts",
      'import "../interceptors/run/retry.ts";',
      "run/index.ts",
    ],
    ["for side effects", "runs/turn.ts", 'import "../cli/index.ts";', "is below"],
    ["the package by its own name", "server/grpc.ts", 'import { x } from "retake/client";', "relative path"],
    ["the tests", "runs/turn.ts", 'import { x } from "../../test/tools.ts";', "only gen/"],
    ["a module without a layer", "runs/turn.ts", 'import { x } from "../nowhere/index.ts";', "no layer"],
    ["a module, from a file that belongs to nobody", "clock.ts", 'import { x } from "./runs/index.ts";', "everyone"],
  ])("refuses to import %s", (_, file, source, reason) => {
    expect(findViolations(new Map([[file, source]]))).toEqual([
      { file, specifier: expect.any(String), reason: expect.stringContaining(reason) },
    ]);
  });

  it("lets the entry point import any module's index", () => {
    expect(findViolations(new Map([["index.ts", 'export { x } from "./server/index.ts";']]))).toEqual([]);
  });
});
