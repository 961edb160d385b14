import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "./server-process.ts";

/** One series of an answer to an instant query. */
export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [time: number, value: string];
}

/** A real Prometheus that scrapes one target each second. */
export interface Prometheus extends AsyncDisposable {
  /** What its HTTP API answers. */
  get<T>(path: string, query?: Readonly<Record<string, string>>): Promise<T>;
  /** The value of an instant query that has one; undefined for none. */
  value(query: string): Promise<number | undefined>;
  samples(query: string): Promise<readonly Sample[]>;
  /** What it has said at the levels of warnings and errors. */
  readonly complaints: readonly string[];
}

/**
 * Starts it, with storage for exemplars.
 *
 * @param program where it is
 * @param rules the text of a rule file
 */
export async function startPrometheus(program: string, target: string, rules: string): Promise<Prometheus> {
  const root = await mkdtemp(join(tmpdir(), "retake-prometheus-"));
  await writeFile(join(root, "retake.rules.yml"), rules);
  await writeFile(
    join(root, "prometheus.yml"),
    JSON.stringify({
      global: { scrape_interval: "1s", evaluation_interval: "1s" },
      rule_files: ["retake.rules.yml"],
      scrape_configs: [{ job_name: "retake", static_configs: [{ targets: [target] }] }],
    }),
  );
  const port = await freePort();
  const child = spawn(
    program,
    [
      `--config.file=${join(root, "prometheus.yml")}`,
      `--storage.tsdb.path=${join(root, "data")}`,
      `--web.listen-address=127.0.0.1:${port}`,
      "--enable-feature=exemplar-storage",
    ],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  const said: string[] = [];
  child.stderr.on("data", (chunk: Buffer) => said.push(...chunk.toString().split("\n")));
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const url = `http://127.0.0.1:${port}`;
  const stop = async (): Promise<void> => {
    child.kill();
    await ended;
    await rm(root, { recursive: true, force: true });
  };
  for (;;) {
    if ((await fetch(`${url}/-/ready`).catch(() => undefined))?.ok === true) break;
    if (child.exitCode !== null) {
      await stop();
      throw new Error(`Prometheus has ended:\n${said.join("\n")}`);
    }
    await sleep(50);
  }
  const get: Prometheus["get"] = async <T>(path: string, query: Readonly<Record<string, string>> = {}): Promise<T> => {
    const response = await fetch(`${url}/api/v1/${path}?${new URLSearchParams(query).toString()}`);
    const answer = (await response.json()) as { status: string; error?: string; data: T };
    if (answer.status !== "success") throw new Error(`Prometheus refuses ${path}: ${answer.error}`);
    return answer.data;
  };
  const samples: Prometheus["samples"] = async (query) =>
    (await get<{ result: readonly Sample[] }>("query", { query })).result;
  return {
    get,
    samples,
    value: async (query) => {
      const [first] = await samples(query);
      return first === undefined ? undefined : Number(first.value[1]);
    },
    get complaints() {
      return said.filter((line) => /level=(?:warn|error)/.test(line));
    },
    [Symbol.asyncDispose]: stop,
  };
}
