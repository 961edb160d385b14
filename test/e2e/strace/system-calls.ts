/** One system call, as strace saw it. */
export interface SystemCall {
  readonly thread: number;
  readonly name: string;
  /** What the first argument, a file descriptor, stands for: a path, or "TCP:[…->…]". Empty where it is none. */
  readonly file: string;
  /** All bytes that were passed, in order: those of every buffer of a `writev`. */
  readonly data: Buffer;
  /** The numbers after the buffers: length and offset of a `pwrite64`. */
  readonly numbers: readonly number[];
  /** Undefined when the process ended in it. */
  readonly result: number | undefined;
  /**
   * When strace saw it begin and end, as line numbers. A thread stands still while strace looks at it, so what a thread
   * does because a call has returned comes after that call's end, and what began later in fact never comes before.
   */
  readonly began: number;
  readonly ended: number;
}

/**
 * Reads what `strace -f -yy -s LARGE -o FILE` has written, ordered by when calls began. Calls that were interrupted by
 * others are put together again; lines about signals and exits are left out.
 *
 * @throws Error for a line that it does not understand, and for data that strace has cut off
 */
export function parseSystemCalls(trace: string): SystemCall[] {
  const calls: SystemCall[] = [];
  const unfinished = new Map<number, { readonly text: string; readonly began: number }>();
  for (const [index, line] of trace.split("\n").entries()) {
    if (line === "") {
      continue;
    }
    const { thread, text } = splitLine(line);
    if (text.startsWith("+++") || text.startsWith("---")) {
      continue;
    }
    const cut = / <unfinished \.\.\.>$/.exec(text);
    if (cut !== null) {
      unfinished.set(thread, { text: text.slice(0, cut.index), began: index });
      continue;
    }
    const resumed = /^<\.\.\. \w+ resumed>/.exec(text);
    if (resumed === null) {
      calls.push(parseCall(thread, text, index, index));
      continue;
    }
    const begin = unfinished.get(thread);
    if (begin === undefined) {
      throw new Error(`line ${index + 1} resumes a call that has not begun: ${line}`);
    }
    unfinished.delete(thread);
    calls.push(parseCall(thread, begin.text + text.slice(resumed[0].length), begin.began, index));
  }
  for (const [thread, { text, began }] of unfinished) {
    calls.push(parseCall(thread, text, began, Number.POSITIVE_INFINITY));
  }
  return calls.toSorted((one, other) => one.began - other.began);
}

function splitLine(line: string): { thread: number; text: string } {
  const match = /^(\d+) +/.exec(line);
  if (match === null) {
    throw new Error(`strace wrote a line without a thread: ${line.slice(0, 200)}`);
  }
  return { thread: Number(match[1]), text: line.slice(match[0].length) };
}

function parseCall(thread: number, text: string, began: number, ended: number): SystemCall {
  const head = /^(\w+)\((?:\d+(?:<((?:->|[^<>])*)>)?)?/.exec(text);
  if (head === null) {
    throw new Error(`strace wrote something that is no system call: ${text.slice(0, 200)}`);
  }
  const { data, rest } = takeStrings(text.slice(head[0].length));
  const result = /\) += (-?\d+)[^=]*$/.exec(rest);
  const args = result === null ? rest : rest.slice(0, result.index);
  return {
    thread,
    name: head[1] ?? "",
    file: head[2] ?? "",
    data,
    numbers: Array.from(args.matchAll(/, (\d+)(?=,|$)/g), ([, number]) => Number(number)),
    result: result === null ? undefined : Number(result[1]),
    began,
    ended,
  };
}

/** Takes the quoted strings out of a text: their bytes, and what is left. */
function takeStrings(text: string): { data: Buffer; rest: string } {
  const bytes: number[] = [];
  let rest = "";
  for (let at = 0; at < text.length; ) {
    if (text[at] !== '"') {
      rest += text[at++];
      continue;
    }
    for (at++; text[at] !== '"'; ) {
      if (at >= text.length) {
        throw new Error(`strace wrote a string without an end: ${text.slice(0, 200)}`);
      }
      if (text[at] !== "\\") {
        bytes.push(text.charCodeAt(at++));
        continue;
      }
      const octal = /^[0-7]{1,3}/.exec(text.slice(at + 1, at + 4));
      if (octal === null) {
        bytes.push(escapes[text[at + 1] ?? ""] ?? unknownEscape(text.slice(at, at + 2)));
        at += 2;
      } else {
        bytes.push(Number.parseInt(octal[0], 8));
        at += 1 + octal[0].length;
      }
    }
    at++;
    if (text.startsWith("...", at)) {
      throw new Error("strace has cut off a string: trace with a larger -s");
    }
  }
  return { data: Buffer.from(bytes), rest };
}

const escapes: Readonly<Record<string, number>> = { n: 10, t: 9, r: 13, v: 11, f: 12, '"': 34, "\\": 92 };

function unknownEscape(text: string): never {
  throw new Error(`strace wrote an escape that is not known: ${text}`);
}
