import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import type { ResolvedNotifierSecret } from "../../config/index.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** A secret that is a text. Its file is read each time, so that it changes without a restart. */
export class NotifierSecret {
  readonly #source: ResolvedNotifierSecret;
  readonly #env: Environment;

  /** @throws Error saying what is wrong, without a word of the secret */
  constructor(source: ResolvedNotifierSecret, env: Environment) {
    this.#source = source;
    this.#env = env;
    this.#checked(source.kind === "file" ? readFileSync(source.path, "utf8") : env[source.name]);
  }

  /** @throws Error saying what is wrong, without a word of the secret */
  async get(): Promise<string> {
    const source = this.#source;
    return this.#checked(source.kind === "file" ? await readFile(source.path, "utf8") : this.#env[source.name]);
  }

  #checked(text: string | undefined): string {
    const source = this.#source;
    const where = source.kind === "file" ? source.path : `the environment variable ${source.name}`;
    const secret = text?.trim() ?? "";
    if (secret === "") throw new Error(`${where} ${text === undefined ? "is not set" : "has no secret in it"}`);
    // It becomes part of a header or a URL.
    if (/\p{Cc}/u.test(secret)) throw new Error(`${where} has more than one line, and must be the secret alone`);
    return secret;
  }
}
