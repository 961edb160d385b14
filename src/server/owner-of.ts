import type { HandlerContext } from "@connectrpc/connect";
import type { RunOwner } from "../runs/index.ts";
import { principalKey } from "../security/index.ts";

/** Whom the runs belong to that a call starts. */
export function ownerOf(context: Pick<HandlerContext, "values">): RunOwner {
  const { tenant, subject } = context.values.get(principalKey);
  return { tenant, subject };
}
