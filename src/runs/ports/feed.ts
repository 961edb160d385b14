import type { RunProgress } from "../../../gen/retake/v1/run_service_pb.js";

/**
 * Tells those who watch a run that something has happened. A hint may be lost or come twice: a watcher's truth is always
 * the journal.
 */
export interface Feed {
  publish(runId: string, hint: FeedHint): void;

  /** Calls back for each hint about a run, until the returned function is called. A listener never throws. */
  subscribe(runId: string, listener: (hint: FeedHint) => void): () => void;

  /** How many listen to a run; what nobody listens to need not be published. */
  listeners(runId: string): number;
}

export type FeedHint =
  /** The journal now holds durable events up to this one. */
  | { readonly kind: "events"; readonly lastSequence: number }
  /** The newest progress. */
  | { readonly kind: "progress"; readonly progress: RunProgress }
  /** An update that is not journaled: the serialised response message. */
  | { readonly kind: "update"; readonly attempt: number; readonly message: Uint8Array };
