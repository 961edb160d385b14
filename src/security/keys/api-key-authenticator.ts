import type { Clock } from "../../clock.ts";
import type { Authenticator, Credentials } from "../authenticator.ts";
import { mistypedKey, notAccepted } from "../credentials-error.ts";
import type { Principal } from "../principal.ts";
import type { ApiKeyRecord } from "./api-key.ts";
import type { ApiKeys } from "./api-keys.ts";
import { parseKey } from "./key-format.ts";

/** Knows callers by API keys. */
export class ApiKeyAuthenticator implements Authenticator {
  readonly #keys: ApiKeys;
  readonly #clock: Clock;
  /**
   * Keys that were right, by their whole text: one entry a key, and nothing that was wrong, so that callers cannot fill
   * memory. Whether one still is right says its record.
   */
  readonly #verified = new Map<string, ApiKeyRecord>();

  constructor(options: { readonly keys: ApiKeys; readonly clock: Clock }) {
    this.#keys = options.keys;
    this.#clock = options.clock;
  }

  authenticate({ apiKey, bearer }: Credentials): Principal | undefined {
    const text = apiKey ?? bearer;
    if (text === undefined) return undefined;
    const nowMs = this.#clock.now();
    const verified = this.#verified.get(text);
    if (verified !== undefined) {
      if (nowMs < verified.usableUntilMs) {
        this.#keys.used(verified, nowMs);
        return verified.principal;
      }
      this.#verified.delete(text);
    }
    const parsed = parseKey(text);
    switch (parsed.kind) {
      case "other":
        return undefined;
      case "mistyped":
        throw mistypedKey();
      case "key": {
        const record = this.#keys.verify(parsed.id, text);
        if (record === undefined) throw notAccepted(parsed.id);
        this.#verified.set(text, record);
        this.#keys.used(record, nowMs);
        return record.principal;
      }
    }
  }
}
