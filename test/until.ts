import { vi } from "vitest";

/** What comes sooner or later does so within the time of a test, on a busy machine too: by itself vitest waits for a second. */
const patience = { timeout: 10_000 };

type Options = { readonly timeout?: number; readonly interval?: number };

/** Resolves with what a condition comes to, once it holds. */
export function until<T>(condition: () => T | Promise<T>, options?: Options): Promise<Awaited<NonNullable<T>>> {
  return vi.waitUntil(condition, { ...patience, ...options }) as Promise<Awaited<NonNullable<T>>>;
}

/** Resolves with what something comes to, once it throws no more. */
export function untilNoError<T>(attempt: () => T | Promise<T>, options?: Options): Promise<T> {
  return vi.waitFor(attempt, { ...patience, ...options });
}
