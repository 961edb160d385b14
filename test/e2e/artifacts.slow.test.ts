import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { get, type IncomingMessage } from "node:http";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { connectRetake } from "../../src/client/index.ts";
import { createServerSite } from "./server-process.ts";

const mebibyte = 1024 * 1024;
const image = { name: "film.mp4", mediaType: "application/octet-stream" };

/** The bytes from an offset on, each MiB another, made as they are read. */
async function* film(size: number, offset: number): AsyncGenerator<Uint8Array> {
  for (let position = offset; position < size; ) {
    const number = Math.floor(position / mebibyte);
    const block = createHash("shake256", { outputLength: 4096 }).update(String(number)).digest();
    const whole = Buffer.alloc(mebibyte, block);
    const chunk = whole.subarray(position % mebibyte, Math.min(mebibyte, (position % mebibyte) + size - position));
    position += chunk.length;
    yield chunk;
  }
}

async function digestOf(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of chunks) hash.update(chunk);
  return hash.digest("hex");
}

/** The most memory that a process has ever had, in bytes. */
async function peakOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

describe("a server whose clients upload and download", () => {
  it("goes on with an upload after being killed in the middle of it, again and again", {
    timeout: 120_000,
  }, async () => {
    await using site = await createServerSite();
    let process = site.launch();
    await process.ready;
    using client = connectRetake({ target: `127.0.0.1:${site.grpcPort}` });
    const size = 96 * mebibyte;
    const killAt = [10, 40, 70].map((mebibytes) => mebibytes * mebibyte);
    const offsets: number[] = [];
    let kills = Promise.resolve();
    const artifact = await client.artifacts.put(
      async function* (offset) {
        offsets.push(offset);
        let position = offset;
        for await (const chunk of film(size, offset)) {
          yield chunk;
          position += chunk.length;
          if (position >= (killAt[0] ?? Number.POSITIVE_INFINITY)) {
            killAt.shift();
            kills = process.kill().then(() => {
              process = site.launch();
              return process.ready;
            });
            await kills;
          }
        }
      },
      { ...image, size },
    );
    await kills;
    const wanted = await digestOf(film(size, 0));
    expect(Buffer.from(artifact.sha256).toString("hex")).toBe(wanted);
    expect(offsets).toHaveLength(4);
    // Nothing that was durable is sent again: no more than is synced at once, and what was under way.
    expect(offsets[1]).toBeGreaterThan(2 * mebibyte);
    expect(offsets[2]).toBeGreaterThan(30 * mebibyte);
    expect(offsets[3]).toBeGreaterThan(60 * mebibyte);
    expect(await digestOf(await client.artifacts.get(artifact.artifactId))).toBe(wanted);
    expect(await readdir(join(site.dataDirectory, "artifacts", "uploads"))).toEqual([]);

    await process.terminate();
    process = site.launch();
    await process.ready;
    expect(await digestOf(await client.artifacts.get(artifact.artifactId))).toBe(wanted);
  });

  it("needs little memory for large files and slow readers", { timeout: 120_000 }, async () => {
    await using site = await createServerSite();
    const process = site.launch();
    await process.ready;
    using client = connectRetake({ target: `127.0.0.1:${site.grpcPort}` });
    const size = 1024 * mebibyte;
    const before = await peakOf(process.pid);
    const { artifactId } = await client.artifacts.put((offset) => film(size, offset), { ...image, size });
    const path = `/artifacts/${artifactId}`;
    // Readers that do not read: what they ask for must not pile up.
    const stalled = await Promise.all(
      Array.from(
        { length: 20 },
        () =>
          new Promise<IncomingMessage>((resolve) => {
            get({ host: "127.0.0.1", port: site.webPort, path, agent: false }, (response) => resolve(response.pause()));
          }),
      ),
    );
    const wanted = await digestOf(film(size, 0));
    expect(await digestOf(await client.artifacts.get(artifactId))).toBe(wanted);
    const after = await peakOf(process.pid);
    for (const response of stalled) response.destroy();

    console.info({ beforeMiB: before / mebibyte, afterMiB: after / mebibyte });
    expect(after - before).toBeLessThan(256 * mebibyte);
  });
});
