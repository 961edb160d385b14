import { existsSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { type AuditVerification, AuditVerificationSchema } from "../../../gen/retake/v1/audit_pb.js";
import { lineDigest } from "./audit-chain.ts";
import { auditFileNames, firstOf } from "./audit-files.ts";
import { type AuditHead, headName, openHead } from "./audit-head.ts";
import { type AuditLine, base64, readAuditLine } from "./audit-line.ts";
import { type AuditNote, isSignedNote } from "./audit-note.ts";

export interface VerifyAuditOptions {
  /** What signs checkpoints. Without it, only the chain is looked at. */
  readonly key?: Uint8Array;
  /** A record that was noted elsewhere, and what the digest of its line was: it must still be so. */
  readonly known?: { readonly sequence: number; readonly sha256: Uint8Array };
  /** Whether there must be a log. */
  readonly expected?: boolean;
  /** Where it ended when its journal noted that last; read before the log is. */
  readonly note?: AuditNote;
  readonly signal?: AbortSignal;
}

/**
 * Looks at every record of a log, or of a file of records: whether each is where it was written, as it was written. Tells the
 * first bad place.
 *
 * @param path the folder of a log, or a file
 * @throws an error of the file system
 */
export function verifyAudit(path: string, options: VerifyAuditOptions = {}): AuditVerification {
  if (options.expected === true && !existsSync(path)) return new Chain(path, options).bad(path, 0, 0, goneText);
  return statSync(path).isDirectory() ? verifyFolder(path, options) : verifyFile(path, options);
}

const goneText = "is gone: the journal says that there is an audit log";

function verifyFolder(directory: string, options: VerifyAuditOptions): AuditVerification {
  const names = auditFileNames(directory);
  const headPath = join(directory, headName);
  const chain = new Chain(directory, options);
  let head: AuditHead | undefined;
  if (existsSync(headPath)) {
    try {
      const text = readFileSync(headPath, "utf8");
      head = options.key === undefined ? (JSON.parse(text) as AuditHead) : openHead(text, options.key);
    } catch (error) {
      return chain.bad(headPath, 0, 0, `is no checkpoint: ${(error as Error).message}`);
    }
    if (head === undefined) {
      return chain.bad(headPath, 0, 0, "was changed, or signed with another key than the one given");
    }
    chain.result.checkpointVerified = options.key !== undefined;
  } else if (names.length > 0) {
    return chain.bad(
      headPath,
      0,
      0,
      "is missing: the signed checkpoint, without which nobody knows where the log ends",
    );
  } else if (options.expected === true) {
    return chain.bad(headPath, 0, 0, goneText);
  } else {
    return chain.sound();
  }
  // What took the place of a damaged log is not what is noted.
  const note = options.note !== undefined && head.instead?.note !== hex(options.note.mac) ? options.note : undefined;
  if (note !== undefined) {
    if (options.key !== undefined && !isSignedNote(note, options.key)) {
      return chain.bad(
        directory,
        0,
        0,
        "has no end that can be told: the journal's note of it was changed, or signed with another key",
      );
    }
    chain.result.notedSequence = BigInt(note.sequence);
  }
  const retired = head.retired?.last ?? 0;
  chain.begin(retired + 1, Buffer.from(head.retired?.sha256 ?? "", "hex"));
  chain.result.retiredThrough = BigInt(retired);
  const sealed = new Map(head.sealed.map((each) => [each.last, each]));
  for (const name of names) {
    // Left by a server that ended while it deleted them.
    if (firstOf(name) <= retired) continue;
    const file = join(directory, name);
    if (firstOf(name) > chain.next) {
      return chain.bad(file, 0, chain.next, missingText(chain.next, firstOf(name) - 1));
    }
    const isLast = name === names.at(-1);
    const problem = chain.read(
      file,
      (sequence, sha256) => {
        if (sequence === head.sequence && hex(sha256) !== head.sha256) {
          return "was changed: the signed checkpoint has another digest of it";
        }
        if (sequence === note?.sequence && hex(sha256) !== hex(note.sha256)) {
          return "or one before it was changed: the journal has noted another digest of it";
        }
        const seal = sealed.get(sequence);
        return seal !== undefined && seal.sha256 !== hex(sha256)
          ? `or one before it, from ${seal.first} on, was changed, and what follows was fitted to it: the signed checkpoint has another digest`
          : undefined;
      },
      isLast,
    );
    if (problem !== undefined) return problem;
  }
  if (chain.next <= head.sequence) {
    const last = names.at(-1);
    return chain.bad(join(directory, last ?? ""), 0, chain.next, missingText(chain.next, head.sequence));
  }
  if (note !== undefined && chain.next <= note.sequence) {
    const text = `${missingText(chain.next, note.sequence)}, which the journal has a note of: the end was cut off together with its checkpoint`;
    return chain.bad(join(directory, names.at(-1) ?? ""), 0, chain.next, text);
  }
  chain.result.unsignedRecords = BigInt(chain.next - 1 - head.sequence);
  return chain.sound();
}

function verifyFile(file: string, options: VerifyAuditOptions): AuditVerification {
  const chain = new Chain(file, options);
  return chain.read(file, () => undefined, false) ?? chain.sound();
}

type Check = (sequence: number, sha256: Uint8Array) => string | undefined;

class Chain {
  readonly result: AuditVerification;
  readonly #options: VerifyAuditOptions;
  /** The record that comes next; 0 where any may. */
  next = 0;
  #previous: Uint8Array | undefined;
  /** The line before. */
  #last: { readonly file: string; readonly line: number; readonly sequence: number } | undefined;

  constructor(path: string, options: VerifyAuditOptions) {
    this.#options = options;
    this.result = create(AuditVerificationSchema, { path });
  }

  begin(sequence: number, previous: Uint8Array): void {
    this.next = sequence;
    this.#previous = previous;
  }

  /** @param torn whether the last line may be half a one, as a crash leaves it */
  read(file: string, check: Check, torn: boolean): AuditVerification | undefined {
    this.#options.signal?.throwIfAborted();
    const lines = readFileSync(file, "utf8").split("\n");
    const rest = lines.pop() ?? "";
    if (rest !== "" && !torn) lines.push(rest);
    for (const [index, line] of lines.entries()) {
      const problem = this.#line(file, index + 1, line, check, lines[index + 1]);
      if (problem !== undefined) return problem;
    }
    return undefined;
  }

  #line(file: string, number: number, line: string, check: Check, next?: string): AuditVerification | undefined {
    let record: AuditLine;
    try {
      record = readAuditLine(line);
    } catch {
      return this.bad(file, number, this.next, "is no record: it was changed");
    }
    const sequence = Number(record.sequence);
    if (!Number.isSafeInteger(sequence) || sequence < 1) {
      return this.bad(file, number, this.next, "has no number: it was changed");
    }
    if (this.next === 0) {
      this.next = sequence;
      this.#previous = sequence === 1 ? new Uint8Array() : undefined;
    }
    if (sequence > this.next) {
      return this.bad(file, number, this.next, `${missingText(this.next, sequence - 1)}: removed, or moved elsewhere`);
    }
    if (sequence < this.next) {
      return this.bad(
        file,
        number,
        this.next,
        `is record ${sequence} where ${this.next} belongs: inserted, or moved here`,
      );
    }
    if (this.#previous !== undefined && (record.previousSha256 ?? "") !== base64(this.#previous)) {
      // Which of the two was changed? The one behind them tells.
      const changed = next !== undefined && previousOf(next) !== base64(lineDigest(line));
      const last = changed ? undefined : this.#last;
      const text = "was changed: it does not have the digest that the next one holds";
      return last === undefined
        ? this.bad(file, number, sequence, "was changed: it does not hold the digest of the one before it")
        : this.bad(last.file, last.line, last.sequence, text);
    }
    const sha256 = lineDigest(line);
    const { known } = this.#options;
    const problem =
      check(sequence, sha256) ??
      (known?.sequence === sequence && Buffer.compare(known.sha256, sha256) !== 0
        ? "or one before it was changed: its digest was another one when it was noted"
        : undefined);
    if (problem !== undefined) return this.bad(file, number, sequence, problem);
    const { result } = this;
    if (result.records === 0n) result.firstSequence = BigInt(sequence);
    result.records++;
    result.lastSequence = BigInt(sequence);
    result.lastSha256 = sha256;
    this.#last = { file, line: number, sequence };
    this.#previous = sha256;
    this.next++;
    return undefined;
  }

  bad(file: string, line: number, sequence: number, what: string): AuditVerification {
    const { result } = this;
    result.sound = false;
    const place = line > 0 ? `line ${line} of ${basename(file)}` : basename(file);
    const record = line > 0 && sequence > 0 ? ` (record ${sequence})` : "";
    const message = what.startsWith("record") ? `${place}: ${what}` : `${place}${record} ${what}`;
    result.problem = {
      ...{ $typeName: "retake.v1.AuditProblem", file, message },
      ...{ line: BigInt(line), sequence: BigInt(sequence) },
    };
    return result;
  }

  sound(): AuditVerification {
    const { known } = this.#options;
    const { result } = this;
    if (
      known !== undefined &&
      (result.lastSequence < BigInt(known.sequence) || result.firstSequence > BigInt(known.sequence))
    ) {
      return this.bad(
        result.path,
        0,
        known.sequence,
        `record ${known.sequence}, which was noted elsewhere, is not there`,
      );
    }
    result.sound = true;
    return result;
  }
}

function previousOf(line: string): string | undefined {
  try {
    return readAuditLine(line).previousSha256;
  } catch {
    return undefined;
  }
}

function missingText(first: number, last: number): string {
  return first === last ? `record ${first} is missing` : `records ${first} to ${last} are missing`;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
}
