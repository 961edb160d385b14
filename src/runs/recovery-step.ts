import type { RecoveryAction } from "../../gen/retake/v1/options_pb.js";
import type { Blocked } from "./ports/gates.ts";

/** What comes next for a run whose back-end recovers: it waits for an action, or is told what has come of one. */
export type RecoveryStep =
  | Blocked
  | {
      readonly kind: "acted";
      readonly action: RecoveryAction;
      /** Why it could not be done; empty when it is. */
      readonly error: string;
    };
