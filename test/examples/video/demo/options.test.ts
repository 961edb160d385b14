import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, it, vi } from "vitest";

beforeEach(() => {
  vi.resetModules();
});

afterEach(() => {
  vi.unstubAllEnvs();
});

const bundled = fileURLToPath(new URL("../../../../examples/video/storyboard.json", import.meta.url));

/** As a process that was started like this understands it. */
async function parse(argv: readonly string[], env: Readonly<Record<string, string>> = {}) {
  for (const [name, value] of Object.entries({ npm_lifecycle_event: "", INIT_CWD: "", ...env }))
    vi.stubEnv(name, value);
  const { parseDemoOptions } = await import("../../../../examples/video/demo/options.ts");
  return parseDemoOptions(argv);
}

it("takes the bundled storyboard, saves under build/ and stops, unless it is told otherwise", async () => {
  expect(await parse([])).toEqual({ storyboard: bundled, chaos: false, keep: false });
  expect(await parse(["--keep"])).toEqual({ storyboard: bundled, chaos: false, keep: true });
});

it("takes paths from where the person stands, also when npm has gone elsewhere", async () => {
  const flags = ["--out", "films/", "--storyboard", "my/story.json"];
  const here = process.cwd();
  expect(await parse(flags)).toMatchObject({ out: `${here}/films/`, storyboard: `${here}/my/story.json` });
  const env = { npm_lifecycle_event: "demo", INIT_CWD: "/home/somebody" };
  vi.resetModules();
  expect(await parse(flags, env)).toMatchObject({
    out: "/home/somebody/films/",
    storyboard: "/home/somebody/my/story.json",
  });
  expect(await parse(["--out", "/srv/film.mp4"], env)).toMatchObject({ out: "/srv/film.mp4" });
});

it.each([["--help"], ["-h"]])("shows help for %s", async (flag) => {
  expect(await parse(["--keep", flag])).toBe("help");
});

it.each([
  [["--out"], /--out needs a value/],
  [["film.mp4"], /one argument too many/],
  [["--keep=yes"], /--keep takes no value/],
])("refuses %j, and says where help is", async (argv, message) => {
  await expect(parse(argv)).rejects.toThrow(message);
  await expect(parse(argv)).rejects.toThrow(/\nTry: npm run demo -- --help$/);
});
