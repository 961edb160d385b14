import { Code } from "@connectrpc/connect";
import { FailureCategory } from "../../../gen/retake/v1/options_pb.js";
import { FailureSeverity } from "../../../gen/retake/v1/run_pb.js";

/** What is told of an error that is known. Its own words never are: they may name hosts, paths and inputs. */
export interface FailureKind {
  readonly code: Code;
  readonly category: FailureCategory;
  readonly severity: FailureSeverity;
  readonly retryable: boolean;
  /** Ends the sentence "the workflow failed: …". */
  readonly text: string;
  /** Something else about the same error may say more: a text, or what it was caused by. */
  readonly vague?: true;
}

const { NETWORK, MEMORY, VALIDATION, MODEL, WORKFLOW, SYSTEM } = FailureCategory;
const { LOW, MEDIUM, HIGH, CRITICAL } = FailureSeverity;

/** The kinds of errors that are known, by the reason that names them. */
export const failureKinds = {
  CONNECTION_REFUSED: unavailable(NETWORK, "a connection was refused"),
  CONNECTION_LOST: unavailable(NETWORK, "a connection was lost"),
  HOST_UNREACHABLE: unavailable(NETWORK, "a host cannot be reached"),
  HOST_NOT_FOUND: unavailable(NETWORK, "a host name is not known"),
  NAME_LOOKUP_FAILED: unavailable(NETWORK, "a host name could not be looked up"),
  TIMEOUT: unavailable(NETWORK, "something that it waited for took too long"),
  TLS_FAILED: unavailable(NETWORK, "a TLS connection could not be made"),
  CERTIFICATE_REJECTED: { ...unavailable(NETWORK, "a certificate is not to be trusted"), severity: HIGH },
  PROTOCOL_ERROR: { ...internal(NETWORK, "the other side broke its protocol"), severity: MEDIUM },
  REFUSED_STREAM: unavailable(NETWORK, "the other side took no more calls"),
  OVERLOADED: {
    ...unavailable(SYSTEM, "the other side has too much to do"),
    code: Code.ResourceExhausted,
    severity: MEDIUM,
  },
  ADDRESS_IN_USE: unavailable(SYSTEM, "a port or address is in use"),

  OUT_OF_MEMORY: exhausted(MEMORY, "it ran out of memory"),
  ACCELERATOR_OUT_OF_MEMORY: exhausted(MEMORY, "its accelerator ran out of memory"),

  DISK_FULL: exhausted(SYSTEM, "a disk or a quota is full"),
  TOO_MANY_FILES: exhausted(SYSTEM, "too many files or connections are open"),
  IO_FAILED: { ...internal(SYSTEM, "a device could not be read or written"), severity: CRITICAL },
  RESOURCE_BUSY: unavailable(SYSTEM, "something that it needs is in use"),
  FILE_DENIED: internal(SYSTEM, "a file or a resource of the system may not be used"),
  FILE_NOT_FOUND: internal(WORKFLOW, "a file is not where it is looked for"),
  COMMAND_NOT_FOUND: internal(SYSTEM, "a program is not installed"),
  PROCESS_KILLED: { ...unavailable(SYSTEM, "a process that it had started was killed"), severity: HIGH, vague: true },
  PROCESS_FAILED: { ...internal(WORKFLOW, "a program that it had started failed"), vague: true },
  DEVICE_FAILED: { ...unavailable(SYSTEM, "an accelerator failed, and needs a restart"), severity: CRITICAL },
  TOO_LARGE: { ...internal(WORKFLOW, "something is larger than its limit"), retryable: false },

  DATABASE_BUSY: unavailable(SYSTEM, "a database is in use"),
  DATABASE_DAMAGED: { ...internal(SYSTEM, "a database is damaged"), code: Code.DataLoss, severity: CRITICAL },
  DATABASE_CONSTRAINT: { ...internal(WORKFLOW, "a database refused what breaks its rules"), retryable: false },
  DATABASE_FAILED: internal(WORKFLOW, "a database refused a statement"),
  JOURNAL: { ...unavailable(SYSTEM, "the server cannot store runs at the moment"), severity: CRITICAL },

  INVALID: {
    code: Code.InvalidArgument,
    category: VALIDATION,
    severity: LOW,
    retryable: false,
    text: "a message breaks the rules of its contract",
  },
  BROKEN_RULE: { ...internal(WORKFLOW, "a rule of a contract cannot be evaluated"), retryable: false },
  UNDECODABLE: internal(WORKFLOW, "a message could not be decoded"),
  DAMAGED_DATA: internal(WORKFLOW, "compressed data is damaged"),
  NOT_JSON: internal(WORKFLOW, "something that should be JSON is none"),
  PROGRAM_ERROR: { ...internal(WORKFLOW, "its handler has a bug"), vague: true },

  ABORTED: {
    code: Code.Aborted,
    category: WORKFLOW,
    severity: MEDIUM,
    retryable: true,
    text: "something that it waited for was aborted",
  },
  BACKEND_CREDENTIALS: { ...internal(SYSTEM, "the other side refuses its credentials"), retryable: false },
  BACKEND_TIMEOUT: unavailable(NETWORK, "the other side ran out of time"),

  MODEL_MISSING: model("a model is missing"),
  MODEL_DAMAGED: model("a model is damaged, or of an unknown kind"),
  NODE_MISSING: model("its engine lacks a node that the graph needs"),
  ENGINE_REFUSED: {
    code: Code.InvalidArgument,
    category: VALIDATION,
    severity: LOW,
    retryable: false,
    text: "its engine refuses the graph",
  },
  ENGINE_FAILED: { ...internal(WORKFLOW, "a node of its engine failed"), vague: true },
  ENGINE_INTERRUPTED: {
    code: Code.Aborted,
    category: WORKFLOW,
    severity: MEDIUM,
    retryable: true,
    text: "its engine was interrupted by somebody else",
  },
} as const satisfies Record<string, FailureKind>;

export type KnownReason = keyof typeof failureKinds;

/** The kind that a reason names, if it is one of these. */
export function kindOfReason(reason: string): FailureKind | undefined {
  return Object.hasOwn(failureKinds, reason) ? failureKinds[reason as KnownReason] : undefined;
}

function unavailable(category: FailureCategory, text: string): FailureKind {
  return { code: Code.Unavailable, category, severity: MEDIUM, retryable: true, text };
}

function internal(category: FailureCategory, text: string): FailureKind {
  return { code: Code.Internal, category, severity: HIGH, retryable: true, text };
}

/** Memory, disks and descriptors are shared: all runs of the machine are in danger. */
function exhausted(category: FailureCategory, text: string): FailureKind {
  return { code: Code.ResourceExhausted, category, severity: CRITICAL, retryable: true, text };
}

function model(text: string): FailureKind {
  return { code: Code.FailedPrecondition, category: MODEL, severity: HIGH, retryable: false, text };
}
