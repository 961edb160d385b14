import { Code } from "@connectrpc/connect";
import { createError, type Disturb, type Turn } from "../../runs/index.ts";
import { until } from "./until.ts";

/** An answer that breaks off after some messages; where there are fewer, at its end. */
export function abortedAnswer(drillId: string, afterMessages: number): Disturb {
  const brokenOff = () =>
    createError(
      Code.Unavailable,
      "DRILL_ABORT",
      `drill ${drillId}: the answer broke off after ${afterMessages} messages`,
    );
  return disturbedAt(afterMessages, () => Promise.reject(brokenOff()));
}

/** An answer that stops after some messages, or at its end, until the drill is over or the attempt must stop. */
export function heldAnswer(
  afterMessages: number,
  over: AbortSignal,
  turn: Pick<Turn, "signal" | "abortReason">,
): Disturb {
  return disturbedAt(afterMessages, async () => {
    await until([over, turn.signal]);
    if (turn.abortReason !== undefined) {
      throw turn.abortReason;
    }
  });
}

function disturbedAt(afterMessages: number, disturb: () => Promise<void>): Disturb {
  return {
    async unary(answer) {
      const result = await answer;
      await disturb();
      return result;
    },
    async *stream(answer) {
      let left = afterMessages;
      for await (const message of answer) {
        if (left-- === 0) {
          await disturb();
        }
        yield message;
      }
      if (left >= 0) {
        await disturb();
      }
    },
  };
}
