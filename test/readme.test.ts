import { execFile, spawn } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { create, createRegistry } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { Quality } from "../gen/retake/v1/options_pb.js";
import { deriveImports } from "../scripts/derive-imports.ts";
import { parseConfig } from "../src/config/index.ts";
import { withImports } from "../src/contract/index.ts";
import { degradeRequest } from "../src/testing/index.ts";
import { compileContracts, contractSource } from "./contract/compile-contracts.ts";

const root = join(import.meta.dirname, "..");
const bin = join(root, "node_modules", ".bin");
const run = promisify(execFile);

/** Where the README's files are put: within the package, which calls itself by its name there. */
let directory: string;
let readme: string;
let grpcPort: number;
let webPort: number;
let server: ReturnType<typeof spawn> | undefined;

/** The block behind a comment like `<!-- file: server.ts -->`. */
function block(mark: string): string {
  const text = readme.split(`<!-- ${mark} -->\n`)[1];
  const code = text === undefined ? undefined : /^```\w+\n([\s\S]*?)^```$/m.exec(text)?.[1];
  if (code === undefined) throw new Error(`the README has no block marked ${mark}`);
  return code;
}

async function put(name: string, change: (source: string) => string = (source) => source): Promise<void> {
  const path = join(directory, name);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, change(block(`file: ${name}`)));
}

/** Replaces what must be there. */
const replaced = (what: string, by: string) => (source: string) => {
  expect(source).toContain(what);
  return source.replace(what, by);
};

const uploads = ["UploadArtifact", "GetUpload"].map((name) => `retake.v1.ArtifactService/${name}`);

beforeAll(async () => {
  readme = await readFile(join(root, "README.md"), "utf8");
  await mkdir(join(root, "build"), { recursive: true });
  directory = await mkdtemp(join(root, "build", "readme-"));
  await put("studio/v1/poster_service.proto");
  const imports = join(directory, "imports");
  await deriveImports(imports);
  await cp(join(root, "proto"), imports, { recursive: true });
  await cp(join(directory, "studio"), join(imports, "studio"), { recursive: true });
  const template = {
    version: "v2",
    plugins: [
      {
        local: join(bin, "protoc-gen-es"),
        out: join(directory, "gen"),
        opt: [
          "target=js+dts",
          "import_extension=js",
          "rewrite_imports=./buf/validate/*_pb.js:@bufbuild/protovalidate/gen",
          "rewrite_imports=./retake/v*/*_pb.js:retake/gen",
        ],
      },
    ],
  };
  await run(join(bin, "buf"), [
    "generate",
    imports,
    "--template",
    JSON.stringify(template),
    "--path",
    join(imports, "studio"),
  ]);

  // The ports may be taken on a machine that runs tests; the server tells its parent which ones it got.
  await put("server.ts", (source) => {
    const config = {
      dataDirectory: join(directory, "data"),
      grpc: { port: 0 },
      web: { port: 0 },
      log: { level: "warn" },
      // The README says so: callers without credentials may do what is PUBLIC, and uploads are not.
      security: { access: { rules: { uploads: { subjects: ["anonymous"], methods: uploads } } } },
    };
    const started = replaced("createServer()", `createServer(${JSON.stringify(config)})`)(source);
    return `${started}\nprocess.send?.({ grpc: server.grpc?.port, web: server.web?.port });\n`;
  });
  server = spawn(join(bin, "node"), ["--conditions=retake-source", "server.ts"], {
    cwd: directory,
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  const ports = await new Promise<{ grpc: number; web: number }>((resolve, reject) => {
    server?.once("message", (message) => resolve(message as { grpc: number; web: number }));
    server?.once("exit", (code) => reject(new Error(`the README's server ended with ${code}`)));
  });
  grpcPort = ports.grpc;
  webPort = ports.web;
}, 120_000);

afterAll(async () => {
  if (server !== undefined && server.exitCode === null) {
    const ended = new Promise((resolve) => server?.once("exit", resolve));
    server.kill("SIGKILL");
    await ended;
  }
  await rm(directory, { recursive: true, force: true });
});

/** Not much of a picture. */
const onePixel = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "base64",
);

describe("the README", () => {
  it("has a contract, a handler and a client that type-check together", async () => {
    await put("client.ts");
    const project = {
      extends: join(root, "tsconfig.json"),
      compilerOptions: { noEmit: true, typeRoots: [join(root, "node_modules/@types")] },
      include: ["*.ts"],
      exclude: [],
    };
    await writeFile(join(directory, "tsconfig.json"), JSON.stringify(project));
    await run(join(bin, "tsc"), ["--project", join(directory, "tsconfig.json")]).catch((error) => {
      throw new Error(error.stdout);
    });
  }, 120_000);

  it("has a client that sees the run being retaken, with its sketch drawn once, and gets the poster", async () => {
    await put("client.ts", replaced("localhost:50051", `127.0.0.1:${grpcPort}`));
    const { stdout } = await run(join(bin, "node"), ["--conditions=retake-source", "client.ts"], { cwd: directory });
    expect(stdout.trim().split("\n")).toEqual([
      "1 accepted",
      "2 attemptStarted",
      expect.stringMatching(/^\d+ (progressSampled|stepCompleted)$/),
      expect.stringMatching(/^\d+ (progressSampled|stepCompleted)$/),
      "5 attemptFailed",
      "6 retryScheduled",
      "7 woken",
      "8 attemptStarted",
      ...[expect.stringMatching(/progressSampled$/)],
      "10 succeeded",
      '<svg><text y="20">Retake</text></svg>',
    ]);
  }, 60_000);

  it("has a curl line that starts a run", async () => {
    const line = block("run: curl").replace("localhost:8080", `127.0.0.1:${webPort}`);
    const { stdout } = await run("sh", ["-c", `${line.trim()} --silent --show-error`]);
    expect(JSON.parse(stdout)).toMatchObject({ run: { workflow: "studio.v1.PosterService/Draw" } });
  }, 60_000);

  it("has lines that upload a file and get it back", async () => {
    await writeFile(join(directory, "harbour.png"), onePixel);
    const lines = block("run: artifact").replace("localhost:8080", `127.0.0.1:${webPort}`);
    const retake = `retake() { node --conditions=retake-source "${join(root, "src/cli/main.ts")}" "$@"; }`;
    const env = {
      ...process.env,
      PATH: `${bin}:${process.env["PATH"]}`,
      RETAKE_TARGET: `127.0.0.1:${grpcPort}`,
      // Whoever runs this may have a server of their own.
      RETAKE_API_KEY: undefined,
    };
    await run("sh", ["-ec", `${retake}\n${lines}`], { cwd: directory, env });
    expect(await readFile(join(directory, "copy.png"))).toEqual(onePixel);
  }, 60_000);

  it("has configurations that the server takes", async () => {
    const [first = "", ...more] = [...readme.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(([, yaml]) => yaml ?? "");
    expect(Object.keys(parse(first) as object)).toContain("backends");
    const config = await parseConfig(first, "retake.yaml");
    expect(config.workflows["studio.v1.PosterService/Draw"]?.retry?.maxAttempts).toBe(5);
    expect(more.length).toBeGreaterThan(0);
    for (const yaml of more) await expect(parseConfig(yaml, "retake.yaml")).resolves.toBeDefined();
  });

  it("names the scripts that there are", async () => {
    const { scripts } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as { scripts: object };
    const named = [...readme.matchAll(/npm (?:run )?(demo|test|verify|bench)\b/g)].map(([, name]) => name ?? "");
    expect(named.length).toBeGreaterThan(3);
    for (const name of named) expect(Object.keys(scripts)).toContain(name);
  });
});

describe("the contract that can ask for less", () => {
  it("does as its comments say", async () => {
    const source = contractSource("film.v1", `${block("part: quality")} message ShootResponse {}`);
    const request = (await compileContracts({ "film.proto": source })).getMessage("film.v1.ShootRequest");
    if (request === undefined) throw new Error("ShootRequest is lost");
    const steps = [Quality.FULL, Quality.HIGH, Quality.MEDIUM, Quality.LOW, Quality.MINIMAL].map(
      (quality) =>
        (degradeRequest(request, { steps: 50 } as never, quality).message as unknown as { steps: number }).steps,
    );
    expect(steps).toEqual([50, 40, 30, 20, 15]);
  });
});

describe("the request with rules", () => {
  it("compiles, and refuses what they say", async () => {
    const source = `import "retake/v1/rules.proto";\n${block("part: rules")}`;
    const types = await compileContracts({ "paint.proto": contractSource("paint.v1", source) });
    const request = types.getMessage("paint.v1.PaintRequest");
    if (request === undefined) throw new Error("PaintRequest is lost");
    const registry = createRegistry(...withImports([request.file]));
    const given = create(request, { prompt: "<script>", photoUrl: "http://10.0.0.1/" } as never);
    const { violations } = createValidator({ registry }).validate(request, given);
    expect(violations?.map(({ ruleId }) => ruleId)).toEqual(["string.safe_text.element", "string.public_url.address"]);
  });
});
