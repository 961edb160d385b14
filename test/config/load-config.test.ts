import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { ConfigError } from "../../src/config/config-error.ts";
import { loadConfig, parseConfig } from "../../src/config/load-config.ts";

describe("parseConfig", () => {
  it("reads text, and names its file in messages", async () => {
    expect((await parseConfig("log: {level: warn}", "retake.yaml")).log?.level).toBe("warn");
    await expect(parseConfig("logg: {}", "retake.yaml")).rejects.toThrow("retake.yaml:1:1: unknown key");
  });
});

describe("loadConfig", async () => {
  const directory = await mkdtemp(join(tmpdir(), "retake-config-"));
  afterAll(() => rm(directory, { recursive: true }));
  const file = join(directory, "retake.yaml");

  it("reads a file", async () => {
    await writeFile(file, "\uFEFFlog: {level: warn}\r\n");
    expect((await loadConfig(file)).log?.level).toBe("warn");
  });

  it("names the file in its messages", async () => {
    await writeFile(file, "logg: {}");
    await expect(loadConfig(file)).rejects.toThrow(`${file}:1:1: unknown key "logg". Did you mean "log"?`);
  });

  it("says what to do when there is no such file, or a directory", async () => {
    const missing = join(directory, "missing.yaml");
    await expect(loadConfig(missing)).rejects.toThrow(`${missing}: there is no such file. Name another one`);
    await expect(loadConfig(missing)).rejects.toThrow(ConfigError);
    await expect(loadConfig(directory)).rejects.toThrow(`${directory}: this is a directory. Name the file in it`);
  });

  it.skipIf(process.getuid?.() === 0)("says so when the file may not be read", async () => {
    await writeFile(file, "{}");
    await chmod(file, 0o000);
    await expect(loadConfig(file)).rejects.toThrow("may not be read by this user");
    await chmod(file, 0o600);
  });

  it("refuses what is no UTF-8 text", async () => {
    await writeFile(file, Uint8Array.of(0x6c, 0x6f, 0x67, 0xff, 0xfe));
    await expect(loadConfig(file)).rejects.toThrow(`${file}: the file is no UTF-8 text`);
  });
});
