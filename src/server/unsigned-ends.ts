import type { ResolvedWebhooks } from "../config/index.ts";
import type { ContractProblem, ReadContracts } from "../contract/index.ts";

/** Workflows whose ends are told to others, while nothing signs that: nobody can trust what nobody signs. */
export function unsignedEnds(
  { workflows }: Pick<ReadContracts, "workflows">,
  { secrets }: Pick<ResolvedWebhooks, "secrets">,
): readonly ContractProblem[] {
  if (secrets.length > 0) {
    return [];
  }
  return [...workflows.values()]
    .filter(({ policy }) => policy.notify !== undefined)
    .map(({ name }) => ({
      where: name,
      field: "notify.url",
      message:
        `notify.url: the ends of its runs would be told to others, and nothing signs that: make a secret with ` +
        `"retake webhook secret", and name where it is in the configuration, webhooks: { secrets: [{ environment: RETAKE_WEBHOOK_SECRET }] }`,
    }));
}
