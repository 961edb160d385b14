import type { RunState } from "../../../gen/retake/v1/run_pb.js";

/**
 * Named streams of records, of which a run is one kind (`run/<id>`). All truth about runs is here.
 *
 * 1. `append` orders at once: what is appended later comes later, also across streams.
 * 2. Its promise resolves when the records are durable, in the order of the calls. Nothing is acknowledged,
 *    published or read by anybody before that.
 * 3. One append is atomic, over all the streams that it names.
 * 4. A stream's records count 1, 2, 3, …; an append whose expectation is off fails alone, and changes nothing.
 * 5. While the storage fails, promises stay open, those of reads too if what they have read is not known to be
 *    durable; they resolve once it holds again. A promise of an `impatient` append is rejected instead where its records
 *    are known not to be stored, together with later appends to its streams and the payloads of a run that it creates.
 */
export interface Journal {
  /**
   * @throws JournalConflictError when a stream is not where the writer thinks (rule 4)
   * @throws JournalUnavailableError after `close`, and for impatient appends (rule 5)
   */
  append(appends: readonly StreamAppend[], options?: AppendOptions): Promise<void>;

  /**
   * The same for a writer that appends all the time: tells it, at the moment at which the promise would be settled. A
   * promise for each append, and those that follow from it, cost more than the append.
   *
   * @param settled must not throw
   */
  order(appends: readonly StreamAppend[], settled: Settled, options?: AppendOptions): void;

  /** The durable records after a sequence number, oldest first; none for an unknown stream. */
  read(stream: string, afterSequence: number, limit: number): Promise<readonly JournalRecord[]>;

  /** Streams whose name begins with the prefix, in order of name (by code points), after a name. */
  listStreams(prefix: string, afterName: string, limit: number): Promise<readonly string[]>;

  /** Runs that match, newest first. */
  listRuns(filter: RunFilter, page: RunPage): Promise<readonly RunIndexRow[]>;

  /** The newest run with that key, if any. */
  findRunByKey(owner: RunOwner, workflow: string, key: string): Promise<RunIndexRow | undefined>;

  /** The ids of runs that retention may delete at that time or could before, the longest over first. */
  listRetired(beforeMs: number, limit: number): Promise<readonly string[]>;

  /** How many ended runs without a parent there are, by workflow and state. */
  countEnded(): Promise<readonly EndedCount[]>;

  /** Ended runs without a parent, after a position, those that were accepted first. */
  listEnded(filter: EndedFilter, afterPosition: number, limit: number): Promise<readonly EndedRun[]>;

  /**
   * Removes streams with everything that is indexed of them, in small portions. Resolves when that is durable; a crash
   * before may leave some. Nobody appends to them any more, and payloads are deleted first: a run that is gone no longer
   * leads to them.
   */
  deleteStreams(streams: readonly string[]): Promise<void>;

  /** Resolves when everything that was appended before this call is durable. */
  flush(): Promise<void>;

  /** Whether the storage holds at the moment, and why not. */
  readonly status: JournalStatus;

  /** Calls back at each change of `status`, until the returned function is called. */
  onStatus(listener: (status: JournalStatus) => void): () => void;

  /** Finishes what can be finished, rejects the rest, and gives the storage free. */
  close(): Promise<void>;
}

export type JournalStatus =
  | { readonly kind: "available" }
  | {
      readonly kind: "failing";
      readonly cause: Error;
      /** Waiting will not mend it: the storage is damaged, or has lost what was not acknowledged yet. */
      readonly needsRestart?: true;
    };

/** Told that an append is durable, or why it is not. */
export type Settled = (failure: Error | undefined) => void;

export interface AppendOptions {
  /** Rather be rejected than wait for a storage that fails. Default: wait. */
  readonly impatient?: boolean;
}

export interface StreamAppend {
  readonly stream: string;
  /** The number of the stream's newest record; 0 for a stream that does not exist. */
  readonly expectedSequence: number;
  /** None where all that is asked is that the stream stands there: what else the append names comes behind it, or not at all. */
  readonly records: readonly Uint8Array[];
  /** For runs, with their first record: how they are found. */
  readonly create?: RunIndexEntry;
  /** For runs: where they stand after this append. */
  readonly state?: RunState;
  /** For ended runs without a parent: when retention may delete them, in ms since the epoch. */
  readonly retireAtMs?: number;
}

export interface JournalRecord {
  readonly sequence: number;
  readonly data: Uint8Array;
}

export interface RunOwner {
  readonly tenant: string;
  readonly subject: string;
}

export interface RunIndexEntry {
  readonly runId: string;
  readonly workflow: string;
  readonly owner: RunOwner;
  readonly key?: string;
  readonly parentRunId?: string;
  readonly createTimeMs: number;
}

export interface RunIndexRow {
  readonly runId: string;
  readonly workflow: string;
  readonly state: RunState;
  readonly lastSequence: number;
  /** Where it stands in the order of acceptance: the cursor of a page. */
  readonly position: number;
}

/** Filters joined by "and"; one that is left out matches everything, and so does an empty list of states. */
export interface RunFilter {
  readonly workflow?: string;
  readonly states?: readonly RunState[];
  readonly owner?: RunOwner;
  /** Only of owners in this tenant. */
  readonly tenant?: string;
  readonly parentRunId?: string;
  readonly createdSinceMs?: number;
  readonly createdBeforeMs?: number;
}

export interface RunPage {
  /** Only rows before this position. Default: from the newest on. */
  readonly beforePosition?: number;
  readonly limit: number;
}

export interface EndedCount {
  readonly workflow: string;
  readonly state: RunState;
  readonly count: number;
}

export interface EndedFilter {
  readonly state: RunState;
  /** Default: any. */
  readonly workflow?: string;
  /** Leaves out runs with a key that were accepted later: their keys may still be needed. */
  readonly keyedBeforeMs: number;
}

export interface EndedRun extends RunIndexRow {
  readonly keyed: boolean;
}

/** The stream of a run. */
export function runStream(runId: string): string {
  return `run/${runId}`;
}

/** A stream is not where its writer thinks: another owner has written, or the writer is wrong. */
export class JournalConflictError extends Error {
  override readonly name = "JournalConflictError";
  readonly stream: string;
  readonly expectedSequence: number;

  constructor(stream: string, expectedSequence: number) {
    super(`stream ${stream} is not at record ${expectedSequence}: another writer owns it`);
    this.stream = stream;
    this.expectedSequence = expectedSequence;
  }
}

/** The storage does not take anything at the moment. */
export class JournalUnavailableError extends Error {
  override readonly name = "JournalUnavailableError";
}

/** What whoever comes to a journal that is closed is told. */
export function journalClosed(): JournalUnavailableError {
  return new JournalUnavailableError("the journal is closed: the server is stopping");
}

/** The storage cannot be opened: locked, unreadable, damaged, or written by a newer version. Its message says what to do. */
export class JournalOpenError extends Error {
  override readonly name = "JournalOpenError";
  readonly reason: "locked" | "unreadable" | "damaged" | "newer";

  constructor(reason: "locked" | "unreadable" | "damaged" | "newer", message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}
