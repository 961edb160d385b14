import { describeHistory } from "./describe.ts";
import { drawPlan } from "./plan/draw-plan.ts";
import { leaveOut, partsOf } from "./plan/parts.ts";
import { shrink } from "./shrink.ts";
import { type Report, simulate } from "./simulate.ts";

/** What a seed that fails comes down to: what does not hold, what happened, and the command that shows it again. */
export async function explain(seed: number, failed: Report): Promise<string> {
  const plan = drawPlan(seed);
  const parts = partsOf(plan);
  const without = await shrink(parts, async (tried) => {
    const { finding } = await simulate(leaveOut(plan, tried));
    return finding?.invariant === failed.finding?.invariant;
  });
  const { finding, history } = await simulate(leaveOut(plan, without));
  return [
    `seed ${seed}: it does not hold that ${finding?.invariant}:`,
    finding?.message,
    "",
    `what it takes, of ${parts.length} parts: ${parts.filter((part) => !without.has(part)).join(", ")}`,
    ...describeHistory(history),
    "",
    `again: ${commandOf(seed, without)}`,
  ].join("\n");
}

function commandOf(seed: number, without: ReadonlySet<string>): string {
  const left = without.size === 0 ? "" : ` --without ${[...without].join(",")}`;
  return `npm run simulate -- --seeds 1 --from ${seed}${left}`;
}
