import type { ServiceImpl } from "@connectrpc/connect";
import type { AdminService } from "../../gen/retake/v1/admin_service_pb.js";
import { createAuditAdmin } from "./admin/audit.ts";
import { breakerMethods } from "./admin/breakers.ts";
import { createFaultAdmin } from "./admin/faults.ts";
import { policyOverrides } from "./admin/policy-overrides.ts";
import { createQualityAdmin } from "./admin/quality-levels.ts";
import type { Engine } from "./engine.ts";

/** `retake.v1.AdminService` over an engine: one file of `admin/` a topic. Requests have passed their rules. */
export function createAdminService(engine: Engine): ServiceImpl<typeof AdminService> {
  return {
    ...breakerMethods(engine),
    ...createAuditAdmin(engine),
    ...createFaultAdmin(engine),
    ...policyOverrides(engine),
    ...createQualityAdmin(engine),
  };
}
