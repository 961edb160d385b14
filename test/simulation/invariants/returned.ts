import type { MethodName } from "../plan/plan.ts";
import { assert, type Invariant } from "../world/witness.ts";

export const returned: Invariant = {
  name: "every permit and every slot is given back in the end",
  witness: ({ chronicle, clock }) => {
    let probed: { readonly method: MethodName; readonly count: number; readonly sinceMs: number } | undefined;
    let working = 0;
    let most = 0;
    return {
      probing(method, count) {
        probed = { method, count, sinceMs: clock.monotonic() };
        working = 0;
        most = 0;
      },
      called({ method, signal }) {
        if (method === probed?.method) {
          working += 1;
          most = Math.max(most, working);
          signal.addEventListener("abort", () => {
            working -= 1;
          });
        }
      },
      appended(_, events) {
        if (probed !== undefined && events.some(({ event }) => event.case === "succeeded")) {
          working -= 1;
        }
      },
      probed() {
        if (probed !== undefined && chronicle.isCalm(probed.sinceMs, clock.monotonic())) {
          const { method, count } = probed;
          assert(most >= count, `${most} attempts of ${method} work at once when all is over, and ${count} should`);
        }
        probed = undefined;
      },
    };
  },
};
