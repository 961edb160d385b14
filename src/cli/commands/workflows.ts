import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { WorkflowPolicySchema } from "../../../gen/retake/v1/options_pb.js";
import { type Workflow, WorkflowSchema } from "../../../gen/retake/v1/run_service_pb.js";
import { CliError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { type Connection, connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { pauseText } from "../display/pause-text.ts";
import { type Column, tableLines } from "../display/table.ts";
import { ExitCode } from "../exit-code.ts";
import { findWorkflow, listWorkflows } from "../find-workflow.ts";
import { type CliIo, writeLines } from "../io.ts";
import { messageJson } from "../message-json.ts";

export const workflows: Command = {
  description:
    "Lists the workflows that the server executes, or shows one of them: its request, its policy, its back-ends.",
  positionals: [{ name: "WORKFLOW", description: "show this one; the end of its name does", optional: true }],
  flags: {},
  examples: [
    ["retake workflows", "What can be run"],
    ["retake workflows Animatic", "What a workflow takes"],
  ],
  async run(given, io) {
    using connection = await connect(given, io);
    const { retake } = connection;
    const contracts = new Contracts(retake, io.signal);
    const name = given.positional("WORKFLOW");
    const only = name === "" ? undefined : await findWorkflow(name, retake, io.signal);
    const found: Workflow[] = [];
    for await (const workflow of listWorkflows(retake, io.signal)) {
      if (only === undefined || workflow.workflow === only) found.push(workflow);
    }
    if (only !== undefined && found.length === 0) {
      throw new CliError(`there is no workflow "${only}"\nSee what there is: retake workflows`, ExitCode.notFound);
    }
    if (given.has("json")) {
      for (const workflow of found) {
        writeLines(io.stdout, JSON.stringify(await messageJson(WorkflowSchema, workflow, contracts)));
      }
    } else if (only === undefined) {
      const shown = found.some(({ pause }) => pause !== undefined) ? [...columns, pausedColumn] : columns;
      writeLines(io.stdout, ...tableLines(shown, found, io.isTTY ? io.columns : Number.POSITIVE_INFINITY));
    } else {
      for (const workflow of found) await show(workflow, connection, contracts, io);
    }
    return ExitCode.ok;
  },
};

const columns: readonly Column<Workflow>[] = [
  { title: "WORKFLOW", cell: ({ workflow }) => workflow },
  { title: "ANSWERS", cell: ({ streaming }) => (streaming ? "progress, then a result" : "a result") },
  { title: "BACK-ENDS", cell: ({ endpoints }) => endpoints.join(", ") || "none", keep: "start" },
];

const pausedColumn: Column<Workflow> = { title: "PAUSED", cell: ({ pause }) => pauseText(pause).trim(), keep: "start" };

async function show(workflow: Workflow, connection: Connection, contracts: Contracts, io: CliIo): Promise<void> {
  writeLines(
    io.stdout,
    `Workflow   ${workflow.workflow}`,
    `Request    ${workflow.inputType}`,
    `Response   ${workflow.outputType}${workflow.streaming ? ", streamed: progress, then the result" : ""}`,
    `Back-ends  ${workflow.endpoints.join(", ") || "none"}`,
    ...(workflow.pause === undefined ? [] : [`Paused    ${pauseText(workflow.pause)}`]),
    "",
  );
  await contracts.learn([workflow.inputType]);
  const input = contracts.registry.getMessage(workflow.inputType);
  if (input === undefined) {
    writeLines(io.stderr, "The fields of its request are unknown: the server's reflection does not tell them.");
  } else {
    writeLines(io.stdout, "Request:", ...fieldLines(input), "");
  }
  if (workflow.policy !== undefined) {
    const policy = await messageJson(WorkflowPolicySchema, workflow.policy, contracts);
    writeLines(
      io.stdout,
      "Policy:",
      ...JSON.stringify(policy, undefined, 2)
        .split("\n")
        .map((line) => `  ${line}`),
      "",
    );
  }
  writeLines(
    io.stdout,
    `Start it: ${connection.commandLine("run", workflow.workflow, "--input", "@request.json", "--watch")}`,
  );
}

function fieldLines({ fields }: DescMessage): string[] {
  const width = Math.max(0, ...fields.map(({ jsonName }) => jsonName.length));
  return fields.map((field) => `  ${field.jsonName.padEnd(width)}  ${typeText(field)}`);
}

function typeText(field: DescField): string {
  switch (field.fieldKind) {
    case "scalar":
      return ScalarType[field.scalar].toLowerCase();
    case "enum":
      return `one of ${field.enum.values.map(({ name }) => name).join(", ")}`;
    case "message":
      return field.message.typeName;
    case "list":
      return `list of ${elementText(field)}`;
    case "map":
      return `map from ${ScalarType[field.mapKey].toLowerCase()} to ${elementText(field)}`;
  }
}

function elementText(field: DescField & { fieldKind: "list" | "map" }): string {
  if (field.message !== undefined) return field.message.typeName;
  if (field.enum !== undefined) return field.enum.typeName;
  return field.scalar === undefined ? "" : ScalarType[field.scalar].toLowerCase();
}
