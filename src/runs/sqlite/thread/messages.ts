import type { Failure } from "./failures.ts";

/** What the storage is asked for besides orders: methods of the ports whose answers are waited for one by one. */
export type RequestMethod =
  | "read"
  | "listStreams"
  | "listRuns"
  | "findRunByKey"
  | "listRetired"
  | "countEnded"
  | "listEnded"
  | "deleteStreams"
  | "putLarge"
  | "getPayload"
  | "deletePayloads"
  | "close";

/** To the storage. What is posted earlier is ordered earlier. */
export type StorageRequest =
  /** So many appends and small payloads, as `OrderWriter` has written them. Answered by `settled`. */
  | { readonly kind: "orders"; readonly bytes: Uint8Array; readonly count: number }
  | {
      readonly kind: "request";
      readonly id: number;
      readonly method: RequestMethod;
      readonly args: readonly unknown[];
    };

/** From the storage. */
export type StorageReply =
  /** The first message: the storage is open, or is not and never will be. */
  | { readonly kind: "opened" }
  | { readonly kind: "refused"; readonly failure: Failure }
  /** Of all appends, counted from 0, those before `before` are durable, except those that have failed, now or earlier. */
  | {
      readonly kind: "settled";
      readonly before: number;
      readonly failed?: readonly (readonly [append: number, failure: Failure])[];
    }
  | { readonly kind: "reply"; readonly id: number; readonly value?: unknown; readonly failure?: Failure }
  | { readonly kind: "status"; readonly status: StatusMessage };

export type StatusMessage =
  | { readonly kind: "available" }
  | { readonly kind: "failing"; readonly cause: Failure; readonly needsRestart?: true };

/** One end of a connection between a storage and who uses it: a port of a thread, or a stand-in. */
export interface StorageChannel<Out, In> {
  post(message: Out, transfer?: readonly ArrayBuffer[]): void;
  onMessage(listener: (message: In) => void): void;
}

/** The memory of bytes that may be handed over instead of copied: theirs alone, and all of it. */
export function transferable(bytes: Uint8Array): readonly ArrayBuffer[] {
  const { buffer } = bytes;
  return buffer instanceof ArrayBuffer && bytes.byteLength === buffer.byteLength ? [buffer] : [];
}
