import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { expect, it, onTestFinished } from "vitest";

/** What one act says, by its number. */
function acts(output: string): readonly string[] {
  return output.split(/^Act \d\. .*\n/m);
}

it("shows a film's way through retries, lower quality, a breaker and a fallback while its engine dies and returns", async () => {
  const directory = await mkdtemp(join(tmpdir(), "chaos-test-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const child = spawn("npm", ["run", "--silent", "demo", "--", "--chaos", "--out", `${directory}/film.webp`], {
    cwd: fileURLToPath(new URL("../../..", import.meta.url)),
    stdio: ["ignore", "pipe", "pipe"],
  });
  onTestFinished(() => void child.kill());
  const [output, errors, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
  expect([code, errors]).toEqual([0, ""]);
  expect(await readdir(directory)).toEqual(["film.webp"]);

  const [opening = "", works = "", memory = "", killed = "", away = "", back = ""] = acts(output);
  expect(works).toMatch(/A film by the engine: 3\.1 s of 448 x 256/);
  expect(memory).toMatch(/attempt 1 ended after .*: OUT_OF_MEMORY: out of memory/);
  expect(memory).toMatch(/attempt 2 started on .*, at quality HIGH, with other width/);
  expect(memory).toMatch(/A film by the engine: 3\.1 s of 352 x 256/);
  expect(memory).toMatch(/It took 2 attempts, .*, quality HIGH/);
  expect(killed).toMatch(/attempt 1 ended after .*: UNAVAILABLE: the engine is gone/);
  expect(killed).toMatch(/attempt 2 ended after .*: UNAVAILABLE: .*ECONNREFUSED/);
  for (const act of [killed, away]) {
    expect(act).toMatch(/fallback storycore\.video\.v1\.VideoService\/Animatic takes over as run /);
    expect(act).toMatch(
      /was turned to because of BREAKER_OPEN: the breaker of storycore\.video\.v1\.VideoService\/TextToVideo is open/,
    );
    expect(act).toMatch(/A film by the fallback storycore\.video\.v1\.VideoService\/Animatic: .* of 448 x 256/);
  }
  expect(back).toMatch(/A film by the engine: /);

  const port = Number(/^engine {3}127\.0\.0\.1:(\d+),/m.exec(opening)?.[1]);
  const left = connect(port, "127.0.0.1");
  const [error] = await Promise.race([once(left, "error"), once(left, "connect")]);
  left.destroy();
  expect(error).toMatchObject({ code: "ECONNREFUSED" });
}, 240_000);
