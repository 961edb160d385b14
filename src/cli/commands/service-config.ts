import { type DescMethod, hasOption } from "@bufbuild/protobuf";
import { workflow as workflowOption } from "../../../gen/retake/v1/options_pb.js";
import { keyFields, workflowName } from "../../contract/index.ts";
import type { Arguments } from "../arguments.ts";
import { CliError, UsageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { ExitCode } from "../exit-code.ts";
import { listWorkflows } from "../find-workflow.ts";
import { type CliIo, writeLines } from "../io.ts";
import { serviceConfig as configOf } from "../service-config.ts";
import { compileContracts } from "../sources/compile.ts";

export const serviceConfig: Command = {
  description: [
    "Prints the service config with which a gRPC client calls a workflow again when it loses the server (gRFC A6): of",
    "keyed workflows only, because calling them again joins the same run. The workflows are those of a running server, by",
    "its reflection, or those of contracts. A client takes the config as its option grpc.service_config, or by DNS.",
  ].join(" "),
  positionals: [],
  flags: {
    contracts: {
      value: "PATH",
      multiple: true,
      description: "Ask no server: take a descriptor set, or a directory with .proto files",
    },
  },
  examples: [
    ["retake service-config --target localhost:50051 > service-config.json", "For the workflows of a server"],
    ["retake service-config --contracts contracts.binpb", "For those of a descriptor set"],
  ],
  async run(given, io) {
    const methods = given.has("contracts") ? await methodsOfContracts(given, io) : await methodsOfServer(given, io);
    const [keyed, keyless] = [methods.filter(isKeyed), methods.filter((method) => !isKeyed(method))];
    const config = configOf(keyed.map(workflowName));
    writeLines(io.stdout, given.has("json") ? JSON.stringify(config) : JSON.stringify(config, undefined, 2));
    writeLines(io.stderr, ...remarks(keyed, keyless));
    return ExitCode.ok;
  },
};

function isKeyed(method: DescMethod): boolean {
  return keyFields(method.input).length > 0;
}

function remarks(keyed: readonly DescMethod[], keyless: readonly DescMethod[]): string[] {
  return [
    ...keyed.map((method) => {
      const name = keyFields(method.input)[0]?.name ?? "";
      return `${workflowName(method)}: set ${name} in each request; with it empty, a second call is a second run`;
    }),
    ...keyless.map((method) => `${workflowName(method)}: left out, its request has no idempotency key`),
  ];
}

async function methodsOfContracts(given: Arguments, io: CliIo): Promise<DescMethod[]> {
  const methods: DescMethod[] = [];
  for (const path of given.values("contracts")) {
    const compilation = await compileContracts(path, io);
    if (compilation.kind === "broken") {
      throw new UsageError(`the contracts in ${path} cannot be compiled. See what is wrong: retake lint ${path}`);
    }
    for (const type of compilation.registry) {
      if (type.kind !== "service") continue;
      methods.push(...type.methods.filter((method) => hasOption(method, workflowOption)));
    }
  }
  return methods;
}

async function methodsOfServer(given: Arguments, io: CliIo): Promise<DescMethod[]> {
  using connection = await connect(given, io);
  const contracts = new Contracts(connection.retake, io.signal);
  const methods: DescMethod[] = [];
  for await (const { workflow } of listWorkflows(connection.retake, io.signal)) {
    const method = await contracts.method(workflow);
    if (method === undefined) {
      throw new CliError(
        `the server does not tell the contract of ${workflow} by reflection\nTake it from the contracts: retake service-config --contracts PATH`,
        ExitCode.refused,
      );
    }
    methods.push(method);
  }
  return methods;
}
