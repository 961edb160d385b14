import { closeSync, existsSync, openSync, readFileSync, writeSync } from "node:fs";

/** Where a workflow was executed: an attempt, or a step of one. Written before anything else is done there. */
export interface Mark {
  readonly runId: string;
  /** The attempt's number and token. */
  readonly attempt: number;
  readonly token: string;
  /** The step; absent for the attempt itself. */
  readonly step?: string;
}

/** The file in which a server process leaves its marks: outside of its data directory, and of its journal's mercy. */
export interface MarkFile extends Disposable {
  leave(mark: Mark): void;
}

/** Every mark is one `write` in append mode, so a process that is killed leaves whole lines. */
export function openMarkFile(path: string): MarkFile {
  const file = openSync(path, "a");
  return {
    leave: (mark) => {
      writeSync(file, `${JSON.stringify(mark)}\n`);
    },
    [Symbol.dispose]: () => closeSync(file),
  };
}

/** The marks of all processes up to now, in the order in which they were left. */
export function readMarks(path: string): Mark[] {
  if (!existsSync(path)) {
    return [];
  }
  return readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Mark);
}
