import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import type { Run } from "../../gen/retake/v1/run_pb.js";
import type { ListRunsRequestSchema, RunService } from "../../gen/retake/v1/run_service_pb.js";

/** Which runs are listed: the fields of ListRunsRequest. `pageSize` is how many are fetched at a time, 50 by default. */
export type RunFilter = Omit<MessageInitShape<typeof ListRunsRequestSchema>, "$typeName" | "$unknown" | "pageToken">;

/** Runs in a basic view, newest first, page by page as they are read. */
export async function* listRuns(
  runs: Client<typeof RunService>,
  filter: RunFilter,
  options: { readonly signal?: AbortSignal; readonly timeoutMs: number },
): AsyncGenerator<Run, void, undefined> {
  let pageToken = "";
  do {
    const page = await runs.listRuns({ ...filter, pageToken }, options);
    yield* page.runs;
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
}
