import { readFileSync } from "node:fs";
import type { createLocalJWKSet, errors } from "jose";
import type { Clock } from "../../clock.ts";
import { FileChanges } from "../../file-changes.ts";
import type { Logger } from "../../runs/index.ts";
import type { FindKey, Keys } from "./keys.ts";

export interface FileKeysOptions {
  readonly file: string;
  readonly jose: { readonly createLocalJWKSet: typeof createLocalJWKSet; readonly errors: typeof errors };
  readonly clock: Clock;
  readonly log: Logger;
}

/** The keys in a file, read again when it changes. One that cannot be used then changes nothing. */
export class FileKeys implements Keys {
  onChange: () => void = () => undefined;
  readonly #options: FileKeysOptions;
  readonly #changes: FileChanges;
  #text: string;
  #finder: FindKey;

  /** @throws Error when the file cannot be read, or is no set of keys */
  constructor(options: FileKeysOptions) {
    this.#options = options;
    [this.#text, this.#finder] = this.#read();
    this.#changes = new FileChanges({ files: [options.file], clock: options.clock, onChange: () => this.#readAgain() });
  }

  readonly find: FindKey = async (header, token) => {
    try {
      return await this.#finder(header, token);
    } catch (error) {
      if (!(error instanceof this.#options.jose.errors.JWKSNoMatchingKey)) throw error;
      this.check();
      return await this.#finder(header, token);
    }
  };

  check(): void {
    this.#changes.check();
  }

  close(): void {
    this.#changes.close();
  }

  #readAgain(): void {
    const { file, log } = this.#options;
    try {
      const [text, finder] = this.#read();
      if (text === this.#text) return;
      [this.#text, this.#finder] = [text, finder];
      log.info({ file }, "a file with keys of tokens has changed: tokens are verified by it from now on");
      this.onChange();
    } catch (error) {
      log.error({ err: error, file }, "a file with keys of tokens cannot be used: those from before go on");
    }
  }

  #read(): [string, FindKey] {
    const { file, jose } = this.#options;
    let text: string;
    try {
      text = readFileSync(file, "utf8");
    } catch (error) {
      const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
      throw new Error(`${file} cannot be read: ${missing ? "there is no such file" : (error as Error).message}`);
    }
    try {
      return [text, jose.createLocalJWKSet(JSON.parse(text))];
    } catch {
      throw new Error(`${file} holds no JSON Web Key Set, {"keys": [...]}`);
    }
  }
}
