import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import type { Clock } from "../clock.ts";
import { ConfigError, type ConfigProblem, type ResolvedSecretSource } from "../config/index.ts";
import type { Logger } from "../runs/index.ts";
import { parseSecret, type WebhookSecret } from "./secret.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** Files are read again this often, so that secrets change without a restart. */
const freshForMs = 60_000;

/** The secrets of a server. */
export class WebhookSecrets {
  readonly #sources: readonly ResolvedSecretSource[];
  readonly #env: Environment;
  readonly #clock: Clock;
  readonly #log: Logger;
  #current: readonly WebhookSecret[];
  #readAtMs: number;

  /** @throws ConfigError naming each source that cannot be read, or has something else than secrets */
  constructor(
    sources: readonly ResolvedSecretSource[],
    env: Environment,
    clock: Clock,
    log: Logger,
    field = "webhooks.secrets",
  ) {
    this.#sources = sources;
    this.#env = env;
    this.#clock = clock;
    this.#log = log;
    this.#current = readSecrets(sources, env, field);
    this.#readAtMs = clock.monotonic();
  }

  /** All that sign now, those of the first source first. */
  async get(): Promise<readonly WebhookSecret[]> {
    const nowMs = this.#clock.monotonic();
    if (nowMs - this.#readAtMs >= freshForMs && this.#sources.some(({ kind }) => kind === "file")) {
      this.#readAtMs = nowMs;
      try {
        this.#current = (
          await Promise.all(
            this.#sources.map(async (source) =>
              parseSource(
                source,
                source.kind === "file" ? await readFile(source.path, "utf8") : this.#env[source.name],
              ),
            ),
          )
        ).flat();
      } catch (error) {
        this.#log.error({ err: error }, "the secrets of webhooks cannot be read; those that were known sign on");
      }
    }
    return this.#current;
  }
}

/** @throws ConfigError with every problem */
export function readSecrets(
  sources: readonly ResolvedSecretSource[],
  env: Environment,
  field = "webhooks.secrets",
): readonly WebhookSecret[] {
  const problems: ConfigProblem[] = [];
  const secrets = sources.flatMap((source, index) => {
    try {
      return parseSource(source, source.kind === "file" ? readFileSync(source.path, "utf8") : env[source.name]);
    } catch (error) {
      problems.push({ field: `${field}[${index}]`, message: (error as Error).message });
      return [];
    }
  });
  if (problems.length > 0) throw new ConfigError("configuration", problems);
  return secrets;
}

/** @throws Error saying what is wrong, without a word of a secret */
function parseSource(source: ResolvedSecretSource, text: string | undefined): readonly WebhookSecret[] {
  const where = source.kind === "file" ? source.path : `the environment variable ${source.name}`;
  const lines = (text ?? "")
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
  if (lines.length === 0) {
    const what = source.kind === "environment" && text === undefined ? "is not set" : "has no secret in it";
    throw new Error(`${where} ${what}; make one with: retake webhook secret`);
  }
  return lines.map((line) => {
    try {
      return parseSecret(line);
    } catch (error) {
      throw new Error(`${where}: ${(error as Error).message}`, { cause: error });
    }
  });
}
