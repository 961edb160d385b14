import type { DescMessage, Message, Registry } from "@bufbuild/protobuf";
import { timestampFromMs } from "../../runs/index.ts";
import { compileCondition, type Expression } from "../cel/expression.ts";
import { ExpressionError } from "../cel/expression-error.ts";
import type { Principal } from "../principal.ts";
import { levelName } from "./level-name.ts";
import { unknownField } from "./unknown-field.ts";

/** The key that a condition stands under. */
const field = "access.condition";

/**
 * Compiles the condition of a workflow. Fields of the request that do not exist are found too.
 *
 * @throws ExpressionError
 */
export function compileAccessCondition(source: string, input: DescMessage, registry: Registry): Expression<boolean> {
  const compiled = compileCondition(source, { variables: ["principal", "request", "now"], field, registry });
  const problem = unknownField(source, new Map([["request", input]]), new Map([["principal", principalFields]]));
  if (problem !== undefined) throw new ExpressionError(field, `${JSON.stringify(source)}: ${problem}`);
  return compiled;
}

const principalFields = ["tenant", "subject", "level", "groups", "authentication"];

/** Whether a condition holds. @throws ExpressionError when that cannot be told */
export function conditionHolds(
  condition: Expression<boolean>,
  { tenant, subject, level, groups, authentication }: Principal,
  request: Message,
  nowMs: number,
): boolean {
  return condition.evaluate({
    principal: new Map<string, string | string[]>([
      ["tenant", tenant],
      ["subject", subject],
      ["level", levelName(level)],
      ["groups", [...groups]],
      ["authentication", authentication],
    ]),
    request,
    now: timestampFromMs(nowMs),
  });
}
