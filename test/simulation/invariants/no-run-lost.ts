import { assert, type Invariant } from "../world/witness.ts";

export const noRunLost: Invariant = {
  name: "no acknowledged run is lost",
  witness: () => {
    const acknowledged = new Set<string>();
    return {
      acknowledged(runId) {
        acknowledged.add(runId);
      },
      concluded(history) {
        for (const runId of acknowledged) {
          assert(history.has(runId), `run ${runId} was acknowledged, and the journal knows nothing of it`);
        }
      },
    };
  },
};
