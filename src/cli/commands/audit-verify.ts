import { join } from "node:path";
import { toJsonString } from "@bufbuild/protobuf";
import { type AuditVerification, AuditVerificationSchema } from "../../../gen/retake/v1/audit_pb.js";
import { JournalOpenError } from "../../runs/index.ts";
import { readLastStream } from "../../runs/sqlite/index.ts";
import {
  begunStream,
  KeyFileError,
  notePrefix,
  parseNote,
  readExistingKeyFile,
  type VerifyAuditOptions,
  verifyAudit,
} from "../../security/index.ts";
import type { Arguments } from "../arguments.ts";
import { CliError, UsageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { dataDirectory, dataDirectoryFlags } from "../data-directory.ts";
import { plainText } from "../display/plain-text.ts";
import { showCount } from "../display/sizes.ts";
import { ExitCode } from "../exit-code.ts";
import { type CliIo, writeLines } from "../io.ts";

export const auditVerify: Command = {
  description: [
    "Looks at every record of an audit log, that of a data directory or one that was exported, and tells the first place",
    "that is not as it was written: a line that was changed, removed, moved or inserted. In a data directory the signed",
    "checkpoint shows whether the end was cut off too, and the journal's note whether the checkpoint was put back with it, or",
    "the log is gone. The server may be running.",
  ].join(" "),
  local: true,
  positionals: [{ name: "FILE", description: "an exported file; a data directory without", optional: true }],
  flags: {
    ...dataDirectoryFlags,
    key: { value: "FILE", description: "The key that signs checkpoints. Default: secrets/audit.key of the directory" },
    known: {
      value: "N:SHA256",
      description: "Number and digest of a last record, as an earlier check told them: it must still be the same",
    },
  },
  examples: [
    ["retake audit verify -d /var/lib/retake", "See whether the log of a server is as it was written"],
    ["retake audit verify november.jsonl", "See the same of an export"],
  ],
  async run(given, io) {
    const file = given.positional("FILE");
    const options: VerifyAuditOptions = { ...parseKnown(given.value("known")), signal: io.signal };
    const result = file === "" ? verifyOwn(await dataDirectory(given), given, options, io) : verify(file, options);
    if (given.has("json")) writeLines(io.stdout, toJsonString(AuditVerificationSchema, result));
    else show(result, io);
    return result.sound ? ExitCode.ok : ExitCode.damaged;
  },
};

/** The log of a data directory. */
function verifyOwn(directory: string, given: Arguments, options: VerifyAuditOptions, io: CliIo): AuditVerification {
  // Before the log is read: what a server writes meanwhile is behind its note.
  const noted = note(directory, io);
  const path = given.value("key") ?? join(directory, "secrets", "audit.key");
  return verify(join(directory, "audit"), { ...options, ...noted, ...key(path, io) });
}

function note(directory: string, io: CliIo): Pick<VerifyAuditOptions, "expected" | "note"> {
  try {
    const [data] = readLastStream(directory, notePrefix) ?? [];
    if (data !== undefined) return { expected: true, note: parseNote(data) };
    return { expected: readLastStream(directory, begunStream) !== undefined };
  } catch (error) {
    if (!(error instanceof JournalOpenError)) throw error;
    writeLines(io.stderr, `Where the log ends is not compared with the journal's note: ${error.message}`);
    return {};
  }
}

function verify(path: string, options: VerifyAuditOptions): AuditVerification {
  try {
    return verifyAudit(path, options);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === undefined) throw error;
    const what = (error as NodeJS.ErrnoException).code === "ENOENT" ? "is not there" : (error as Error).message;
    throw new CliError(`${path}: ${what}`, ExitCode.usage, { cause: error });
  }
}

function key(path: string, io: CliIo): { readonly key?: Uint8Array } {
  try {
    return { key: readExistingKeyFile(path) };
  } catch (error) {
    if (!(error instanceof KeyFileError)) throw error;
    writeLines(io.stderr, `The signed checkpoint is taken on trust: ${error.message}`);
    return {};
  }
}

function parseKnown(text: string | undefined): Pick<VerifyAuditOptions, "known"> {
  if (text === undefined) return {};
  const [, sequence, sha256] = /^(\d{1,15}):([0-9a-f]{64})$/.exec(text) ?? [];
  if (sequence === undefined || sha256 === undefined) {
    throw new UsageError(
      "--known: N:SHA256 is expected, a record's number and the 64 hexadecimal digits of its digest",
    );
  }
  return { known: { sequence: Number(sequence), sha256: Buffer.from(sha256, "hex") } };
}

function show(result: AuditVerification, io: CliIo): void {
  const { sound, problem, records, firstSequence, lastSequence, lastSha256, retiredThrough, unsignedRecords } = result;
  const { notedSequence } = result;
  if (problem !== undefined) {
    writeLines(io.stdout, `NOT SOUND: ${plainText(problem.message)}`, `  ${plainText(problem.file)}`);
    if (records > 0n)
      writeLines(io.stdout, `${showCount(records, "record")} before that ${records === 1n ? "is" : "are"} as written.`);
    return;
  }
  if (!sound || records === 0n) {
    writeLines(io.stdout, "There are no records.");
    return;
  }
  const digest = Buffer.from(lastSha256).toString("hex");
  writeLines(
    io.stdout,
    `${showCount(records, "record")}, ${firstSequence} to ${lastSequence}: all as they were written.`,
    `Last: ${lastSequence}:${digest}`,
  );
  if (retiredThrough > 0n) writeLines(io.stdout, `Records up to ${retiredThrough} were deleted by retention.`);
  if (notedSequence > 0n) writeLines(io.stdout, `The journal has a note of record ${notedSequence}.`);
  if (unsignedRecords > 0n) {
    writeLines(
      io.stderr,
      `${showCount(unsignedRecords, "record")} at the end ${unsignedRecords === 1n ? "has" : "have"} no signed checkpoint yet: written just now, or before a crash.`,
    );
  }
}
