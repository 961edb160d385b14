import type { ContextKey, ContextValues } from "@connectrpc/connect";

/** Where a call's first context values come from. */
export interface InitialValues {
  /** The value that the call starts with under a key's id, undefined for none. Asked whenever it is read. */
  initialValue(id: symbol): unknown;
}

/** Context values of which the first are worked out when asked for, because most calls never ask. */
export class CallValues implements ContextValues {
  readonly #initial: InitialValues;
  #set: Map<symbol, unknown> | undefined;

  constructor(initial: InitialValues) {
    this.#initial = initial;
  }

  get<T>(key: ContextKey<T>): T {
    if (this.#set?.has(key.id)) {
      return this.#set.get(key.id) as T;
    }
    const initial = this.#initial.initialValue(key.id);
    return initial === undefined ? key.defaultValue : (initial as T);
  }

  set<T>(key: ContextKey<T>, value: T): this {
    this.#set ??= new Map();
    this.#set.set(key.id, value);
    return this;
  }

  delete(key: ContextKey<unknown>): this {
    return this.set(key, key.defaultValue);
  }
}
