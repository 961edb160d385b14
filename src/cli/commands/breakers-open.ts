import { BreakerMode } from "../../../gen/retake/v1/breaker_pb.js";
import type { Command } from "../command.ts";
import { breakerPositionals, forceBreaker, forceFlags } from "../force-breaker.ts";

export const breakersOpen: Command = {
  description: [
    "Holds the breaker of a workflow open: no attempt is made, over restarts of the server too. Attempts that are being made go on;",
    "runs are parked, or fail, by the policy's on_open.",
  ].join(" "),
  positionals: breakerPositionals,
  flags: forceFlags,
  examples: [
    ['retake breakers open TextToVideo --for 1h --reason "new cards"', "Leave its back-end alone for an hour"],
  ],
  run: (given, io) => forceBreaker(given, io, BreakerMode.FORCED_OPEN),
};
