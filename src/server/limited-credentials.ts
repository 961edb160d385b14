import { Code, type HandlerContext } from "@connectrpc/connect";
import { createDenial, principalKey } from "../security/index.ts";

/** Whether a caller's credentials are for a workflow: lists show nothing of others. */
export function isForWorkflow({ values }: Pick<HandlerContext, "values">, workflow: string): boolean {
  return values.get(principalKey).workflows?.has(workflow) !== false;
}

/**
 * Credentials that are limited to some workflows change nothing of others, whatever their level, and nothing that is the
 * whole server's, for which no workflow is given.
 *
 * @throws ConnectError PERMISSION_DENIED
 */
export function assertForWorkflow({ values }: Pick<HandlerContext, "values">, workflow: string | undefined): void {
  const { workflows, authentication } = values.get(principalKey);
  if (workflows === undefined || (workflow !== undefined && workflows.has(workflow))) return;
  const limited = `your ${authentication === "jwt" ? "token" : "key"} is limited to some workflows`;
  throw createDenial(
    Code.PermissionDenied,
    "CREDENTIALS_LIMITED",
    workflow === undefined
      ? `${limited}, and this changes more than those: use credentials without such a limit`
      : `${limited}, and ${workflow} is none of them: use credentials that are for it`,
  );
}
