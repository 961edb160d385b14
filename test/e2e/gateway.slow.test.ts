import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { file_retake_v1_backend_service } from "../../gen/retake/v1/backend_service_pb.js";
import type { RunEvent } from "../../gen/retake/v1/run_pb.js";
import { connectRetake } from "../../src/client/index.ts";
import { compileProtos } from "../compile-protos.ts";
import { descriptorSet } from "./descriptor-set.ts";
import { requirePythonWithGrpc } from "./python.ts";

const repository = join(import.meta.dirname, "../..");
const fixtures = join(import.meta.dirname, "fixtures");

let directory = "";
let descriptors = "";
const children = new Set<ChildProcess>();

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "retake-gateway-"));
  descriptors = join(directory, "paint.binpb");
  const contract = await compileProtos({
    "paint/v1/paint.proto": await readFile(join(fixtures, "paint.proto"), "utf8"),
  });
  await writeFile(descriptors, descriptorSet(...contract.files));
}, 60_000);

afterEach(async () => {
  for (const child of children) child.kill("SIGKILL");
  await Promise.all([...children].map((child) => ended(child)));
  children.clear();
  await rm(directory, { recursive: true, force: true });
});

interface Program {
  readonly child: ChildProcess;
  /** What it has printed, to either output. */
  readonly lines: readonly string[];
  /** Resolves once it has printed such a line; rejects with all that it has printed when it ends before. */
  printed(pattern: RegExp): Promise<void>;
}

function start(command: string, ...args: readonly string[]): Program {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, NODE_OPTIONS: "" } });
  children.add(child);
  const lines: string[] = [];
  const looking = new Set<() => void>();
  let over = false;
  const look = (): void => {
    for (const each of [...looking]) each();
  };
  for (const output of [child.stdout, child.stderr]) {
    if (output !== null) {
      createInterface({ input: output }).on("line", (line) => {
        lines.push(line);
        look();
      });
    }
  }
  child.on("close", () => {
    over = true;
    look();
  });
  return {
    child,
    lines,
    printed: (pattern) =>
      new Promise((resolve, reject) => {
        const check = (): void => {
          const found = lines.some((line) => pattern.test(line));
          if (!found && !over) return;
          looking.delete(check);
          if (found) resolve();
          else reject(new Error(`it ended without printing ${pattern}:\n${lines.join("\n")}`));
        };
        looking.add(check);
        check();
      }),
  };
}

function ended(child: ChildProcess): Promise<number | null> {
  return child.exitCode !== null || child.signalCode !== null
    ? Promise.resolve(child.exitCode)
    : new Promise((resolve) => child.once("close", (code) => resolve(code)));
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => resolve(port));
    });
  });
}

/** The gateway, with nothing but flags and a configuration. */
async function startGateway(backendPort: number, titlePolicy = "{}") {
  const config = join(directory, "retake.yaml");
  await writeFile(
    config,
    `
workflows:
  paint.v1.PaintService/Title: ${titlePolicy}
  paint.v1.PaintService/Paint:
    updates: [stroke]
    attempt_timeout: 60s
    retry: { max_attempts: 3, initial_backoff: 0.1s, retryable_status_codes: [UNAVAILABLE] }
`,
  );
  const gateway = start(
    process.execPath,
    "--conditions=retake-source",
    join(repository, "src/cli/main.ts"),
    "serve",
    ...["--config", config, "--data", join(directory, "data"), "--grpc-port", "0", "--web-port", "off"],
    ...["--backend", `localhost:${backendPort}`],
  );
  return {
    ...gateway,
    async target() {
      await gateway.printed(/^gRPC {2}/);
      return gateway.lines.find((line) => line.startsWith("gRPC  "))?.slice(6) ?? "";
    },
  };
}

/** The key that the gateway has made at its first start. */
async function adminKey(): Promise<string> {
  return (await readFile(join(directory, "data", "admin.key"), "utf8")).trimEnd();
}

describe("the gateway in front of a Python server", () => {
  it("waits for it, takes its contract by reflection, and rides through its death in mid-run", async (context) => {
    const python = await requirePythonWithGrpc(context, ["grpc_reflection", "grpc_health"]);
    const port = await freePort();
    const gateway = await startGateway(port);
    await gateway.printed(/waiting for a back-end/);
    const backend = (delay: number) =>
      start(python, join(fixtures, "paint_backend.py"), String(port), descriptors, String(delay));
    const first = backend(0.2);
    const target = await gateway.target();
    await gateway.printed(/^ {6}paint\.v1\.PaintService\/Paint$/);

    const key = await adminKey();
    const client = start(python, join(fixtures, "paint_client.py"), target, descriptors, "20", key);
    await first.printed(/^stroke 3$/);
    await client.printed(/stroke/);
    first.child.kill("SIGKILL");
    await gateway.printed(/an endpoint is not healthy/);
    const second = backend(0.01);
    expect(await ended(client.child), client.lines.join("\n")).toBe(0);

    const messages = client.lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(messages.slice(0, -1).every((message) => Object.keys(message).join() === "stroke")).toBe(true);
    expect(messages.at(-1)).toMatchObject({
      painting: {
        motif: "sea",
        strokes: 20,
        metadata: {
          "retake-attempt": "2",
          "retake-run-id": expect.stringMatching(/\S/),
          "retake-attempt-token": expect.stringMatching(/\.2$/),
          "idempotency-key": expect.stringMatching(/^[0-9a-f]{64}$/),
          "retake-quality": "FULL",
          "retake-owner": "default/admin",
          traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        },
      },
    });
    const { metadata } = (messages.at(-1) as { painting: { metadata: Record<string, string> } }).painting;
    expect(metadata).not.toHaveProperty("authorization");
    expect(JSON.stringify(messages)).not.toContain(key);
    expect(Number(metadata["deadline"])).toBeGreaterThan(30);
    expect(Number(metadata["deadline"])).toBeLessThanOrEqual(60);
    expect(first.lines.filter((line) => line.startsWith("paint"))).toEqual(["paint 1"]);
    expect(second.lines.filter((line) => line.startsWith("paint"))).toEqual(["paint 2"]);

    const toldAt = performance.now();
    gateway.child.kill("SIGTERM");
    expect(await ended(gateway.child), gateway.lines.join("\n")).toBe(0);
    // Nothing that was asked of the back-end keeps the process.
    expect(performance.now() - toldAt).toBeLessThan(5000);
  }, 120_000);

  it("reads its contract anew on SIGHUP", async (context) => {
    const python = await requirePythonWithGrpc(context, ["grpc_reflection", "grpc_health"]);
    const port = await freePort();
    const backend = () => start(python, join(fixtures, "paint_backend.py"), String(port), descriptors, "0.01");
    const first = backend();
    await first.printed(/^ready$/);
    const gateway = await startGateway(port);
    const target = await gateway.target();

    const source = await readFile(join(fixtures, "paint.proto"), "utf8");
    const grown = await compileProtos({
      "paint/v1/paint.proto": source.replace(
        "int32 strokes = 2;\n}\n\nmessage PaintResponse",
        "int32 strokes = 2;\n  string brush = 3;\n}\n\nmessage PaintResponse",
      ),
    });
    await writeFile(descriptors, descriptorSet(...grown.files));
    first.child.kill("SIGKILL");
    await ended(first.child);
    const second = backend();
    await second.printed(/^ready$/);
    gateway.child.kill("SIGHUP");
    await gateway.printed(/"contractChanged":\[.*PaintService\/Paint.*the contracts have been read anew/);
    const client = start(python, join(fixtures, "paint_client.py"), target, descriptors, "2", await adminKey());
    expect(await ended(client.child), client.lines.join("\n")).toBe(0);
    expect(client.lines.at(-1)).toContain('"painting"');
  }, 120_000);

  it("asks one that offers retake.v1.BackendService about silent jobs, and has it recover", async (context) => {
    const python = await requirePythonWithGrpc(context, ["grpc_reflection"]);
    const port = await freePort();
    const contract = await compileProtos({
      "paint/v1/paint.proto": await readFile(join(fixtures, "paint.proto"), "utf8"),
    });
    await writeFile(descriptors, descriptorSet(...contract.files, file_retake_v1_backend_service));
    const backend = start(python, join(fixtures, "jobs_backend.py"), String(port), descriptors);
    await backend.printed(/^ready$/);
    const recovery = "[RELOAD_MODEL, FREE_MEMORY]".replace(/\w+/g, "{ action: RECOVERY_ACTION_$& }");
    const retry = "{ initial_backoff: 0.1s, retryable_status_codes: [RESOURCE_EXHAUSTED] }";
    const gateway = await startGateway(
      port,
      `{ progress_timeout: 0.5s, retry: ${retry}, recovery: { rules: ${recovery} } }`,
    );
    const target = await gateway.target();
    using retake = connectRetake({ target, apiKey: await adminKey() });
    const run = await retake.runs.startRun({
      workflow: "paint.v1.PaintService/Title",
      input: { case: "json", value: '{"motif":"sea"}' },
    });
    const events: RunEvent["event"][] = [];
    for await (const { update } of retake.runs.watchRun({ runId: run.run?.runId ?? "" })) {
      if (update.case === "event") events.push(update.value.event);
    }
    expect(events.map(({ case: kind }) => kind)).toEqual([
      "accepted",
      "attemptStarted",
      "attemptFailed",
      "retryScheduled",
      "woken",
      "recoveryActed",
      "attemptStarted",
      "succeeded",
    ]);
    const [, recovered, ...probes] = backend.lines;
    expect(recovered).toBe("RECOVERY_ACTION_FREE_MEMORY after attempt 1: CUDA out of memory");
    expect(probes.length).toBeGreaterThanOrEqual(2);
    expect(new Set(probes)).toEqual(new Set(["probe of attempt 2"]));
  }, 120_000);
});
