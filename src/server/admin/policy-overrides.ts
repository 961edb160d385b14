import { create, toBinary } from "@bufbuild/protobuf";
import { Code, type ConnectError, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import { BadRequestSchema } from "../../../gen/google/rpc/error_details_pb.js";
import type { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { type WorkflowPolicy, WorkflowPolicySchema } from "../../../gen/retake/v1/options_pb.js";
import {
  ListPolicyOverridesRequestSchema,
  type PolicyOverride,
  PolicyOverrideSchema,
} from "../../../gen/retake/v1/policy_override_pb.js";
import type { ContractProblem } from "../../contract/index.ts";
import { createError, type StoredOverride, timestampFromMs } from "../../runs/index.ts";
import { callFields } from "../call-metadata.ts";
import type { Engine } from "../engine.ts";
import { assertForWorkflow, isForWorkflow } from "../limited-credentials.ts";
import { type Change, ChangeRefused } from "../overridden-policies.ts";
import { ownerOf } from "../owner-of.ts";
import { createPageToken, pageScope, parsePageToken } from "../page-token.ts";
import { workflowNamed } from "../workflow-named.ts";

const defaultPageSize = 50;

/** A policy of every field at its limits is a fraction of this. */
const mostPolicyBytes = 64 * 1024;

/** The RPCs that override policies while the server runs. */
export function policyOverrides(
  engine: Engine,
): Pick<ServiceImpl<typeof AdminService>, "listPolicyOverrides" | "setPolicyOverride" | "deletePolicyOverride"> {
  const { policies, contracts } = engine;

  const shown = ({ workflow, policy, revision, setBy, setMs, reason }: StoredOverride): PolicyOverride => {
    const known = contracts.workflows.get(workflow);
    return create(PolicyOverrideSchema, {
      ...{ workflow, policy, setBy, reason },
      revision: BigInt(revision),
      setTime: timestampFromMs(setMs),
      problems: [...policies.problemsOf(workflow)],
      ...(known !== undefined && { effectivePolicy: known.declared, policyRevision: known.policyRevision }),
    });
  };

  return {
    listPolicyOverrides({ workflow, pageSize, pageToken }, context) {
      const scope = pageScope(ListPolicyOverridesRequestSchema, create(ListPolicyOverridesRequestSchema, { workflow }));
      const limit = pageSize || defaultPageSize;
      const after = pageToken === "" ? "" : String(parsePageToken(pageToken, scope));
      const rest = policies
        .list()
        .filter((each) => each.workflow > after && (workflow === "" || each.workflow === workflow))
        .filter((each) => isForWorkflow(context, each.workflow));
      const page = rest.slice(0, limit);
      const last = page.at(-1);
      return {
        overrides: page.map(shown),
        nextPageToken: rest.length > limit && last !== undefined ? createPageToken(last.workflow, scope) : "",
      };
    },

    async setPolicyOverride({ workflow, policy, expectedRevision, reason }, context) {
      assertForWorkflow(context, workflow);
      const given = assertPolicy(policy);
      assertWithinLimits(context, given);
      try {
        const stored = await policies.set(
          { ...changeOf({ workflow, reason }, context), ...revisionOf(expectedRevision) },
          given,
        );
        return { override: shown(stored) };
      } catch (error) {
        if (!(error instanceof ChangeRefused)) {
          throw error;
        }
        if (error.refusal.kind === "invalid") {
          throw invalidPolicy(workflow, error.refusal.problems);
        }
        workflowNamed(engine, workflow);
        throw error;
      }
    },

    async deletePolicyOverride({ workflow, expectedRevision, reason }, context) {
      assertForWorkflow(context, workflow);
      try {
        const deleted = await policies.delete({
          ...changeOf({ workflow, reason }, context),
          ...revisionOf(expectedRevision),
        });
        return { override: shown(deleted) };
      } catch (error) {
        if (error instanceof ChangeRefused) {
          throw createError(
            Code.NotFound,
            "NO_OVERRIDE",
            `the policy of ${JSON.stringify(workflow)} is not overridden at run time; ListPolicyOverrides tells which are`,
          );
        }
        throw error;
      }
    },
  };
}

function changeOf(
  { workflow, reason }: { readonly workflow: string; readonly reason: string },
  context: HandlerContext,
): Omit<Change, "expectedRevision"> {
  return { workflow, reason, requestedBy: ownerOf(context).subject, call: callFields(context) };
}

function revisionOf(expected: bigint | undefined): { readonly expectedRevision: number | undefined } {
  return { expectedRevision: expected === undefined ? undefined : Number(expected) };
}

function assertPolicy(policy: WorkflowPolicy | undefined): WorkflowPolicy {
  if (policy === undefined) {
    throw badRequest("invalid SetPolicyOverrideRequest", [
      { field: "policy", description: "is required; an empty one overrides nothing" },
    ]);
  }
  if (toBinary(WorkflowPolicySchema, policy).length > mostPolicyBytes) {
    throw badRequest("invalid SetPolicyOverrideRequest", [
      { field: "policy", description: `is larger than ${mostPolicyBytes} bytes` },
    ]);
  }
  return policy;
}

/**
 * A policy reaches further than its workflow: fallbacks run by the right of whoever called, and the server itself posts to
 * whom it notifies.
 *
 * @throws ConnectError PERMISSION_DENIED
 */
function assertWithinLimits(
  context: HandlerContext,
  { fallbacks, notify, clear }: Pick<WorkflowPolicy, "fallbacks" | "notify" | "clear">,
): void {
  for (const fallback of fallbacks) assertForWorkflow(context, fallback);
  const isNotify = (path: string): boolean => path.split(".", 1)[0] === "notify";
  if (notify !== undefined || clear.some(isNotify)) assertForWorkflow(context, undefined);
}

function invalidPolicy(workflow: string, problems: readonly ContractProblem[]): ConnectError {
  return badRequest(
    `the policy of ${workflow} cannot be overridden like this`,
    problems.map(({ where, field, message }) =>
      where === workflow && field !== undefined
        ? { field: `policy.${field}`, description: withoutField(message, field) }
        : { field: "policy", description: where === workflow ? message : `${where}: ${message}` },
    ),
  );
}

/** A problem of the contracts names its field itself. */
function withoutField(message: string, field: string): string {
  const at = message.indexOf(`${field}: `);
  return at < 0 ? message : message.slice(at + field.length + 2);
}

/** Details travel as metadata, of which some clients take 8 KiB in all. */
const mostViolations = 20;

/** What people read in a terminal. */
const violationsInMessage = 5;

function badRequest(
  what: string,
  violations: readonly { readonly field: string; readonly description: string }[],
): ConnectError {
  const more = violations.length - violationsInMessage;
  const told = violations.slice(0, mostViolations).map(({ field, description }) => ({
    field: field.slice(0, 256),
    description: description.slice(0, 512),
  }));
  const shown = told.slice(0, violationsInMessage).map(({ field, description }) => `${field}: ${description}`);
  const error = createError(
    Code.InvalidArgument,
    "INVALID_POLICY",
    `${what}: ${shown.join("; ")}${more > 0 ? `; and ${more} more` : ""}`,
  );
  error.details.push({
    desc: BadRequestSchema,
    value: { fieldViolations: told },
  });
  return error;
}
