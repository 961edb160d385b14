import { UsageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { DevSession } from "../dev/dev-session.ts";
import { findProject } from "../dev/project.ts";
import { jsonReporter, textReporter } from "../dev/reporter.ts";
import { ExitCode } from "../exit-code.ts";
import { parsePortFlag } from "../port-flag.ts";

export const dev: Command = {
  description: [
    "Serves a project while it is written. When its contract, its handlers or retake.yaml change, it makes the code anew,",
    "checks types, and starts the server again; runs are kept, and those that were interrupted go on. It prints how to call",
    "each workflow, and shows runs as they happen. What is broken is told with the lines to write; what worked before is",
    "served until it is mended. Whoever calls from this machine may do everything, as ADMIN.",
  ].join(" "),
  local: true,
  positionals: [{ name: "DIR", description: "the project; default: this directory", optional: true }],
  flags: {
    handlers: { value: "MODULE", description: "The module that implements the workflows. Default: handlers.ts in DIR" },
    data: { short: "d", value: "DIR", description: "Where runs are kept. Default: .retake in the project" },
    "grpc-port": { value: "PORT", description: "Default: 50051, or as retake.yaml says; 0 takes a free one" },
    "web-port": { value: "PORT", description: "Default: 8080, or as retake.yaml says; 0 takes a free one" },
  },
  examples: [
    ["retake dev", "Serve the project in this directory"],
    ["retake dev studio --grpc-port 0 --web-port 0", "Serve another one, on ports that are free"],
  ],
  async run(given, io) {
    const project = await findProject(given.positional("DIR") || ".", given.value("handlers"));
    const grpcPort = parsePortFlag("--grpc-port", given.value("grpc-port"));
    const webPort = parsePortFlag("--web-port", given.value("web-port"));
    if (grpcPort === "off" && webPort === "off") {
      throw new UsageError("both ports are off, so nobody could call this server: leave one on");
    }
    const reporter = given.has("json") ? jsonReporter(io) : textReporter(io);
    await new DevSession(project, { dataDirectory: given.value("data"), grpcPort, webPort }, reporter, io).run();
    return ExitCode.ok;
  },
};
