import { BreakerMode } from "../../../gen/retake/v1/breaker_pb.js";
import type { Command } from "../command.ts";
import { breakerPositionals, forceBreaker, forceFlags } from "../force-breaker.ts";

export const breakersClose: Command = {
  description: [
    "Holds the breaker of a workflow closed, whatever its attempts come to, over restarts of the server too.",
    "The runs that it has parked go on in waves.",
  ].join(" "),
  positionals: breakerPositionals,
  flags: forceFlags,
  examples: [
    ['retake breakers close TextToVideo --reason "the alarm is false"', "Let attempts through whatever they come to"],
  ],
  run: (given, io) => forceBreaker(given, io, BreakerMode.FORCED_CLOSED),
};
