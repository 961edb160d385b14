import type { SourceCodeInfo, SourceCodeInfo_Location } from "@bufbuild/protobuf/wkt";

/** Where an element stands in the source that the descriptor was compiled from: line and column, from 0. */
export type Position = readonly [line: number, column: number];

/** Answers questions about the source, by the element's path in the file descriptor. */
export interface SourceIndex {
  /** Undefined when the descriptor carries no source info for this element. */
  position(path: readonly number[]): Position | undefined;
  /** The statement or block (`extend`, `reserved`, `extensions`) that an element was written in, as an opaque key. */
  statement(path: readonly number[]): SourceCodeInfo_Location | undefined;
  comments(path: readonly number[]): Comments;
}

/** Comments as ready lines, each with its `//`. */
export interface Comments {
  /** Detached blocks, each ended by an empty line, then the leading comment. */
  readonly before: readonly string[];
  readonly trailing: readonly string[];
}

/** Indexes the source info of a descriptor. Without any, there are neither positions nor comments. */
export function createSourceIndex(info: SourceCodeInfo | undefined): SourceIndex {
  const byPath = new Map<string, SourceCodeInfo_Location[]>();
  for (const location of info?.location ?? []) {
    const key = location.path.join();
    const known = byPath.get(key);
    if (known === undefined) byPath.set(key, [location]);
    else known.push(location);
  }
  const first = (path: readonly number[]) => byPath.get(path.join())?.[0];
  return {
    position: (path) => start(first(path)),
    statement(path) {
      const inside = start(first(path));
      if (inside === undefined) return undefined;
      return byPath.get(path.slice(0, -1).join())?.find((location) => contains(location, inside));
    },
    comments: (path) => commentsOf(first(path)),
  };
}

/** The comments of one location. */
export function commentsOf(location: SourceCodeInfo_Location | undefined): Comments {
  if (location === undefined) return { before: [], trailing: [] };
  const before = location.leadingDetachedComments.flatMap((block) => [...commentLines(block), ""]);
  return {
    before: [...before, ...commentLines(location.leadingComments)],
    trailing: commentLines(location.trailingComments),
  };
}

/** Sorts before (negative), after (positive) or at the same place (0). */
export function comparePositions(a: Position, b: Position): number {
  return a[0] - b[0] || a[1] - b[1];
}

function commentLines(text: string): string[] {
  if (text === "") return [];
  return text
    .replace(/\n$/, "")
    .split("\n")
    .map((line) => `//${line}`.trimEnd());
}

function start(location: SourceCodeInfo_Location | undefined): Position | undefined {
  const [line, column] = location?.span ?? [];
  return line === undefined || column === undefined ? undefined : [line, column];
}

/** A span is [line, column, endColumn] on one line, else [line, column, endLine, endColumn]. */
function contains(location: SourceCodeInfo_Location, inside: Position): boolean {
  const from = start(location);
  const [line, , third, fourth] = location.span;
  if (from === undefined || line === undefined || third === undefined) return false;
  const end: Position = fourth === undefined ? [line, third] : [third, fourth];
  return comparePositions(from, inside) <= 0 && comparePositions(inside, end) < 0;
}
