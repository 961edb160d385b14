import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";

const root = join(import.meta.dirname, "..");

it("every file that SECURITY.md names exists, and every threat names a test", () => {
  const text = readFileSync(join(root, "SECURITY.md"), "utf8");
  const files = [...text.matchAll(/\]\(([^)#:]+)\)/g)].map(([, file = ""]) => file);
  expect(files.filter((file) => !existsSync(join(root, file)))).toEqual([]);
  const threats = text.split("\n").filter((line) => /^\| (?!threat |-)/.test(line));
  expect(threats.length).toBeGreaterThan(40);
  expect(threats.filter((line) => !/\]\(test\/[\w./-]+\.test\.ts\)/.test(line))).toEqual([]);
});
