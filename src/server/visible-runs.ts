import { Code, type ConnectError, type HandlerContext } from "@connectrpc/connect";
import type { Accepted } from "../../gen/retake/v1/run_pb.js";
import {
  createError,
  type LiveRun,
  type RunFilter,
  type RunIndexRow,
  type RunOwner,
  unknownRun,
} from "../runs/index.ts";
import {
  createDenial,
  isAnonymous,
  type Principal,
  principalKey,
  type Reader,
  reachOf,
  sees,
} from "../security/index.ts";
import type { Engine } from "./engine.ts";
import { released } from "./shown-run.ts";

/** Uses a run that the caller sees. @throws ConnectError NOT_FOUND for others, as for those that do not exist */
export async function withVisibleRun<T>(
  engine: Engine,
  { values }: Pick<HandlerContext, "values">,
  runId: string,
  use: (run: LiveRun) => Promise<T>,
): Promise<T> {
  const id = runId.toLowerCase();
  const run = await engine.live.hold(id);
  if (run === undefined) {
    throw unknownRun(id);
  }
  return released(engine, run, async () => {
    if (!seesRun(values.get(principalKey), run.record.accepted)) {
      throw unknownRun(id);
    }
    return use(run);
  });
}

/** Credentials that are limited to some workflows show no runs of others. */
export function seesRun(principal: Principal, { owner, workflow }: Pick<Accepted, "owner" | "workflow">): boolean {
  return sees(principal, owner) && principal.workflows?.has(workflow) !== false;
}

/** Whether a caller, who saw a run when the call began, does so now. */
export function stillSees(engine: Engine, principal: Principal, accepted: Accepted): boolean {
  return seesRun(engine.access.effective(principal), accepted);
}

export function accessLost({ runId }: Accepted): ConnectError {
  return createDenial(
    Code.PermissionDenied,
    "ACCESS_LOST",
    `you may not see run ${runId} any more: the access rules have changed`,
  );
}

/** The runs that match and that the caller sees, newest first: `journal.listRuns` with the caller's reach in the query. */
export async function listVisibleRuns(
  { journal }: Engine,
  principal: Principal,
  filter: RunFilter,
  page: { readonly limit: number; readonly beforePosition?: number },
): Promise<readonly RunIndexRow[]> {
  assertSomebody(principal, "runs");
  const reach = withinReach(principal, filter.owner);
  if (reach === undefined) return [];
  const within: RunFilter = { ...filter, ...reach };
  const { workflows } = principal;
  if (workflows === undefined) return journal.listRuns(within, page);
  if (filter.workflow !== undefined) return workflows.has(filter.workflow) ? journal.listRuns(within, page) : [];
  const lists = await Promise.all(Array.from(workflows, (workflow) => journal.listRuns({ ...within, workflow }, page)));
  return lists
    .flat()
    .sort((a, b) => b.position - a.position)
    .slice(0, page.limit);
}

/** The newest run with a key, if the caller sees it and it matches the rest of the filter as well. */
export async function visibleRunByKey(
  { journal }: Engine,
  principal: Principal,
  filter: RunFilter,
  key: string,
): Promise<readonly RunIndexRow[]> {
  assertSomebody(principal, "runs");
  const { tenant, subject } = principal;
  const owner = filter.owner ?? { tenant, subject };
  const workflow = filter.workflow ?? "";
  if (!seesRun(principal, { owner: { $typeName: "retake.v1.Owner", ...owner }, workflow })) return [];
  const found = await journal.findRunByKey(owner, workflow, key);
  if (found === undefined) return [];
  const rows = await journal.listRuns({ ...filter, owner }, { limit: 1, beforePosition: found.position + 1 });
  return rows.filter(({ runId }) => runId === found.runId);
}

/** The owners that a caller asks for and sees; undefined when it sees none of them. */
export function withinReach(
  principal: Reader,
  owner: RunOwner | undefined,
): { readonly owner?: RunOwner; readonly tenant?: string } | undefined {
  if (owner === undefined) return reachOf(principal);
  return sees(principal, owner) ? { owner } : undefined;
}

/** @throws ConnectError UNAUTHENTICATED for callers who share what they have with all others without credentials */
export function assertSomebody(principal: Principal, things: "runs" | "artifacts"): void {
  if (isAnonymous(principal)) {
    throw createDenial(
      Code.Unauthenticated,
      "CREDENTIALS_MISSING",
      `callers without credentials cannot list ${things}, since they are all one owner: keep the ids, or show credentials`,
    );
  }
}

/** With its dashes or without. */
const uuid = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i;

/** What names something of its owner's must be a secret where everybody is that owner. @throws ConnectError */
export function assertOwnName(principal: Principal, name: string, what: "idempotency key" | "upload_id"): void {
  if (name !== "" && isAnonymous(principal) && !uuid.test(name)) {
    throw createError(
      Code.InvalidArgument,
      "KEY_NO_UUID",
      `callers without credentials are all one owner, so that their ${what} must be one that nobody guesses: a random UUID, and not ${JSON.stringify(name.slice(0, 64))}`,
    );
  }
}
