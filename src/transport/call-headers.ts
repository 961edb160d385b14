import { inspect } from "node:util";

/** Where headers come from once they are wanted. */
export interface HeaderSource {
  fillHeader(headers: Headers): void;
}

/**
 * Headers that exist only once somebody looks at them, and that know whether anybody has changed them. A call has three,
 * and hardly ever needs one. This is a Headers to `instanceof`, and everywhere that takes one, without being made as one.
 */
class LazyHeaders {
  #source: HeaderSource | undefined;
  #headers: Headers | undefined;
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

  set(name: string, value: string): void {
    this.#changed = true;
    this.#ready().set(name, value);
  }

  get(name: string): string | null {
    return this.#ready().get(name);
  }

  has(name: string): boolean {
    return this.#ready().has(name);
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

  #ready(): Headers {
    if (this.#headers === undefined) {
      this.#headers = new Headers();
      this.#source?.fillHeader(this.#headers);
    }
    return this.#headers;
  }
}

// Not `extends`, whose constructor would make the very object that is to be spared.
Object.setPrototypeOf(LazyHeaders.prototype, Headers.prototype);

/** Headers that exist only once somebody looks at them. */
export interface CallHeaders extends Headers {
  /** Whether anybody has set, appended or deleted a header. */
  readonly changed: boolean;
}

/** Makes headers that are taken from the source, or empty without one, once somebody looks at them. */
export function createCallHeaders(source?: HeaderSource): CallHeaders {
  return new LazyHeaders(source) as LazyHeaders & CallHeaders;
}

/** Whether these are headers made by createCallHeaders. */
export function isCallHeaders(headers: Headers): headers is CallHeaders {
  return headers instanceof LazyHeaders;
}
