import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.js";
import type { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { type ApiKey, ApiKeySchema, ListApiKeysRequestSchema } from "../../../gen/retake/v1/api_key_pb.js";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import { createError, msFromDuration, timestampFromMs } from "../../runs/index.ts";
import {
  type ApiKeyRecord,
  ApiKeyRefused,
  type ApiKeys,
  createDenial,
  type Principal,
  principalKey,
} from "../../security/index.ts";
import { peerKey } from "../../transport/index.ts";
import type { Authentication } from "../authentication.ts";
import type { Engine } from "../engine.ts";
import { ifStored } from "../if-stored.ts";
import { createPageToken, pageScope, parsePageToken } from "../page-token.ts";

const defaultPage = 100;
const defaultOverlapMs = 24 * 3_600_000;

type ApiKeyMethods = Pick<
  ServiceImpl<typeof AdminService>,
  "createApiKey" | "listApiKeys" | "rotateApiKey" | "revokeApiKey"
>;

/** The RPCs that make, show, replace and revoke API keys. */
export function apiKeyMethods(
  { clock }: Pick<Engine, "clock">,
  { apiKeys, adminKeyFile, audit }: Pick<Authentication, "apiKeys" | "adminKeyFile" | "audit">,
): ApiKeyMethods {
  const known = (): ApiKeys => {
    if (apiKeys !== undefined) return apiKeys;
    throw createError(
      Code.FailedPrecondition,
      "API_KEYS_DISABLED",
      "this server takes no API keys (security.api_keys.disabled in its configuration)",
    );
  };

  const shown = (record: ApiKeyRecord): ApiKey => apiKeyMessage(record, clock.now());

  /** Does something to keys, and has it recorded. */
  const recorded = async <T>(
    action: string,
    keyId: string,
    context: HandlerContext,
    act: (caller: Principal) => Promise<{ readonly result: T; readonly record: ApiKeyRecord }>,
  ): Promise<T> => {
    const principal = context.values.get(principalKey);
    const source = context.values.get(peerKey)?.address ?? "";
    try {
      const { result, record } = await ifStored(act(principal));
      const { subject, tenant, level } = record.principal;
      const details = { subject, tenant, level: AccessLevel[level], replaces: record.replaces };
      audit.record({ action, outcome: "granted", principal, resource: record.id, source, details });
      return result;
    } catch (error) {
      const refused = error instanceof ApiKeyRefused ? refusal(error, keyId) : error;
      const denied = refused instanceof ConnectError && refused.code === Code.PermissionDenied;
      audit.record({
        action,
        outcome: denied ? "denied" : "failed",
        principal,
        resource: keyId,
        source,
        reason: reasonOf(refused),
      });
      throw refused;
    }
  };

  const record = (keyId: string): ApiKeyRecord => {
    const found = known().get(keyId);
    if (found === undefined) throw new ApiKeyRefused("unknown");
    return found;
  };

  return {
    createApiKey: (request, context) =>
      recorded("key.create", "", context, async (caller) => {
        const init = {
          label: request.label,
          tenant: request.tenant || caller.tenant,
          subject: request.subject,
          level: request.level || AccessLevel.AUTHENTICATED,
          groups: request.groups,
          workflows: request.workflows.length === 0 ? [...(caller.workflows ?? [])] : request.workflows,
        };
        assertWithin(caller, init);
        assertOwnSubject(caller, init);
        const made = await known().create({
          ...init,
          requestedBy: caller.subject,
          ...(request.ttl === undefined ? {} : { ttlMs: msFromDuration(request.ttl) }),
        });
        return { result: { key: made.text, apiKey: shown(made.record) }, record: made.record };
      }),

    listApiKeys({ pageSize, pageToken, subject, includeEnded }, { values }) {
      const caller = values.get(principalKey);
      const scope = pageScope(ListApiKeysRequestSchema, create(ListApiKeysRequestSchema, { subject, includeEnded }));
      const limit = pageSize || defaultPage;
      const after = pageToken === "" ? "" : String(parsePageToken(pageToken, scope));
      const nowMs = clock.now();
      const rest = known()
        .list()
        .filter((each) => each.id > after && (subject === "" || each.principal.subject === subject))
        .filter((each) => includeEnded || each.endedMs(nowMs) === undefined)
        .filter((each) => beyondOf(caller, grantOf(each)) === undefined);
      const page = rest.slice(0, limit);
      const last = page.at(-1);
      return {
        apiKeys: page.map(shown),
        nextPageToken: rest.length > limit && last !== undefined ? createPageToken(last.id, scope) : "",
      };
    },

    rotateApiKey: ({ keyId, overlap, ttl }, context) =>
      recorded("key.rotate", keyId, context, async (caller) => {
        const grant = grantOf(record(keyId));
        assertWithin(caller, grant);
        assertOwnSubject(caller, grant);
        const made = await known().rotate(keyId, {
          overlapMs: overlap === undefined ? defaultOverlapMs : msFromDuration(overlap),
          requestedBy: caller.subject,
          ...(ttl === undefined ? {} : { ttlMs: msFromDuration(ttl) }),
        });
        await adminKeyFile?.replace(keyId, made.text);
        const result = { key: made.text, apiKey: shown(made.record), replaced: shown(made.replaced) };
        return { result, record: made.record };
      }),

    revokeApiKey: ({ keyId, force, reason }, context) =>
      recorded("key.revoke", keyId, context, async (caller) => {
        assertWithin(caller, grantOf(record(keyId)));
        const revoked = await known().revoke(keyId, { requestedBy: caller.subject, reason, force });
        await adminKeyFile?.replace(keyId, undefined);
        return { result: { apiKey: shown(revoked) }, record: revoked };
      }),
  };
}

/** What a key gives to those who show it. */
interface Grant {
  readonly tenant: string;
  readonly subject: string;
  readonly level: AccessLevel;
  readonly groups: readonly string[];
  /** Empty for all. */
  readonly workflows: readonly string[];
}

function grantOf({ principal }: ApiKeyRecord): Grant {
  return { ...principal, workflows: [...(principal.workflows ?? [])] };
}

/** Nobody gives, or takes, more than they have. @throws ConnectError PERMISSION_DENIED */
function assertWithin(caller: Principal, grant: Grant): void {
  const beyond = beyondOf(caller, grant);
  if (beyond === undefined) return;
  throw createDenial(Code.PermissionDenied, "BEYOND_CALLER", `such a key is one of ${beyond}`);
}

/** What such a key has that a caller has not; undefined where there is nothing. */
function beyondOf(caller: Principal, { tenant, level, groups, workflows }: Grant): string | undefined {
  if (level > caller.level) return `level ${AccessLevel[level]}, and you have ${AccessLevel[caller.level]}`;
  if (!isUnlimitedAdmin(caller)) {
    if (tenant !== caller.tenant) return `tenant ${tenant}, and you are of ${caller.tenant}`;
    if (groups.some((group) => !caller.groups.includes(group))) return "a group that you are not in";
  }
  const own = caller.workflows;
  if (own === undefined || (workflows.length > 0 && workflows.every((name) => own.has(name)))) return undefined;
  return "workflows that your own key is not for";
}

/** Runs and access rules go by the subject: a key of another one would be what they have. @throws ConnectError */
function assertOwnSubject(caller: Principal, { subject }: Pick<Grant, "subject">): void {
  if (isUnlimitedAdmin(caller) || subject === caller.subject) return;
  throw createDenial(
    Code.PermissionDenied,
    "BEYOND_CALLER",
    `such a key is one of the subject ${subject}, and you are ${caller.subject}: only ADMIN, not limited to some workflows, makes keys for others`,
  );
}

/** What belongs to a subject is not all of the workflows that a key is for: artifacts, for instance. */
function isUnlimitedAdmin({ level, workflows }: Principal): boolean {
  return level >= AccessLevel.ADMIN && workflows === undefined;
}

function reasonOf(error: unknown): string {
  const [info] = error instanceof ConnectError ? error.findDetails(ErrorInfoSchema) : [];
  return info?.reason ?? "INTERNAL";
}

function refusal({ reason }: ApiKeyRefused, keyId: string): ConnectError {
  const named = JSON.stringify(keyId);
  switch (reason) {
    case "unknown":
      return createError(Code.NotFound, "API_KEY_NOT_FOUND", `there is no API key ${named}; ListApiKeys has their ids`);
    case "ended":
      return createError(
        Code.FailedPrecondition,
        "API_KEY_ENDED",
        `the API key ${named} is revoked or expired: make a new one`,
      );
    case "replaced":
      return createError(
        Code.FailedPrecondition,
        "API_KEY_ENDED",
        `the API key ${named} has been replaced already: rotate the one in its place, or make a new one`,
      );
    case "last_admin":
      return createError(
        Code.FailedPrecondition,
        "LAST_ADMIN_KEY",
        `the API key ${named} is the last one of level ADMIN: make another first, or force it`,
      );
    case "too_many":
      return createError(
        Code.ResourceExhausted,
        "TOO_MANY_API_KEYS",
        "there are as many API keys as a server keeps; those that ended more than 90 days ago go at the next start",
      );
  }
}

function apiKeyMessage(record: ApiKeyRecord, nowMs: number): ApiKey {
  const { id, label, principal, createdMs, createdBy, usableUntilMs, lastUsedMs, replaces, replacedBy, revoked } =
    record;
  // A key that is revoked goes on telling when it would have expired.
  const expiresMs = revoked === undefined ? usableUntilMs : record.expiresMs;
  return create(ApiKeySchema, {
    ...{ keyId: id, label, createdBy, replaces, replacedBy },
    tenant: principal.tenant,
    subject: principal.subject,
    level: principal.level,
    groups: [...principal.groups],
    workflows: [...(principal.workflows ?? [])],
    state: record.state(nowMs),
    createTime: timestampFromMs(createdMs),
    ...(expiresMs === undefined || expiresMs === Number.POSITIVE_INFINITY
      ? {}
      : { expireTime: timestampFromMs(expiresMs) }),
    ...(lastUsedMs === 0 ? {} : { lastUseTime: timestampFromMs(lastUsedMs) }),
    ...(revoked && {
      revokeTime: timestampFromMs(revoked.atMs),
      revokedBy: revoked.by,
      revokeReason: revoked.reason,
    }),
  });
}
