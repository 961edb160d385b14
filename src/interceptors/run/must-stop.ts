import type { RunRequest } from "../../runs/index.ts";

/** Whether nothing more may be begun for the run in this turn: it is being stopped, or has been concluded. */
export function mustStop({ turn }: Pick<RunRequest, "turn">): boolean {
  return turn.abortReason !== undefined || turn.concluded;
}
