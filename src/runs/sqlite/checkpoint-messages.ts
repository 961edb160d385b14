/** What the checkpoint thread is asked to do. */
export type CheckpointCommand =
  /** Move what is in the log into the database, beside the writer. */
  | "copy"
  /** The same for all of it, and let the log start over. Nobody may write meanwhile. */
  | "startOver"
  /** Prove that the storage holds: make the log durable, move all of it, empty it, and write to it. Nobody may write. */
  | "prove"
  /** Close the connection. */
  | "close";

export interface CheckpointRequest {
  readonly number: number;
  readonly command: CheckpointCommand;
}

export interface CheckpointReply {
  readonly number: number;
  /** Whether something else kept it from coming to an end. */
  readonly busy: boolean;
  readonly failure?: CheckpointFailure;
}

/** An error's own class and fields do not pass between threads. */
export interface CheckpointFailure {
  readonly message: string;
  /** SQLite's extended result code, if it is an error of SQLite. */
  readonly errcode?: number;
  /** The log has lost what was committed to it. */
  readonly lost: boolean;
}
