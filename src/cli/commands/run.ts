import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { anyPack, durationFromMs } from "@bufbuild/protobuf/wkt";
import { RunSchema } from "../../../gen/retake/v1/run_pb.js";
import type { StartRunRequestSchema } from "../../../gen/retake/v1/run_service_pb.js";
import type { Arguments } from "../arguments.ts";
import { UsageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { findWorkflow } from "../find-workflow.ts";
import { followFlags } from "../follow-run.ts";
import { assertJson, parseInput } from "../parse-input.ts";
import { parseQuality } from "../parse-quality.ts";
import { parseDuration } from "../parse-time.ts";
import { readInput } from "../read-input.ts";
import { planFollowing, tellStarted } from "../started-run.ts";

export const run: Command = {
  description: [
    "Starts a run of a workflow and prints the run's id. The run is durable from then on, and needs no caller.",
    "With --watch it is followed to its end, and its result is printed. Ctrl-C then stops watching; the run goes on.",
  ].join(" "),
  positionals: [
    {
      name: "WORKFLOW",
      description: "package.Service/Method, or the end of it if only one workflow is named like that",
    },
  ],
  flags: {
    input: {
      short: "i",
      value: "JSON|@FILE|-",
      description: "The request as protobuf JSON, a file with it, or - for standard input. Default: {}",
    },
    key: { short: "k", value: "KEY", description: "Idempotency key: the same call again joins the run" },
    priority: { value: "N", description: "Higher goes first, from -100 to 100. Default: 0" },
    "min-quality": {
      value: "QUALITY",
      description: "The least to settle for: minimal, low, medium, high or full. Default: minimal",
    },
    timeout: { value: "DURATION", description: "Let the run expire after this: 90s, 30m, 2h" },
    notify: { value: "URL", description: "Post the run's end there, signed; the server's operator allows URLs" },
    watch: { short: "w", description: "Follow the run to its end" },
    ...followFlags,
  },
  examples: [
    [
      "retake run storycore.video.v1.VideoService/Animatic -i @storyboard.json --watch",
      "Make a film and see how it goes",
    ],
    ["retake run Animatic -i @storyboard.json -w -o film.json", "The same, and save what the film is"],
    [
      `ID=$(retake run Animatic -i '{"prompt": "a sunset"}' --key sunset-1)`,
      "Start a run, at most once, and keep its id",
    ],
  ],
  async run(given, io) {
    const options = startOptions(given);
    const following = await planFollowing(given);
    const input = await readInput(given.value("input"), io);
    using connection = await connect(given, io);
    const { retake } = connection;
    const workflow = await findWorkflow(given.positional("WORKFLOW"), retake, io.signal);
    const contracts = new Contracts(retake, io.signal);
    const method = await contracts.method(workflow);
    // Where reflection tells nothing the server reads the JSON, and says what is wrong with it.
    if (method === undefined) assertJson(input);
    const request =
      method === undefined
        ? { case: "json" as const, value: input.text }
        : { case: "message" as const, value: anyPack(method.input, await parseInput(input, method.input, contracts)) };
    const started = await retake.runs.startRun({ ...options, workflow, input: request }, { signal: io.signal });
    const { run: accepted = create(RunSchema), joined } = started;
    return await tellStarted({ run: accepted, joined, connection, contracts, following }, io);
  },
};

function startOptions(given: Arguments): MessageInitShape<typeof StartRunRequestSchema> {
  const key = given.value("key");
  const priority = given.value("priority");
  const quality = given.value("min-quality");
  const timeout = given.value("timeout");
  const notifyUrl = given.value("notify");
  return {
    ...(key === undefined ? {} : { idempotencyKey: parseKey(key) }),
    ...(priority === undefined ? {} : { priority: parsePriority(priority) }),
    ...(quality === undefined ? {} : { minQuality: parseQuality("--min-quality", quality) }),
    ...(timeout === undefined ? {} : { timeout: durationFromMs(Math.round(parseDuration("--timeout", timeout))) }),
    ...(notifyUrl === undefined ? {} : { notifyUrl }),
  };
}

function parseKey(text: string): string {
  if (text === "") throw new UsageError("--key is empty; leave it out for a run without a key");
  return text;
}

function parsePriority(text: string): number {
  const priority = Number(text);
  if (!/^[+-]?\d+$/.test(text) || Math.abs(priority) > 100) {
    throw new UsageError(`--priority: "${text}" is no whole number from -100 to 100`);
  }
  return priority;
}
