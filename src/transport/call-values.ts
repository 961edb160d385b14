import type { ContextKey, ContextValues } from "@connectrpc/connect";

/** Where a call's first context values come from. */
export interface InitialValues {
  /** The value that the call starts with under a key's id, undefined for none. Asked whenever it is read. */
  initialValue(id: symbol): unknown;
}

/** Context values of which the first are worked out when asked for, because most calls never ask. */
export class CallValues implements ContextValues {
  readonly #initial: InitialValues;
  /** The one that was set first, which is the only one nearly always: a map costs more than all else here. */
  #firstId: symbol | undefined;
  #firstValue: unknown;
  #others: Map<symbol, unknown> | undefined;

  constructor(initial: InitialValues) {
    this.#initial = initial;
  }

  get<T>(key: ContextKey<T>): T {
    if (key.id === this.#firstId) {
      return this.#firstValue as T;
    }
    if (this.#others?.has(key.id)) {
      return this.#others.get(key.id) as T;
    }
    const initial = this.#initial.initialValue(key.id);
    return initial === undefined ? key.defaultValue : (initial as T);
  }

  set<T>(key: ContextKey<T>, value: T): this {
    this.#firstId ??= key.id;
    if (key.id === this.#firstId) {
      this.#firstValue = value;
    } else {
      this.#others ??= new Map();
      this.#others.set(key.id, value);
    }
    return this;
  }

  delete(key: ContextKey<unknown>): this {
    return this.set(key, key.defaultValue);
  }
}
