import { MonitoringService } from "../../../gen/retake/v1/monitoring_service_pb.js";
import { type Status, StatusSchema } from "../../../gen/retake/v1/status_pb.js";
import { CliError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { FullScreen } from "../display/full-screen.ts";
import { statusLines } from "../display/status-lines.ts";
import { ExitCode } from "../exit-code.ts";
import { type CliIo, writeLines } from "../io.ts";
import { keepWatching, tellLost, type Watcher } from "../keep-watching.ts";
import { messageJson } from "../message-json.ts";

/** As many as a tall window has lines for. */
const limits = { maxWorkflows: 200, maxAlerts: 50 };

export const top: Command = {
  description:
    "Shows how a server is, until it is interrupted: its health and why, runs, alerts, breakers and workflows. " +
    "On a terminal it is drawn in place; elsewhere each update is a block of text.",
  positionals: [],
  flags: { once: { description: "Show it once, and end" } },
  examples: [
    ["retake top", "See how the server is doing"],
    ["retake top --once --json", "The same for a script"],
  ],
  async run(given, io) {
    using connection = await connect(given, io);
    const client = connection.retake.client(MonitoringService);
    const once = given.has("once");
    const json = given.has("json");
    if (once) {
      const { status } = await client.getStatus(limits, { signal: io.signal });
      if (status === undefined) throw new CliError("the server tells nothing of its status", ExitCode.refused);
      await (json
        ? showJson(status, new Contracts(connection.retake, io.signal), io)
        : showBlock(status, connection.target, io));
      return ExitCode.ok;
    }
    const contracts = new Contracts(connection.retake, io.signal);
    using view = json
      ? jsonView(contracts, io)
      : io.isTTY
        ? screenView(connection.target, io)
        : blockView(connection.target, io);
    await keepWatching(
      () => client.watchStatus(limits, { signal: io.signal }),
      {
        async show({ status }) {
          if (status !== undefined) await view.show(status);
        },
        lost: (why) => view.lost(why),
      },
      io,
    );
    return ExitCode.ok;
  },
};

/** Where updates go. */
interface View extends Watcher<Status>, Disposable {}

function screenView(target: string, io: CliIo): View {
  let newest: Status | undefined;
  let problem = "";
  const screen = new FullScreen(io, (width, height) =>
    newest === undefined
      ? [`Asking ${target} ...`]
      : statusLines(newest, { target, nowMs: io.clock.now(), width, height, problem }),
  );
  return {
    show(status) {
      newest = status;
      problem = "";
      screen.update();
    },
    lost(why) {
      problem = `CONNECTION LOST, trying again (what follows is from before): ${why}`;
      screen.update();
    },
    [Symbol.dispose]: () => screen[Symbol.dispose](),
  };
}

function blockView(target: string, io: CliIo): View {
  let first = true;
  return {
    show(status) {
      if (!first) writeLines(io.stdout, "");
      first = false;
      showBlock(status, target, io);
    },
    lost: (why) => tellLost(why, io),
    [Symbol.dispose]: () => undefined,
  };
}

function jsonView(contracts: Contracts, io: CliIo): View {
  return {
    show: (status) => showJson(status, contracts, io),
    lost: (why) => tellLost(why, io),
    [Symbol.dispose]: () => undefined,
  };
}

function showBlock(status: Status, target: string, io: CliIo): void {
  const width = io.isTTY ? io.columns : Number.POSITIVE_INFINITY;
  const frame = { target, nowMs: io.clock.now(), width, height: Number.POSITIVE_INFINITY, problem: "" };
  writeLines(io.stdout, ...statusLines(status, frame));
}

async function showJson(status: Status, contracts: Contracts, io: CliIo): Promise<void> {
  writeLines(io.stdout, JSON.stringify(await messageJson(StatusSchema, status, contracts)));
}
