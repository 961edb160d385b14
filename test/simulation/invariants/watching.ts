import { toBinary } from "@bufbuild/protobuf";
import { type RunEvent, RunEventSchema } from "../../../gen/retake/v1/run_pb.js";
import { assert, type Invariant } from "../world/witness.ts";

export const watching: Invariant = {
  name: "a watcher sees what the journal says, in order, without a gap or a repeat",
  witness: ({ disk }) => {
    const seen = new Map<string, number>();
    return {
      async watched(watcher, runId, event) {
        const place = (seen.get(watcher) ?? 0) + 1;
        seen.set(watcher, place);
        assert(
          event.sequence === BigInt(place),
          `${watcher} sees event ${event.sequence} of run ${runId}, and ${place} is next`,
        );
        const durable = (await disk.events(runId))[place - 1];
        assert(durable !== undefined, `${watcher} sees event ${place} of run ${runId}, which is not durable`);
        assert(
          Buffer.compare(withoutResult(event), withoutResult(durable)) === 0,
          `${watcher} sees event ${place} of run ${runId} (${event.event.case}), and the journal says ${durable.event.case}`,
        );
      },
    };
  },
};

/** The event as it is journaled: watchers get the result with its end. */
function withoutResult(event: RunEvent): Uint8Array {
  const body = event.event;
  if (body.case !== "succeeded" || body.value.result === undefined) {
    return toBinary(RunEventSchema, event);
  }
  const { value, ...result } = body.value.result;
  return toBinary(RunEventSchema, { ...event, event: { ...body, value: { ...body.value, result } } });
}
