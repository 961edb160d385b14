import type { Workflow } from "../../gen/retake/v1/run_service_pb.js";
import type { RetakeClient } from "../client/index.ts";
import { suggestion } from "../nearest-name.ts";
import { CliError, UsageError } from "./cli-error.ts";
import { ExitCode } from "./exit-code.ts";

/** All workflows of a server, by name. */
export async function* listWorkflows(retake: RetakeClient, signal: AbortSignal): AsyncGenerator<Workflow> {
  let pageToken = "";
  do {
    const page = await retake.runs.listWorkflows({ pageToken, pageSize: 1000 }, { signal });
    yield* page.workflows;
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
}

/**
 * The full name of a workflow: `package.Service/Method` as it is; of `Service/Method` or `Method` alone the one whose
 * name ends like that. @throws CliError when none does, or several do
 */
export async function findWorkflow(name: string, retake: RetakeClient, signal: AbortSignal): Promise<string> {
  const plain = name.replace(/^\//, "");
  if (/^[^/]+\.[^/]+\/[^/]+$/.test(plain)) return plain;
  const known: string[] = [];
  for await (const { workflow } of listWorkflows(retake, signal)) known.push(workflow);
  const matching = known.filter((each) => each === plain || each.endsWith(`.${plain}`) || each.endsWith(`/${plain}`));
  const [match] = matching;
  if (match === undefined) {
    const ends = known.flatMap((each) => [each, each.slice(each.indexOf("/") + 1)]);
    throw new CliError(
      `there is no workflow "${plain}".${suggestion(plain, ends)}\nSee what there is: retake workflows`,
      ExitCode.notFound,
    );
  }
  if (matching.length > 1) throw new UsageError(`"${plain}" may be ${matching.join(" or ")}: write the whole name`);
  return match;
}
