import type { Message } from "@bufbuild/protobuf";
import type { Interceptor } from "@connectrpc/connect";
import { type AccessControl, principalKey } from "../../security/index.ts";
import { withCheckedMessages } from "./with-messages.ts";

/**
 * Lets a call through if its caller may make it, and puts what access rules give the caller into the call's context. A
 * condition on the request is asked before the request is validated, so that nobody learns rules by trying.
 */
export function authorize(access: AccessControl): Interceptor {
  return (next) => (request) => {
    try {
      const shown = request.contextValues.get(principalKey);
      const principal = access.effective(shown);
      if (principal !== shown) request.contextValues.set(principalKey, principal);
      const requirement = access.requirement(request.method);
      if (requirement.levelOnly && principal.level >= requirement.min && principal.workflows === undefined) {
        return next(request);
      }
      access.assertLevel(principal, requirement);
      if (requirement.condition !== undefined) {
        const traceparent = request.header.get("traceparent") ?? "";
        const check = (message: Message): void => access.assertCondition(principal, requirement, message, traceparent);
        if (request.stream) return next(withCheckedMessages(request, check));
        check(request.message);
      }
    } catch (error) {
      return Promise.reject(error);
    }
    return next(request);
  };
}
