import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { AdminService } from "../../gen/retake/v1/admin_service_pb.js";
import { BreakerMode, BreakerSchema } from "../../gen/retake/v1/breaker_pb.js";
import type { Arguments } from "./arguments.ts";
import type { Flags, Positional } from "./command.ts";
import { connect } from "./connection.ts";
import { Contracts } from "./contracts.ts";
import { breakerNextText, breakerStateText } from "./display/breaker-text.ts";
import { ExitCode } from "./exit-code.ts";
import { findWorkflow } from "./find-workflow.ts";
import { type CliIo, writeLines } from "./io.ts";
import { messageJson } from "./message-json.ts";
import { parseDuration } from "./parse-time.ts";

/** What the commands that force a breaker take. */
export const breakerPositionals: readonly Positional[] = [
  { name: "WORKFLOW", description: "whose; the end of its name does" },
];
export const reasonFlag: Flags = { reason: { value: "TEXT", description: "Why, for those who wait" } };
export const forceFlags: Flags = {
  ...reasonFlag,
  for: { value: "TIME", description: "Automatic again after this long: 10m, 2h. Default: until somebody says so" },
};

/** Forces the breaker that a command line means, and tells how it stands then. */
export async function forceBreaker(given: Arguments, io: CliIo, mode: BreakerMode): Promise<ExitCode> {
  const time = given.value("for");
  const ttl = time === undefined ? {} : { ttl: durationFromMs(parseDuration("--for", time)) };
  using connection = await connect(given, io);
  const { retake } = connection;
  const workflow = await findWorkflow(given.positional("WORKFLOW"), retake, io.signal);
  const { breaker } = await retake
    .client(AdminService)
    .forceBreaker({ workflow, mode, reason: given.value("reason") ?? "", ...ttl }, { signal: io.signal });
  if (breaker === undefined) return ExitCode.ok;
  if (given.has("json")) {
    const json = await messageJson(BreakerSchema, breaker, new Contracts(retake, io.signal));
    writeLines(io.stdout, JSON.stringify(json));
    return ExitCode.ok;
  }
  const next = breakerNextText(breaker, io.clock.now());
  writeLines(io.stdout, `the breaker of ${workflow} is ${breakerStateText(breaker)}${next === "" ? "" : `, ${next}`}`);
  if (mode !== BreakerMode.AUTOMATIC) {
    writeLines(io.stderr, `Let it be automatic again: ${connection.commandLine("breakers", "auto", workflow)}`);
  }
  return ExitCode.ok;
}
