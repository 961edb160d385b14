import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { type Breaker, BreakerSchema } from "../../../gen/retake/v1/breaker_pb.js";
import { CliError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { breakerNextText, breakerStateText, transitionText } from "../display/breaker-text.ts";
import { plainText } from "../display/plain-text.ts";
import { type Column, tableLines } from "../display/table.ts";
import { ExitCode } from "../exit-code.ts";
import { findWorkflow } from "../find-workflow.ts";
import { type CliIo, writeLines } from "../io.ts";
import { messageJson } from "../message-json.ts";

export const breakersList: Command = {
  description: "Lists the circuit breakers of workflows, or shows one of them with what has happened to it.",
  positionals: [{ name: "WORKFLOW", description: "show this one; the end of its name does", optional: true }],
  flags: {},
  examples: [
    ["retake breakers list", "Which back-ends are left alone"],
    ["retake breakers list TextToVideo", "Why, and since when"],
  ],
  async run(given, io) {
    using connection = await connect(given, io);
    const { retake } = connection;
    const name = given.positional("WORKFLOW");
    const workflow = name === "" ? "" : await findWorkflow(name, retake, io.signal);
    const admin = retake.client(AdminService);
    const found: Breaker[] = [];
    for (let pageToken = ""; ; ) {
      const page = await admin.listBreakers({ workflow, pageToken, pageSize: 1000 }, { signal: io.signal });
      found.push(...page.breakers);
      pageToken = page.nextPageToken;
      if (pageToken === "") break;
    }
    if (workflow !== "" && found.length === 0) {
      throw new CliError(`${workflow} has no breaker\nSee which there are: retake breakers list`, ExitCode.notFound);
    }
    if (given.has("json")) {
      const contracts = new Contracts(retake, io.signal);
      for (const breaker of found) {
        writeLines(io.stdout, JSON.stringify(await messageJson(BreakerSchema, breaker, contracts)));
      }
    } else if (workflow !== "") {
      for (const breaker of found) show(breaker, io);
    } else if (found.length === 0) {
      writeLines(io.stderr, "No workflow has a breaker: its policy declares one (circuit_breaker).");
    } else {
      const width = io.isTTY ? io.columns : Number.POSITIVE_INFINITY;
      writeLines(io.stdout, ...tableLines(columns(io.clock.now()), found, width));
    }
    return ExitCode.ok;
  },
};

function columns(nowMs: number): readonly Column<Breaker>[] {
  return [
    { title: "WORKFLOW", cell: ({ workflow }) => workflow, keep: "end" },
    { title: "STATE", cell: breakerStateText },
    { title: "FAILED", cell: failedText, spare: 1 },
    { title: "WAITING", cell: ({ waitingRuns }) => String(waitingRuns) },
    { title: "NEXT", cell: (breaker) => breakerNextText(breaker, nowMs) },
    { title: "WHY", cell: ({ transitions: [newest] }) => plainText(newest?.reason ?? ""), keep: "start", spare: 2 },
  ];
}

function failedText({ failures, attempts }: Breaker): string {
  return `${failures} of ${attempts}`;
}

function show(breaker: Breaker, io: CliIo): void {
  const next = breakerNextText(breaker, io.clock.now());
  writeLines(
    io.stdout,
    `Workflow   ${breaker.workflow}`,
    `Back-end   ${plainText(breaker.backend)}`,
    `State      ${breakerStateText(breaker)}${next === "" ? "" : `, ${next}`}`,
    `Failed     ${failedText(breaker)} attempts in its window`,
    `Waiting    ${breaker.waitingRuns} parked runs${breaker.waveSize === 0 ? "" : `, a wave of ${breaker.waveSize} is under way`}`,
    ...(breaker.transitions.length === 0 ? [] : ["", ...breaker.transitions.map(transitionText)]),
  );
}
