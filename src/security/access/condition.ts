import { create, type DescMessage, type Message, type Registry } from "@bufbuild/protobuf";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import { timestampFromMs } from "../../runs/index.ts";
import { type Bindings, compileCondition, type Expression } from "../cel/expression.ts";
import { ExpressionError } from "../cel/expression-error.ts";
import type { Principal } from "../principal.ts";
import { levelName } from "./level-name.ts";
import { unknownField } from "./unknown-field.ts";

/** The key that a condition stands under. */
const field = "access.condition";

/**
 * Compiles the condition of a workflow. Fields of the request that do not exist are found too, and what is no condition.
 *
 * @throws ExpressionError
 */
export function compileAccessCondition(source: string, input: DescMessage, registry: Registry): Expression<boolean> {
  const compiled = compileCondition(source, {
    ...{ variables: ["principal", "request", "now"], field, registry },
    samples: [bindingsOf(anybody, create(input), 0)],
  });
  const problem = unknownField(source, new Map([["request", input]]), new Map([["principal", principalFields]]));
  if (problem !== undefined) throw new ExpressionError(field, `${JSON.stringify(source)}: ${problem}`);
  return compiled;
}

const anybody: Principal = {
  ...{ tenant: "default", subject: "anybody", level: AccessLevel.AUTHENTICATED },
  ...{ groups: [], authentication: "api_key" },
};

const principalFields = ["tenant", "subject", "level", "groups", "authentication"];

/** Whether a condition holds. @throws ExpressionError when that cannot be told */
export function conditionHolds(
  condition: Expression<boolean>,
  principal: Principal,
  request: Message,
  nowMs: number,
): boolean {
  return condition.evaluate(bindingsOf(principal, request, nowMs));
}

function bindingsOf(
  { tenant, subject, level, groups, authentication }: Principal,
  request: Message,
  nowMs: number,
): Bindings {
  return {
    principal: new Map<string, string | string[]>([
      ["tenant", tenant],
      ["subject", subject],
      ["level", levelName(level)],
      ["groups", [...groups]],
      ["authentication", authentication],
    ]),
    request,
    now: timestampFromMs(nowMs),
  };
}
