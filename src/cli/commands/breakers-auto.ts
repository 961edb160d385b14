import { BreakerMode } from "../../../gen/retake/v1/breaker_pb.js";
import type { Command } from "../command.ts";
import { breakerPositionals, forceBreaker, reasonFlag } from "../force-breaker.ts";

export const breakersAuto: Command = {
  description: [
    "Lets the breaker of a workflow be automatic again: one that was held open goes on with a trial,",
    "one that was held closed with nothing counted.",
  ].join(" "),
  positionals: breakerPositionals,
  flags: reasonFlag,
  examples: [["retake breakers auto TextToVideo", "Let outcomes decide"]],
  run: (given, io) => forceBreaker(given, io, BreakerMode.AUTOMATIC),
};
