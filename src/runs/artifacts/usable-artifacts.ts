import type { Artifacts } from "../ports/artifacts.ts";
import type { RunOwner } from "../ports/journal.ts";
import { unknownArtifacts } from "./problems.ts";

export interface Use {
  /** Whether artifacts of this owner may be used. */
  mayUse(owner: RunOwner): boolean;
  /** A run whose artifacts may be used whoever owns them, since it was allowed to. */
  readonly keeper?: string | undefined;
}

/** Of a run's artifacts, looked through at a time. */
const page = 500;

/** Artifacts that must not be used are as unknown as those that do not exist. @throws ArtifactError naming all of them */
export async function assertUsable(
  artifacts: Pick<Artifacts, "get" | "list">,
  ids: readonly string[],
  { mayUse, keeper }: Use,
): Promise<void> {
  const unusable: string[] = [];
  for (const id of ids) {
    const artifact = await artifacts.get(id);
    const usable = artifact !== undefined && (mayUse(artifact.owner) || (await isKept(artifacts, id, keeper)));
    if (!usable) unusable.push(id);
  }
  if (unusable.length > 0) throw unknownArtifacts(unusable);
}

export function ownedBy({ tenant, subject }: RunOwner): (owner: RunOwner) => boolean {
  return (owner) => owner.subject === subject && owner.tenant === tenant;
}

async function isKept(artifacts: Pick<Artifacts, "list">, id: string, runId: string | undefined): Promise<boolean> {
  if (runId === undefined) return false;
  for (let beforePosition = Number.MAX_SAFE_INTEGER; ; ) {
    const rows = await artifacts.list({ runId }, { limit: page, beforePosition });
    if (rows.some(({ artifact }) => artifact.id === id)) return true;
    beforePosition = rows.at(-1)?.position ?? 0;
    if (rows.length < page) return false;
  }
}
