import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { FailureSchema } from "../../gen/retake/v1/run_pb.js";
import { CliError } from "./cli-error.ts";
import { connectionProblem } from "./display/connection-problem.ts";
import { plainText } from "./display/plain-text.ts";
import { ExitCode } from "./exit-code.ts";

export interface Explanation {
  /** The first says what is wrong; those behind it say more, and what to do. */
  readonly lines: readonly string[];
  readonly exitCode: ExitCode;
}

/** Whatever ended a command, in words, and what to exit with. */
export function explainError(error: unknown, signal: AbortSignal): Explanation {
  if (error instanceof CliError) return { lines: error.message.split("\n"), exitCode: error.exitCode };
  if (signal.aborted) return { lines: ["interrupted"], exitCode: ExitCode.interrupted };
  if (error instanceof ConnectError) return explainCall(error);
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { lines: message.split("\n"), exitCode: ExitCode.refused };
}

function explainCall(error: ConnectError): Explanation {
  // What a server says goes to a terminal: nothing in it may steer that.
  const message = plainText(error.rawMessage);
  const [info] = error.findDetails(ErrorInfoSchema);
  switch (error.code) {
    case Code.Unavailable:
      return {
        lines: info === undefined ? unreachable(message) : [message],
        exitCode: ExitCode.unreachable,
      };
    case Code.DeadlineExceeded:
      return {
        lines: ["the server did not answer in time", "Try again; its log may say what keeps it busy."],
        exitCode: ExitCode.unreachable,
      };
    case Code.NotFound:
      return { lines: [message], exitCode: ExitCode.notFound };
    case Code.InvalidArgument:
    case Code.OutOfRange:
      return { lines: [message, ...violations(error, message)], exitCode: ExitCode.usage };
    case Code.Unauthenticated:
      return {
        lines: [
          message,
          "Name who you are: --api-key KEY, or RETAKE_API_KEY.",
          "A server of this machine may have left a key in its data directory: --config FILE says where that is.",
        ],
        exitCode: ExitCode.refused,
      };
    case Code.Unimplemented:
      return {
        lines: [message, "Is this a Retake server, and one of this version? --target names another."],
        exitCode: ExitCode.refused,
      };
    default:
      return { lines: [message, ...reference(error)], exitCode: ExitCode.refused };
  }
}

function unreachable(message: string): string[] {
  return [
    `cannot reach the server: ${connectionProblem(message)}`,
    "Start one with `retake serve`, or name another with --target or RETAKE_TARGET.",
    "If it uses TLS, add --tls or --ca FILE.",
  ];
}

/** Those that the message does not tell already. */
function violations(error: ConnectError, message: string): string[] {
  return error
    .findDetails(BadRequestSchema)
    .flatMap(({ fieldViolations }) => fieldViolations)
    .map(({ field, description }) => plainText(field === "" ? description : `${field}: ${description}`))
    .filter((line) => !message.includes(line));
}

function reference(error: ConnectError): string[] {
  const [failure] = error.findDetails(FailureSchema);
  return failure === undefined || failure.referenceId === ""
    ? []
    : [`The server's log has more under reference ${plainText(failure.referenceId)}.`];
}
