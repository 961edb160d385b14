import { Code } from "@connectrpc/connect";
import type { CryptoKey, createLocalJWKSet, errors } from "jose";
import type { Clock, Timer } from "../../clock.ts";
import type { ResolvedJwt } from "../../config/index.ts";
import { createError, type Logger } from "../../runs/index.ts";
import { sleep } from "../../sleep.ts";
import { fetchText } from "./fetch-text.ts";
import type { FindKey, Keys } from "./keys.ts";

export interface RemoteKeysOptions {
  readonly jwt: Pick<ResolvedJwt, "issuer" | "cacheTimeMs" | "fetchIntervalMs" | "fetchTimeoutMs">;
  /** Where the keys are. Absent: the issuer tells. */
  readonly url?: string;
  readonly jose: { readonly createLocalJWKSet: typeof createLocalJWKSet; readonly errors: typeof errors };
  readonly clock: Clock;
  readonly log: Logger;
  /** Default: over the network. */
  readonly fetch?: typeof fetchText;
}

/** How long after a failure keys are fetched anew that nobody has asked for. */
const longestRetryMs = 30_000;

/**
 * The keys at a URL. They are fetched when the server starts, anew when they have been kept for their time, and when a token
 * names one that is not among them: then all who wait share one fetch, and between two fetches there is a pause. As long as
 * they cannot be fetched, those from before are the issuer's keys.
 */
export class RemoteKeys implements Keys {
  onChange: () => void = () => undefined;
  readonly #options: RemoteKeysOptions;
  readonly #stopped = new AbortController();
  /** Where discovery has found the keys. */
  #discovered: string | undefined;
  #text: string | undefined;
  #finder: FindKey | undefined;
  #failing = false;
  #startedMs = Number.NEGATIVE_INFINITY;
  /** The fetch that is under way, and the next one, which has not begun. Both tell whether it worked. */
  #running: Promise<boolean> | undefined;
  #next: Promise<boolean> | undefined;
  #refresh: Timer | undefined;

  constructor(options: RemoteKeysOptions) {
    this.#options = options;
    void this.#fetchNext();
  }

  readonly find: FindKey = async (header, token) => {
    const known = await this.#among(header, token);
    if (known !== undefined) return known;
    // What is under way may have been answered before the key was made.
    if (this.#running !== undefined && (await this.#running)) {
      const arrived = await this.#among(header, token);
      if (arrived !== undefined) return arrived;
    }
    const fetched = await this.#fetchNext();
    const found = await this.#among(header, token);
    if (found !== undefined) return found;
    if (fetched) throw new this.#options.jose.errors.JWKSNoMatchingKey();
    throw createError(
      Code.Unavailable,
      "ISSUER_UNAVAILABLE",
      "the keys of this token's issuer cannot be fetched at the moment, and it is signed with one that the server does not know: call again",
      { retryDelayMs: this.#options.jwt.fetchIntervalMs },
    );
  };

  check(): void {
    // A look costs a fetch: the time of the cache says when.
  }

  close(): void {
    this.#stopped.abort();
    this.#refresh?.cancel();
  }

  /** Several keys may fit a token that names none: that is for the caller to sort out. */
  async #among(...token: Parameters<FindKey>): Promise<CryptoKey | undefined> {
    try {
      return await this.#finder?.(...token);
    } catch (error) {
      if (error instanceof this.#options.jose.errors.JWKSNoMatchingKey) return undefined;
      throw error;
    }
  }

  /** The fetch that begins next, as soon as it may. */
  #fetchNext(): Promise<boolean> {
    this.#next ??= this.#whenAllowed().then(() => {
      this.#next = undefined;
      this.#running = this.#fetch().finally(() => {
        this.#running = undefined;
      });
      return this.#running;
    });
    return this.#next;
  }

  async #whenAllowed(): Promise<void> {
    await this.#running;
    const { clock, jwt } = this.#options;
    const waitMs = this.#startedMs + jwt.fetchIntervalMs - clock.monotonic();
    // Cut short when the server stops: then nothing is fetched.
    if (waitMs > 0) await sleep(clock, waitMs, this.#stopped.signal).catch(() => undefined);
  }

  async #fetch(): Promise<boolean> {
    const { jwt, clock, log } = this.#options;
    if (this.#stopped.signal.aborted) return false;
    this.#startedMs = clock.monotonic();
    let retryMs = jwt.cacheTimeMs;
    try {
      this.#take(await this.#get(this.#options.url ?? (await this.#discover())));
      if (this.#failing) log.info({ issuer: jwt.issuer }, "the keys of an issuer of tokens can be fetched again");
      this.#failing = false;
      return true;
    } catch (error) {
      // Next time the issuer is asked again.
      this.#discovered = undefined;
      retryMs = Math.min(retryMs, longestRetryMs);
      if (!this.#failing && !this.#stopped.signal.aborted) {
        const consequence =
          this.#finder === undefined ? "its tokens are refused until they can" : "those from before go on";
        log.warn(
          { err: error, issuer: jwt.issuer },
          `the keys of an issuer of tokens cannot be fetched: ${consequence}`,
        );
      }
      this.#failing = true;
      return false;
    } finally {
      this.#refreshIn(retryMs);
    }
  }

  #refreshIn(delayMs: number): void {
    this.#refresh?.cancel();
    if (this.#stopped.signal.aborted) return;
    this.#refresh = this.#options.clock.setTimeout(() => void this.#fetchNext(), delayMs);
  }

  /** @throws Error when it is no set of keys */
  #take(text: string): void {
    if (text === this.#text) return;
    this.#finder = this.#options.jose.createLocalJWKSet(JSON.parse(text));
    this.#text = text;
    this.onChange();
  }

  #get(url: string): Promise<string> {
    const { jwt, clock, fetch = fetchText } = this.#options;
    return fetch(url, jwt.fetchTimeoutMs, clock, this.#stopped.signal);
  }

  /** OpenID Connect Discovery 1.0, section 4. */
  async #discover(): Promise<string> {
    if (this.#discovered !== undefined) return this.#discovered;
    const { issuer } = this.#options.jwt;
    const url = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
    const document = JSON.parse(await this.#get(url)) as { issuer?: unknown; jwks_uri?: unknown } | null;
    if (document?.issuer !== issuer)
      throw new Error(`${url} is of another issuer: ${JSON.stringify(document?.issuer)}`);
    const { jwks_uri: found } = document;
    const keys = typeof found === "string" ? URL.parse(found) : null;
    // Plain http only from an issuer that the configuration has allowed it, which is this machine.
    const sound = keys?.protocol === "https:" || (keys?.protocol === "http:" && keys.origin === new URL(issuer).origin);
    if (keys === null || !sound) throw new Error(`${url} has no https URL in jwks_uri: ${JSON.stringify(found)}`);
    this.#discovered = keys.href;
    return keys.href;
  }
}
