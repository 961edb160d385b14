import { inspect } from "node:util";

/** Where headers come from once they are wanted. */
export interface HeaderSource {
  fillHeader(headers: Headers): void;
  /** One header, by its name in lower case, without filling all of them. */
  peekHeader(name: string): string | null;
}

/** A name in lower case, and a value of printable ASCII. */
export type PlainHeader = readonly [name: string, value: string];

interface DeferredHeader {
  readonly name: string;
  readonly make: () => string;
}

/** Names that need no normalising, and values that a Headers would keep as they are. */
const plainName = /^[0-9a-z_.-]+$/;
const plainValue = /^[!-~](?:[ -~]*[!-~])?$/;

/**
 * Headers that exist only once somebody looks at them, and that know whether anybody has changed them. A call has three,
 * and hardly ever needs one. This is a Headers to `instanceof`, and everywhere that takes one, without being made as one.
 */
class LazyHeaders {
  #source: HeaderSource | undefined;
  #headers: Headers | undefined;
  /**
   * What was set as long as plain names and values were all there was: a Headers costs as much as the rest of a call. Few
   * are set, so they are looked through. Each takes the place of what the source has.
   */
  #plain: PlainHeader[] | undefined;
  /** What is made once somebody looks at it, by whom. It takes the place of whatever else there is of the name. */
  #deferred: DeferredHeader | undefined;
  #changed = false;

  constructor(source?: HeaderSource) {
    this.#source = source;
  }

  /** Whether anybody has set, appended or deleted a header. */
  get changed(): boolean {
    return this.#changed;
  }

  append(name: string, value: string): void {
    this.#changed = true;
    this.#ready().append(name, value);
  }

  delete(name: string): void {
    this.#changed = true;
    this.#ready().delete(name);
  }

  /** Has one made by somebody once it is looked at. Only one at a time. */
  defer(name: string, make: () => string): void {
    this.#changed = true;
    this.#make();
    this.#deferred = { name, make };
  }

  isDeferred(name: string): boolean {
    return this.#deferred?.name === name;
  }

  set(name: string, value: string): void {
    this.#changed = true;
    if (this.#deferred?.name === name) this.#deferred = undefined;
    if (this.#headers === undefined && plainName.test(name) && typeof value === "string" && plainValue.test(value)) {
      const pair: PlainHeader = [name, value];
      if (this.#plain === undefined) {
        this.#plain = [pair];
      } else {
        const place = this.#plain.findIndex(([taken]) => taken === name);
        this.#plain[place < 0 ? this.#plain.length : place] = pair;
      }
    } else {
      this.#ready().set(name, value);
    }
  }

  get(name: string): string | null {
    if (this.#deferred?.name === name) this.#make();
    if (this.#headers !== undefined || !plainName.test(name)) {
      return this.#ready().get(name);
    }
    const set = this.#plain?.find(([taken]) => taken === name);
    return set === undefined ? (this.#source?.peekHeader(name) ?? null) : set[1];
  }

  has(name: string): boolean {
    return this.get(name) !== null;
  }

  getSetCookie(): string[] {
    return this.#ready().getSetCookie();
  }

  forEach(callback: (value: string, name: string, parent: Headers) => void, thisArg?: unknown): void {
    this.#ready().forEach(callback, thisArg);
  }

  keys(): ReturnType<Headers["keys"]> {
    return this.#ready().keys();
  }

  values(): ReturnType<Headers["values"]> {
    return this.#ready().values();
  }

  entries(): ReturnType<Headers["entries"]> {
    return this.#ready().entries();
  }

  [Symbol.iterator](): ReturnType<Headers["entries"]> {
    return this.#ready().entries();
  }

  [inspect.custom](): unknown {
    return this.#ready();
  }

  /** All of them, as long as they were set one by one to what is legal everywhere; undefined otherwise. */
  get plain(): readonly PlainHeader[] | undefined {
    this.#make();
    return this.#source === undefined ? this.#plain : undefined;
  }

  #make(): void {
    if (this.#deferred === undefined) return;
    const { name, make } = this.#deferred;
    this.#deferred = undefined;
    this.set(name, make());
  }

  #ready(): Headers {
    this.#make();
    if (this.#headers === undefined) {
      this.#headers = new Headers();
      this.#source?.fillHeader(this.#headers);
      for (const [name, value] of this.#plain ?? []) {
        this.#headers.set(name, value);
      }
      this.#plain = undefined;
    }
    return this.#headers;
  }
}

/**
 * Makes it one of the Headers. Not by `extends`, whose constructor would make the very object that is to be spared; and
 * only when there are some, because Node loads what Headers are part of when they are first named.
 */
function join(): void {
  Object.setPrototypeOf(LazyHeaders.prototype, Headers.prototype);
  hasJoined = true;
}

let hasJoined = false;

/** Headers that exist only once somebody looks at them. */
export interface CallHeaders extends Headers {
  /** Whether anybody has set, appended or deleted a header. */
  readonly changed: boolean;
  /** All of them, as long as they were set one by one to what is legal everywhere; undefined otherwise. */
  readonly plain: readonly PlainHeader[] | undefined;
  /** Has one, by its name in lower case, made once somebody looks at it: most are not. One at a time. */
  defer(name: string, make: () => string): void;
  /** Whether nobody has looked at it yet. */
  isDeferred(name: string): boolean;
}

/** Makes headers that are taken from the source, or empty without one, once somebody looks at them. */
export function createCallHeaders(source?: HeaderSource): CallHeaders {
  if (!hasJoined) join();
  return new LazyHeaders(source) as LazyHeaders & CallHeaders;
}

/** Whether these are headers made by createCallHeaders. */
export function isCallHeaders(headers: Headers): headers is CallHeaders {
  return headers instanceof LazyHeaders;
}
