import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { lineDigest } from "../../../src/security/audit/audit-chain.ts";
import { auditFileNames } from "../../../src/security/audit/audit-files.ts";
import { base64 } from "../../../src/security/audit/audit-line.ts";
import { verifyAudit } from "../../../src/security/index.ts";
import { temporaryDirectory } from "../../runs/sqlite/temporary-directory.ts";
import { batch, key, openFiles } from "./logs.ts";

/** A log of three files with four records each, and its lines. */
function written(): { directory: string; paths: string[]; lines: string[][] } {
  const directory = join(temporaryDirectory(), "audit");
  const files = openFiles(directory, { fileBytes: 1_000 });
  for (let at = 0; at < 3; at++) files.append(batch(4), 0);
  files.close();
  const paths = auditFileNames(directory).map((name) => join(directory, name));
  return { directory, paths, lines: paths.map((path) => readFileSync(path, "utf8").trimEnd().split("\n")) };
}

function write(path: string | undefined, lines: readonly string[]): void {
  writeFileSync(path ?? "", lines.map((line) => `${line}\n`).join(""));
}

/** The chain as somebody makes it who can write the files, and has no key. */
function refit(lines: readonly string[], previous: Uint8Array): string[] {
  let sha256 = previous;
  return lines.map((line) => {
    const fitted = line.replace(/"previousSha256":"[^"]*"/, `"previousSha256":"${base64(sha256)}"`);
    sha256 = lineDigest(fitted);
    return fitted;
  });
}

describe("verifyAudit", () => {
  it("finds nothing wrong with a log as it was written, and tells how it ends", () => {
    const { directory, lines } = written();
    const result = verifyAudit(directory, { key });
    expect(result).toMatchObject({ sound: true, records: 12n, firstSequence: 1n, checkpointVerified: true });
    expect(result.lastSha256).toEqual(lineDigest(lines[2]?.[3] ?? ""));
    expect(verifyAudit(directory)).toMatchObject({ sound: true, checkpointVerified: false });
  });

  const changes: [what: string, change: (lines: string[]) => string[], line: number, message: RegExp][] = [
    ["a changed line", ([a, b, ...rest]) => [a, b?.replace("alice", "mallo"), ...rest] as string[], 2, /was changed/],
    ["a line that is none", ([a, , ...rest]) => [a, "{", ...rest] as string[], 2, /is no record/],
    ["an empty line", ([a, ...rest]) => [a, "", ...rest] as string[], 2, /is no record/],
    ["a removed line", ([a, , ...rest]) => [a, ...rest] as string[], 2, /record 6 is missing: removed/],
    ["two removed lines", ([a, , , ...rest]) => [a, ...rest] as string[], 2, /records 6 to 7 are missing/],
    ["swapped lines", ([a, b, c, d]) => [a, c, b, d] as string[], 2, /record 6 is missing/],
    ["an inserted line", ([a, ...rest]) => [a, a, ...rest] as string[], 2, /is record 5 where 6 belongs/],
    ["a last line that was changed", ([a, b, c, d]) => [a, b, c, `${d} `] as string[], 4, /changed/],
  ];
  it.each(changes)("finds %s, and names its place", (_, change, line, message) => {
    const { directory, paths, lines } = written();
    write(paths[1], change(lines[1] ?? []));
    const { sound, problem } = verifyAudit(directory, { key });
    expect(sound).toBe(false);
    expect(problem).toMatchObject({ file: paths[1], line: BigInt(line) });
    expect(problem?.message).toMatch(message);
  });

  it("finds a change whose chain was made to fit, by the signed checkpoint", () => {
    const { directory, paths, lines } = written();
    const [first = [], second = [], third = []] = lines;
    const changed = second.map((line, index) => (index === 1 ? line.replace("alice", "mallo") : line));
    const fitted = refit([...changed, ...third], lineDigest(first.at(-1) ?? ""));
    write(paths[1], fitted.slice(0, 4));
    write(paths[2], fitted.slice(4));
    const { problem } = verifyAudit(directory, { key });
    expect(problem).toMatchObject({ file: paths[1], line: 4n });
    expect(problem?.message).toMatch(/from 5 on, was changed, and what follows was fitted to it/);
    expect(verifyAudit(directory, { key: new Uint8Array(32) }).problem?.message).toMatch(/head\.json .*another key/);
  });

  it("finds an end that was cut off, whole files included", () => {
    const { directory, paths, lines } = written();
    write(paths[2], lines[2]?.slice(0, 2) ?? []);
    expect(verifyAudit(directory, { key }).problem?.message).toMatch(/records 11 to 12 are missing/);
    write(paths[2], []);
    expect(verifyAudit(directory, { key }).problem?.message).toMatch(/records 9 to 12 are missing/);
    write(paths[1], []);
    write(paths[2], lines[2] ?? []);
    expect(verifyAudit(directory, { key }).problem?.message).toMatch(/records 5 to 8 are missing/);
  });

  it("finds a checkpoint that was changed to suit", () => {
    const { directory, paths, lines } = written();
    const headPath = join(directory, "head.json");
    const head = JSON.parse(readFileSync(headPath, "utf8"));
    write(paths[2], lines[2]?.slice(0, 2) ?? []);
    const sha256 = Buffer.from(lineDigest(lines[2]?.[1] ?? "")).toString("hex");
    writeFileSync(headPath, JSON.stringify({ ...head, sequence: 10, sha256 }));
    expect(verifyAudit(directory, { key }).problem).toMatchObject({ file: headPath, line: 0n });
    // Whoever has no key cannot tell.
    expect(verifyAudit(directory).sound).toBe(true);
  });

  it("looks at files that were exported, and at what was noted elsewhere", () => {
    const { directory, lines } = written();
    const file = join(directory, "..", "export.jsonl");
    const all = lines.flat();
    write(file, all);
    const sha256 = lineDigest(all[6] ?? "");
    expect(verifyAudit(file, { known: { sequence: 7, sha256 } })).toMatchObject({ sound: true, records: 12n });
    write(file, all.slice(4));
    expect(verifyAudit(file)).toMatchObject({ sound: true, firstSequence: 5n });
    write(file, all.toSpliced(8, 1));
    expect(verifyAudit(file).problem).toMatchObject({ line: 9n, sequence: 9n });
    write(
      file,
      refit(
        all.map((line) => line.replace("run-3", "run-9")),
        new Uint8Array(),
      ),
    );
    expect(verifyAudit(file).sound).toBe(true);
    expect(verifyAudit(file, { known: { sequence: 7, sha256 } }).problem).toMatchObject({ line: 7n });
    write(file, all.slice(0, 5));
    expect(verifyAudit(file, { known: { sequence: 7, sha256 } }).problem?.message).toMatch(/record 7.* is not there/);
  });

  it("finds any byte that was changed, at its line or one beside it", () => {
    const { directory, paths, lines } = written();
    const text = lines[1]?.map((line) => `${line}\n`).join("") ?? "";
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.integer({ min: 33, max: 126 }), (at, code) => {
        const changed = text.slice(0, at) + String.fromCharCode(code) + text.slice(at + 1);
        fc.pre(changed !== text);
        writeFileSync(paths[1] ?? "", changed);
        const { sound, problem } = verifyAudit(directory, { key });
        expect(sound).toBe(false);
        const line = text.slice(0, at).split("\n").length;
        expect([line - 1, line, line + 1].map(BigInt)).toContain(problem?.line);
      }),
      { numRuns: 150 },
    );
  });
});
