import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import { isTerminal, type RetakeClient, type RunFilter } from "../client/index.ts";
import { suggestion } from "../nearest-name.ts";
import type { Arguments } from "./arguments.ts";
import { UsageError } from "./cli-error.ts";
import type { Flags } from "./command.ts";
import { findWorkflow } from "./find-workflow.ts";
import type { CliIo } from "./io.ts";
import { parseTime } from "./parse-time.ts";
import { parseRunId } from "./run-id.ts";

/** Which runs are meant. */
export const filterFlags: Flags = {
  workflow: { value: "WORKFLOW", description: "Only of this workflow; the end of its name does" },
  state: {
    short: "s",
    value: "STATE",
    multiple: true,
    description: "Only in this state: queued, running, …, or open, or ended",
  },
  since: { value: "TIME", description: "Only those accepted since: 2h (so long ago), 2026-11-22, 2026-11-22T10:00" },
  before: { value: "TIME", description: "Only those accepted before" },
  parent: { value: "RUN_ID", description: "Only children of this run" },
  owner: { value: "SUBJECT", description: "Only those that this subject started" },
  tenant: { value: "TENANT", description: "The tenant of --owner. Default: default" },
};

export type ParsedFilter = Pick<RunFilter, "states" | "createdSince" | "createdBefore" | "parentRunId" | "owner">;

/** All but the workflow, which only a server knows. @throws UsageError */
export function parseFilter(given: Arguments, io: CliIo): ParsedFilter {
  const states = given.values("state").flatMap(parseStates);
  const since = given.value("since");
  const before = given.value("before");
  const parent = given.value("parent");
  const subject = given.value("owner");
  const tenant = given.value("tenant");
  if (tenant !== undefined && subject === undefined) throw new UsageError("--tenant is that of --owner: give both");
  const nowMs = io.clock.now();
  return {
    ...(states.length === 0 ? {} : { states: [...new Set(states)] }),
    ...(since === undefined ? {} : { createdSince: timestampFromMs(Math.round(parseTime("--since", since, nowMs))) }),
    ...(before === undefined
      ? {}
      : { createdBefore: timestampFromMs(Math.round(parseTime("--before", before, nowMs))) }),
    ...(parent === undefined ? {} : { parentRunId: parseRunId(parent) }),
    ...(subject === undefined ? {} : { owner: { subject, tenant: tenant ?? "default" } }),
  };
}

const allStates = Object.values(RunState).filter((state): state is RunState => typeof state === "number" && state > 0);

/** States, and words for several of them. */
const stateNames: ReadonlyMap<string, readonly RunState[]> = new Map<string, readonly RunState[]>([
  ["open", allStates.filter((state) => !isTerminal(state))],
  ["ended", allStates.filter(isTerminal)],
  ...allStates.map((state) => [RunState[state].toLowerCase(), [state]] as const),
]);

function parseStates(text: string): readonly RunState[] {
  const states = stateNames.get(text.toLowerCase().replaceAll("-", "_"));
  if (states !== undefined) return states;
  const known = [...stateNames.keys()];
  throw new UsageError(`--state: there is no "${text}", only ${known.join(", ")}.${suggestion(text, known)}`);
}

/** The workflow of a filter, by its whole name. @throws CliError when there is none */
export async function workflowOf(given: Arguments, retake: RetakeClient, io: CliIo): Promise<{ workflow?: string }> {
  const name = given.value("workflow");
  return name === undefined ? {} : { workflow: await findWorkflow(name, retake, io.signal) };
}

/** Whether a command line says which runs it means. */
export function hasFilter(given: Arguments): boolean {
  return Object.keys(filterFlags).some((flag) => given.has(flag));
}
