import type { ArtifactIndex } from "./artifact-index.ts";

/** What the thread of the index is asked to do. */
export type IndexMethod = Exclude<keyof ArtifactIndex, "exec" | "close">;

export interface IndexRequest {
  readonly number: number;
  readonly method: IndexMethod;
  readonly args: readonly unknown[];
}

export interface IndexReply {
  readonly number: number;
  readonly result?: unknown;
  readonly failure?: IndexFailure;
}

/** An error's own class and fields do not pass between threads. */
export interface IndexFailure {
  readonly message: string;
  /** SQLite's extended result code, if it is an error of SQLite. */
  readonly errcode?: number;
}
