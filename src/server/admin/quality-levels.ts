import { create } from "@bufbuild/protobuf";
import { Code, type ServiceImpl } from "@connectrpc/connect";
import type { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { Quality } from "../../../gen/retake/v1/options_pb.js";
import {
  ListQualityLevelsRequestSchema,
  type QualityLevel,
  QualityLevelSchema,
} from "../../../gen/retake/v1/quality_level_pb.js";
import { createError, msFromDuration, type QualityStatus, timestampFromMs } from "../../runs/index.ts";
import type { Engine } from "../engine.ts";
import { ifStored } from "../if-stored.ts";
import { assertForWorkflow, isForWorkflow } from "../limited-credentials.ts";
import { ownerOf } from "../owner-of.ts";
import { createPageToken, pageScope, parsePageToken } from "../page-token.ts";
import { workflowNamed } from "../workflow-named.ts";

const defaultPage = 100;

type QualityAdmin = Pick<ServiceImpl<typeof AdminService>, "listQualityLevels" | "setQualityLevel">;

/** How much of their requests runs ask for. */
export function createQualityAdmin(engine: Engine): QualityAdmin {
  const { qualityLevels } = engine;
  return {
    async listQualityLevels({ pageSize, pageToken }, context) {
      const scope = pageScope(ListQualityLevelsRequestSchema, create(ListQualityLevelsRequestSchema));
      const limit = pageSize || defaultPage;
      const after = pageToken === "" ? "" : String(parsePageToken(pageToken, scope));
      const rest = [...engine.contracts.workflows.values()].filter(
        ({ name, degradable }) => degradable && name > after && isForWorkflow(context, name),
      );
      const page = rest.slice(0, limit);
      const last = page.at(-1);
      return {
        levels: page.map(({ name }) => qualityLevel(qualityLevels.status(name))),
        nextPageToken: rest.length > limit && last !== undefined ? createPageToken(last.name, scope) : "",
      };
    },

    async setQualityLevel({ workflow, level, holdFor, reason }, context) {
      assertForWorkflow(context, workflow);
      const { name, degradable } = workflowNamed(engine, workflow);
      if (!degradable) {
        throw createError(
          Code.FailedPrecondition,
          "NOT_DEGRADABLE",
          `nothing says what a lower quality of ${name} is: mark fields of its request with (retake.v1.quality), or declare \`quality\` in its policy for a handler that goes by it`,
        );
      }
      const { min } = qualityLevels.status(name);
      if (level < min) {
        throw createError(
          Code.FailedPrecondition,
          "BELOW_MIN_QUALITY",
          `the policy of ${name} lets its quality go no lower than ${Quality[min]} (quality.min), and ${Quality[level]} is lower`,
        );
      }
      const status = await ifStored(
        qualityLevels.set(name, {
          level,
          requestedBy: ownerOf(context).subject,
          reason,
          ...(holdFor === undefined ? {} : { holdForMs: msFromDuration(holdFor) }),
        }),
      );
      return { level: qualityLevel(status) };
    },
  };
}

/** How much of their requests the runs of a workflow ask for, for those who ask. */
export function qualityLevel(status: QualityStatus): QualityLevel {
  const { workflow, level, min, cause, reason, setBy, heldAt, sinceMs, heldUntilMs, risesMs } = status;
  return create(QualityLevelSchema, {
    workflow,
    level,
    min,
    cause,
    reason,
    setBy,
    ...(heldAt === undefined ? {} : { heldAt }),
    ...(sinceMs === undefined ? {} : { sinceTime: timestampFromMs(sinceMs) }),
    ...(heldUntilMs === undefined ? {} : { holdExpireTime: timestampFromMs(heldUntilMs) }),
    ...(risesMs === undefined ? {} : { riseTime: timestampFromMs(risesMs) }),
  });
}
