import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readInput } from "../../src/cli/read-input.ts";
import { chunks, createIo } from "./harness.ts";

let directory = "";
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "retake-cli-"));
});
afterAll(() => rm(directory, { recursive: true }));

describe("readInput", () => {
  it("is an empty request where none is given, and the text itself", async () => {
    const { io } = createIo();
    expect(await readInput(undefined, io)).toEqual({ source: "--input", text: "{}" });
    expect(await readInput('{"a": 1}', io)).toEqual({ source: "--input", text: '{"a": 1}' });
  });

  it("reads a file behind @, without its byte order mark", async () => {
    const file = join(directory, "story.json");
    await writeFile(file, '\ufeff{"text": "schön"}');
    expect(await readInput(`@${file}`, createIo().io)).toEqual({ source: file, text: '{"text": "schön"}' });
  });

  it("reads standard input for -, in pieces that cut characters too", async () => {
    const bytes = new TextEncoder().encode('{"text": "schön"}');
    const { io } = createIo({ stdin: chunks(bytes.slice(0, 14), bytes.slice(14)) });
    expect(await readInput("-", io)).toEqual({ source: "standard input", text: '{"text": "schön"}' });
  });

  it("refuses files that are not there or no text", async () => {
    const { io } = createIo();
    await expect(readInput("@", io)).rejects.toThrow("--input: a file's name is missing behind @");
    await expect(readInput("@/nowhere/x.json", io)).rejects.toThrow("--input: /nowhere/x.json cannot be read: ENOENT");
    await expect(readInput(`@${directory}`, io)).rejects.toThrow("cannot be read: EISDIR");
    const file = join(directory, "binary");
    await writeFile(file, new Uint8Array([0xff, 0xfe, 0x00]));
    await expect(readInput(`@${file}`, io)).rejects.toThrow(`${file} is no UTF-8 text`);
  });

  it("stops waiting for standard input when it is interrupted", async () => {
    const { io, interrupt } = createIo({
      stdin: { [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }) },
    });
    const reading = readInput("-", io);
    interrupt();
    await expect(reading).rejects.toMatchObject({ name: "AbortError" });
  });
});
