import {
  appendFileSync,
  closeSync,
  existsSync,
  fdatasyncSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { syncDirectoryNow } from "../../sync-directory.ts";
import type { TextRedactor } from "../redaction/index.ts";
import { type ChainEnd, chainLines, chainStart, lineDigest } from "./audit-chain.ts";
import { type AuditHead, headName, openHead, type SealedFile, signHead } from "./audit-head.ts";
import { type AuditLine, base64, readAuditLine } from "./audit-line.ts";
import { type AuditNote, isSignedNote, signNote } from "./audit-note.ts";
import type { OtlpAuditWriter } from "./audit-otlp.ts";
import { type AuditPage, type AuditQuery, type AuditSlice, lineMatcher, searchLines } from "./audit-query.ts";
import { type AuditTally, damagedAction, emptyTally, tallyLine } from "./audit-tally.ts";

export interface AuditFilesOptions {
  readonly directory: string;
  /** Signs checkpoints and notes. */
  readonly key: Uint8Array;
  /** Whether there has been a log before: then it must still be there. */
  readonly expected: boolean;
  /** Where the log ended when that was noted last: it must still go as far. */
  readonly note?: AuditNote;
  readonly redactor: Pick<TextRedactor, "text" | "address">;
  readonly maxAgeMs: number;
  readonly maxBytes: number;
  readonly fileBytes: number;
  /** Where each record goes as well; empty for nowhere. */
  readonly copy: string;
}

/** Records that are written together may be out of order by their times, by no more than they may wait. */
const unordered = 60_000;

/** Every file begins anew after this long, so that what is old can be deleted. */
const longestFileMs = 86_400_000;

interface State {
  readonly end: ChainEnd;
  readonly sealed: readonly SealedFile[];
  readonly retired: AuditHead["retired"];
  readonly instead: AuditHead["instead"];
  readonly file: OpenFile | undefined;
}

interface OpenFile {
  readonly first: number;
  readonly bytes: number;
  /** When its first record was made. */
  readonly sinceMs: number;
  /** When its last record was made. */
  readonly lastMs: number;
}

/**
 * An audit log in files: JSON lines, each with the digest of the one before, and a signed checkpoint of where they end.
 *
 * 1. The checkpoint is written after the lines that it covers, so a crash leaves lines behind it, never a gap before it. That
 *    of an empty log is written before the first line, so that lines without any were not left by a crash.
 * 2. What could not be written as a whole, with its checkpoint, is taken back as a whole.
 * 3. A file is deleted after the checkpoint says so.
 * 4. What is noted elsewhere of its end was durable before: a crash never leaves less.
 * 5. The checkpoint of a log that takes the place of a damaged one says so until that is on record in it, and which note is not
 *    about it.
 *
 * Works synchronously, on a thread that has nothing else to do.
 */
export class AuditFiles {
  readonly #options: AuditFilesOptions;
  #end: ChainEnd = chainStart;
  #sealed: readonly SealedFile[] = [];
  #retired: AuditHead["retired"];
  #instead: AuditHead["instead"];
  #file: OpenFile | undefined;
  #handle: number | undefined;
  /** When the last record of a sealed file was made. */
  readonly #lastMs = new Map<number, number>();
  #copyFailure: string | undefined;

  /** @throws an error of the file system */
  constructor(options: AuditFilesOptions) {
    this.#options = options;
    this.#open();
  }

  /** Why what was there has been set aside, if it was and that is not on record: it was not what its checkpoint or a note says. */
  get damage(): string | undefined {
    return this.#instead?.untold;
  }

  /** The first record of the file that is written at the moment; 0 where there is none. */
  get openFile(): number {
    return this.#file?.first ?? 0;
  }

  /** Why the copy lacks what was recorded last. */
  get copyFailure(): string | undefined {
    return this.#copyFailure;
  }

  /** Makes records of events, durable when this returns; their lines. Nothing is there of them when it throws. */
  append(batch: string, nowMs: number, otlp?: OtlpAuditWriter): readonly string[] {
    const { lines, end, lastMs } = chainLines(batch, this.#end, this.#options.redactor, otlp);
    const [firstLine] = lines;
    if (firstLine === undefined) return lines;
    const text = Buffer.from(`${lines.join("\n")}\n`);
    const before: State = {
      ...{ end: this.#end, sealed: this.#sealed, retired: this.#retired, instead: this.#instead, file: this.#file },
    };
    let file: OpenFile | undefined;
    try {
      file = this.#fileFor(text.length, this.#end.sequence + 1, nowMs);
      const handle = this.#handleOf(file);
      writeAll(handle, text, file.bytes);
      fdatasyncSync(handle);
      this.#file = { ...file, bytes: file.bytes + text.length, lastMs: Math.max(file.lastMs, lastMs) };
      this.#end = end;
      if (this.damage !== undefined && batch.includes(`"${damagedAction}"`)) this.#instead = withoutText(this.#instead);
      const gone = this.#retire(nowMs);
      this.#writeHead();
      this.#delete(gone);
    } catch (error) {
      this.#takeBack(before, file);
      throw error;
    }
    this.#copy(text);
    return lines;
  }

  /** Looks through one file. */
  search(query: AuditQuery, page: AuditPage): AuditSlice {
    const files = this.#files();
    const file = page.oldestFirst
      ? files.find(({ last }) => last >= (page.from ?? 0))
      : files.findLast(({ first }) => first <= (page.from ?? Number.POSITIVE_INFINITY));
    if (file === undefined) return { lines: [] };
    if (
      !page.oldestFirst &&
      file.last < this.#end.sequence &&
      this.#lastMsOf(file) < (query.sinceMs ?? 0) - unordered
    ) {
      return { lines: [] };
    }
    const { oldestFirst, limit } = page;
    const start = oldestFirst ? file.first : file.last;
    const from = page.from === undefined || page.from < file.first || page.from > file.last ? start : page.from;
    const { found, next } = searchLines(
      this.#linesOf(file.first),
      file.first,
      { oldestFirst, limit, from },
      lineMatcher(query),
    );
    const isEnd = oldestFirst ? next > this.#end.sequence : next < (files[0]?.first ?? 1);
    return { lines: found, ...(isEnd ? {} : { next }) };
  }

  /** Counts what is in one file, the one that record `from` is in, or the oldest. */
  tally(sinceMs: number, untilMs: number, from?: number): { readonly tally: AuditTally; readonly next?: number } {
    const tally = emptyTally();
    const file = this.#files().find(({ last }) => last >= (from ?? 0));
    if (file === undefined) return { tally };
    const sealed = this.#sealed.some(({ first }) => first === file.first);
    if (!sealed || this.#lastMsOf(file) >= sinceMs - unordered) {
      for (const line of this.#linesOf(file.first)) tallyLine(tally, line, sinceMs, untilMs);
    }
    return { tally, ...(file.last < this.#end.sequence ? { next: file.last + 1 } : {}) };
  }

  /** Where the log ends, for whoever notes it elsewhere. */
  note(): AuditNote {
    // The files and the checkpoint are durable, their names may not be (rule 4).
    syncDirectoryNow(this.#options.directory);
    return signNote(this.#end, this.#options.key);
  }

  close(): void {
    if (this.#handle !== undefined) closeSync(this.#handle);
    this.#handle = undefined;
  }

  #open(): void {
    const { directory } = this.#options;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    try {
      this.#read();
    } catch (error) {
      if (!(error instanceof DamagedAuditError)) throw error;
      const { note } = this.#options;
      this.#instead = { note: note === undefined ? "" : hex(note.mac), untold: `${error.message}${this.#setAside()}` };
      this.#end = chainStart;
      this.#sealed = [];
      this.#retired = undefined;
      this.#file = undefined;
      this.#writeHead();
    }
  }

  /** Keeps what is there as evidence: the service goes on, and its new log begins with what was found. */
  #setAside(): string {
    const { directory } = this.#options;
    if (readdirSync(directory).length === 0) return "";
    let aside = `${directory}.damaged`;
    for (let number = 2; existsSync(aside); number++) aside = `${directory}.damaged-${number}`;
    renameSync(directory, aside);
    mkdirSync(directory, { mode: 0o700 });
    return `; it was set aside as ${aside}`;
  }

  #read(): void {
    const { directory, key, expected } = this.#options;
    const names = auditFileNames(directory);
    const headPath = join(directory, headName);
    if (!existsSync(headPath)) {
      if (names.length > 0) throw new DamagedAuditError(`the audit log in ${directory} has lost its checkpoint`);
      if (expected) throw new DamagedAuditError(`the audit log that was in ${directory} is gone`);
      this.#writeHead();
      return;
    }
    let head: AuditHead | undefined;
    try {
      head = openHead(readFileSync(headPath, "utf8"), key);
    } catch (error) {
      throw new DamagedAuditError(`${headPath} cannot be read: ${(error as Error).message}`);
    }
    if (head === undefined) {
      throw new DamagedAuditError(`${headPath} was changed, or signed with another key`);
    }
    this.#end = { sequence: head.sequence, sha256: Buffer.from(head.sha256, "hex") };
    this.#sealed = head.sealed;
    this.#retired = head.retired;
    this.#instead = head.instead;
    for (const { first, last } of head.sealed) {
      if (!names.includes(fileName(first))) {
        throw new DamagedAuditError(`records ${first} to ${last} of the audit log are missing`);
      }
    }
    for (const name of names) {
      const first = firstOf(name);
      if (first <= (this.#retired?.last ?? 0)) unlinkSync(join(directory, name));
    }
    const sealedTo = this.#sealed.at(-1)?.last ?? this.#retired?.last ?? 0;
    const open = names.filter((name) => firstOf(name) > sealedTo);
    const noted = this.#takeUp(open, sealedTo);
    if (this.#options.note !== undefined) this.#compare(this.#options.note, noted);
  }

  /**
   * @param found the digest of the noted record, where that is in the file that is gone on with
   * @throws DamagedAuditError
   */
  #compare(note: AuditNote, found: Uint8Array | undefined): void {
    if (this.#instead?.note === hex(note.mac)) return;
    if (!isSignedNote(note, this.#options.key)) {
      throw new DamagedAuditError(
        "the journal's note of where the audit log ends was changed, or signed with another key",
      );
    }
    const { sequence } = note;
    if (sequence > this.#end.sequence) {
      const missing = this.#end.sequence + 1;
      throw new DamagedAuditError(
        `records ${missing} to ${sequence} of the audit log, which the journal has a note of, are missing: ` +
          "its end was cut off together with its checkpoint, or an older copy put in its place",
      );
    }
    // Retention has deleted it.
    if (sequence <= (this.#retired?.last ?? 0)) return;
    if (hex(found ?? this.#digestOf(sequence)) !== hex(note.sha256)) {
      throw new DamagedAuditError(`record ${sequence} of the audit log is not the one that the journal has a note of`);
    }
  }

  /** Of a record in a file that is not written any more; empty where it is not there. */
  #digestOf(sequence: number): Uint8Array {
    const file = this.#sealed.find(({ last }) => last >= sequence);
    if (file === undefined) return new Uint8Array();
    if (file.last === sequence) return Buffer.from(file.sha256, "hex");
    const line = this.#linesOf(file.first)[sequence - file.first];
    return line === undefined ? new Uint8Array() : lineDigest(line);
  }

  /** Goes on where a process has ended: behind the last whole line. The digest of the noted record, if it is in that file. */
  #takeUp(names: readonly string[], sealedTo: number): Uint8Array | undefined {
    const [name] = names;
    if (name === undefined) {
      if (this.#end.sequence > sealedTo) {
        throw new DamagedAuditError(`records ${sealedTo + 1} to ${this.#end.sequence} of the audit log are missing`);
      }
      return undefined;
    }
    const path = join(this.#options.directory, name);
    const bytes = readFileSync(path);
    const whole = bytes.lastIndexOf(10) + 1;
    const lines = bytes.subarray(0, whole).toString().split("\n").slice(0, -1);
    const signed = this.#end;
    let sequence = sealedTo;
    let sha256: Uint8Array = Buffer.from(this.#sealed.at(-1)?.sha256 ?? this.#retired?.sha256 ?? "", "hex");
    let sinceMs = 0;
    let lastMs = 0;
    let noted: Uint8Array | undefined;
    for (const line of lines) {
      const record = recordOf(line);
      if (record === undefined || record.sequence !== String(sequence + 1)) {
        throw new DamagedAuditError(`${path} is not as it was written: record ${sequence + 1} is not where it was`);
      }
      if ((record.previousSha256 ?? "") !== base64(sha256)) {
        throw new DamagedAuditError(
          `${path} is not as it was written: record ${sequence + 1} or the one before was changed`,
        );
      }
      sequence++;
      if (sequence === sealedTo + 1) sinceMs = Date.parse(record.time);
      lastMs = Math.max(lastMs, Date.parse(record.time));
      sha256 = lineDigest(line);
      if (sequence === this.#options.note?.sequence) noted = sha256;
      if (sequence === signed.sequence && Buffer.compare(sha256, signed.sha256) !== 0) {
        throw new DamagedAuditError(`${path} is not as it was written: record ${sequence} was changed`);
      }
    }
    if (sequence < signed.sequence) {
      throw new DamagedAuditError(`records ${sequence + 1} to ${signed.sequence} of the audit log are missing`);
    }
    if (sequence > sealedTo) this.#end = { sequence, sha256 };
    this.#file = { first: sealedTo + 1, bytes: whole, sinceMs, lastMs };
    for (const next of names.slice(1)) {
      // Begun, and never acknowledged: where the checkpoint knows of it, it would be sealed.
      const leftover = join(this.#options.directory, next);
      renameSync(leftover, `${leftover}.leftover`);
    }
    return noted;
  }

  /** The file for so many bytes more: the open one while there is room in it. */
  #fileFor(bytes: number, sequence: number, nowMs: number): OpenFile {
    const file = this.#file;
    if (file !== undefined && file.bytes > 0) {
      const full = file.bytes + bytes > this.#options.fileBytes;
      const old = nowMs - file.sinceMs >= Math.min(longestFileMs, this.#options.maxAgeMs / 4);
      if (!full && !old) return file;
      this.#seal(file);
    } else if (file !== undefined) {
      return { ...file, sinceMs: nowMs };
    }
    return { first: sequence, bytes: 0, sinceMs: nowMs, lastMs: 0 };
  }

  #seal({ first, lastMs }: OpenFile): void {
    const { sequence, sha256 } = this.#end;
    this.#sealed = [...this.#sealed, { first, last: sequence, sha256: hex(sha256) }];
    this.#lastMs.set(first, lastMs);
    this.close();
    this.#file = undefined;
  }

  #handleOf(file: OpenFile): number {
    if (this.#handle === undefined) {
      const path = join(this.#options.directory, fileName(file.first));
      const isNew = !existsSync(path);
      this.#handle = openSync(path, isNew ? "wx" : "r+", 0o600);
      // Whatever an append that failed, or a crash, has left behind.
      ftruncateSync(this.#handle, file.bytes);
      if (isNew) syncDirectoryNow(this.#options.directory);
    }
    return this.#handle;
  }

  /** Takes files out of the log that are too old, or too much. */
  #retire(nowMs: number): readonly SealedFile[] {
    const { maxAgeMs, maxBytes } = this.#options;
    const gone: SealedFile[] = [];
    let bytes = this.#sealed.length * this.#options.fileBytes > maxBytes / 2 ? this.#bytes() : 0;
    for (const file of this.#sealed) {
      if (this.#lastMsOf(file) >= nowMs - maxAgeMs && bytes <= maxBytes) break;
      bytes -= sizeOf(join(this.#options.directory, fileName(file.first)));
      gone.push(file);
    }
    const last = gone.at(-1);
    if (last !== undefined) {
      this.#sealed = this.#sealed.slice(gone.length);
      this.#retired = { last: last.last, sha256: last.sha256 };
    }
    return gone;
  }

  #bytes(): number {
    return this.#files().reduce((sum, { first }) => sum + sizeOf(join(this.#options.directory, fileName(first))), 0);
  }

  #delete(files: readonly SealedFile[]): void {
    for (const { first } of files) {
      this.#lastMs.delete(first);
      try {
        unlinkSync(join(this.#options.directory, fileName(first)));
      } catch {
        // The next start does it.
      }
    }
  }

  #writeHead(): void {
    const { directory, key } = this.#options;
    const { sequence, sha256 } = this.#end;
    const text = signHead(
      {
        sequence,
        sha256: hex(sha256),
        sealed: this.#sealed,
        ...(this.#retired === undefined ? {} : { retired: this.#retired }),
        ...(this.#instead === undefined ? {} : { instead: this.#instead }),
      },
      key,
    );
    const unfinished = join(directory, `${headName}.new`);
    const file = openSync(unfinished, "w", 0o600);
    try {
      writeSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(unfinished, join(directory, headName));
  }

  #takeBack(before: State, tried: OpenFile | undefined): void {
    try {
      this.close();
    } catch {
      this.#handle = undefined;
    }
    this.#end = before.end;
    this.#sealed = before.sealed;
    this.#retired = before.retired;
    this.#instead = before.instead;
    this.#file = before.file;
    try {
      if (before.file !== undefined) this.#handleOf(before.file);
      if (tried !== undefined && tried.first !== before.file?.first) {
        unlinkSync(join(this.#options.directory, fileName(tried.first)));
      }
    } catch {
      // It is cut off when it can be opened again, before anything is written to it.
    }
  }

  /** A copy that fails is no reason to stop: the log itself has it. */
  #copy(text: Buffer): void {
    if (this.#options.copy === "") return;
    try {
      appendFileSync(this.#options.copy, text, { mode: 0o600 });
      this.#copyFailure = undefined;
    } catch (error) {
      this.#copyFailure = (error as Error).message;
    }
  }

  #files(): readonly { readonly first: number; readonly last: number }[] {
    return this.#file === undefined || this.#end.sequence < this.#file.first
      ? this.#sealed
      : [...this.#sealed, { first: this.#file.first, last: this.#end.sequence }];
  }

  #linesOf(first: number): readonly string[] {
    const text = readFileSync(join(this.#options.directory, fileName(first)), "utf8");
    return text.split("\n").slice(0, -1);
  }

  #lastMsOf({ first }: { readonly first: number }): number {
    let lastMs = this.#lastMs.get(first);
    if (lastMs === undefined) {
      try {
        lastMs = Date.parse(recordOf(this.#linesOf(first).at(-1) ?? "")?.time ?? "") || 0;
      } catch {
        // What is gone can be left out.
        lastMs = 0;
      }
      this.#lastMs.set(first, lastMs);
    }
    return lastMs;
  }
}

/** A log is not what its checkpoint says. */
export class DamagedAuditError extends Error {
  override readonly name = "DamagedAuditError";
}

/** The files of a log, in their order. */
export function auditFileNames(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => /^\d{16}\.jsonl$/.test(name))
    .sort();
}

export function fileName(first: number): string {
  return `${String(first).padStart(16, "0")}.jsonl`;
}

export function firstOf(name: string): number {
  return Number(name.slice(0, 16));
}

function recordOf(line: string): AuditLine | undefined {
  try {
    return readAuditLine(line);
  } catch {
    return undefined;
  }
}

function withoutText(instead: AuditHead["instead"]): AuditHead["instead"] {
  return instead && { note: instead.note };
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
}

function sizeOf(path: string): number {
  try {
    return statSync(path).size;
  } catch {
    return 0;
  }
}

function writeAll(handle: number, bytes: Uint8Array, position: number): void {
  for (let at = 0; at < bytes.length; ) {
    at += writeSync(handle, bytes, at, bytes.length - at, position + at);
  }
}
