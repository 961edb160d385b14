import type { ServiceImpl } from "@connectrpc/connect";
import type { AdminService } from "../../gen/retake/v1/admin_service_pb.js";
import { createAccessRuleAdmin } from "./admin/access-rules.ts";
import { apiKeyMethods } from "./admin/api-keys.ts";
import { createAuditAdmin } from "./admin/audit.ts";
import { breakerMethods } from "./admin/breakers.ts";
import { createFaultAdmin } from "./admin/faults.ts";
import { policyOverrides } from "./admin/policy-overrides.ts";
import { createQualityAdmin } from "./admin/quality-levels.ts";
import type { Authentication } from "./authentication.ts";
import type { Engine } from "./engine.ts";

/** `retake.v1.AdminService` over an engine: one file of `admin/` a topic. Requests have passed their rules. */
export function createAdminService(engine: Engine, authentication: Authentication): ServiceImpl<typeof AdminService> {
  return {
    ...apiKeyMethods(engine, authentication),
    ...createAccessRuleAdmin(engine),
    ...breakerMethods(engine),
    ...createAuditAdmin(engine),
    ...createFaultAdmin(engine),
    ...policyOverrides(engine),
    ...createQualityAdmin(engine),
  };
}
