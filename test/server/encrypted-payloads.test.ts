import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { describe, expect, it, onTestFinished } from "vitest";
import { RunService, RunView } from "../../gen/retake/v1/run_service_pb.js";
import { systemClock } from "../../src/clock.ts";
import { step } from "../../src/index.ts";
import { silentLogger } from "../../src/runs/index.ts";
import { backUp, checkStorage, compact, restore } from "../../src/runs/sqlite/index.ts";
import { createServer } from "../../src/server/index.ts";
import { SecretNoteSchema, SecretsService } from "../gen/retake/test/v1/secrets_pb.js";
import { temporaryDirectory } from "../runs/sqlite/temporary-directory.ts";
import { rejection } from "./harness.ts";

const prompt = "a heron over violet water";
const note = "with seven reeds";
const answer = "the heron is drawn";
const step1 = "the sketch of a heron";
const title = "an open title";

async function serve(dataDirectory: string) {
  const told: unknown[] = [];
  const log = {
    ...silentLogger,
    info: (fields: object) => told.push(fields),
    error: (fields: object) => told.push(fields),
  };
  const server = createServer({ dataDirectory, grpc: { port: 0 }, web: { disabled: true } }, { log });
  const handles: (string | undefined)[] = [];
  server.implement(SecretsService, {
    async *tell(request, context) {
      handles.push(context.previous && new TextDecoder().decode(context.previous.handle));
      yield { update: { case: "progress", value: { message: `drawing ${request.prompt}`, stage: request.title } } };
      await step(context, "sketch", SecretNoteSchema, () => ({ text: step1 }));
      await context.checkpoint(`job for ${request.prompt}`);
      if (request.fail && context.run.attempt === 1) {
        throw new ConnectError(`cannot draw "${request.prompt}" ${request.notes[0]?.text}`, Code.Unavailable);
      }
      yield { update: { case: "answer", value: { text: answer } } };
    },
  });
  await server.listen();
  onTestFinished(() => server.close());
  const { transport } = server;
  return {
    server,
    told,
    handles,
    runs: createClient(RunService, transport),
    secrets: createClient(SecretsService, transport),
  };
}

/** Everything in the files of a data directory but its secrets. */
function contents(directory: string): string {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.parentPath.endsWith("secrets"))
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), "latin1"))
    .join("\n");
}

describe("messages with fields that are marked debug_redact", () => {
  it("leave no trace in the files of the journal, and are whole for callers, over restarts too", async () => {
    const root = temporaryDirectory();
    const directory = join(root, "data");
    const first = await serve(directory);
    const ask = { prompt, title, notes: [{ text: note }], fail: true };
    const call = { headers: { "idempotency-key": "k1" } };
    const told: string[] = [];
    for await (const { update } of first.secrets.tell(ask, call)) {
      if (update.case === "answer") told.push(update.value.text);
    }
    expect(told).toEqual([answer]);
    expect(first.handles).toEqual([undefined, `job for ${prompt}`]);
    await first.server.close();
    const files = contents(directory);
    expect(files).toContain(title);
    for (const secret of [prompt, note, answer, step1, "heron"]) expect(files).not.toContain(secret);
    expect(files).toContain('cannot draw "[redacted]" [redacted]');
    expect(JSON.stringify(first.told, errorTexts)).not.toContain("heron");

    // None of these needs the key.
    const { signal } = new AbortController();
    expect(await checkStorage({ directory, clock: systemClock, signal })).toMatchObject({ problemCount: 0n });
    await compact(directory, systemClock);
    const archive = join(root, "backup");
    await backUp({ directory, file: archive, clock: systemClock, signal });
    const restored = join(root, "restored");
    await restore({ file: archive, directory: restored, clock: systemClock, signal });
    expect(contents(restored)).not.toContain("heron");
    await expect(serve(restored)).rejects.toThrow(/payload\.keys is missing: .* bring it back/);

    const second = await serve(directory);
    const [run] = (await second.runs.listRuns({})).runs;
    const full = await second.runs.getRun({ runId: run?.runId ?? "", view: RunView.FULL });
    expect(Buffer.from(full.run?.input?.value?.value ?? []).toString()).toContain(prompt);
    const again: string[] = [];
    for await (const { update } of second.secrets.tell(ask, call)) {
      if (update.case === "answer") again.push(update.value.text);
    }
    expect(again).toEqual([answer]);
    expect(second.handles).toEqual([]);
    const other = second.secrets.tell({ ...ask, prompt: "another" }, call)[Symbol.asyncIterator]();
    await rejection(other.next() as Promise<unknown>, Code.AlreadyExists);
    await second.server.close();
    rmSync(join(directory, "secrets", "payload.keys"));
    await expect(serve(directory)).rejects.toThrow(/payload\.keys is missing/);
  });
});

function errorTexts(_: string, value: unknown): unknown {
  return value instanceof Error ? `${value.message} ${value.stack}` : value;
}
