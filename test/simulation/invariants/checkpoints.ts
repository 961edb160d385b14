import { assert, type Invariant } from "../world/witness.ts";

export const checkpoints: Invariant = {
  name: "an attempt is told what the ones before it have left behind",
  witness: ({ disk }) => ({
    async called({ runId, number, context }) {
      if (context === undefined) {
        // Others have no checkpoints.
        return;
      }
      const told = context.previous;
      const left = (await disk.events(runId)).findLast(
        ({ event }) => event.case === "attemptCheckpoint" && event.value.attempt < number,
      );
      const handle = left?.event.case === "attemptCheckpoint" ? left.event.value.handle : undefined;
      assert(
        textOf(told?.handle) === textOf(handle),
        `attempt ${number} of run ${runId} was told of "${textOf(told?.handle)}", and the job is "${textOf(handle)}"`,
      );
    },
  }),
};

function textOf(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? "" : new TextDecoder().decode(bytes);
}
