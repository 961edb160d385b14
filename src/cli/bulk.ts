import { create } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
import { RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import type { Run } from "../../gen/retake/v1/run_pb.js";
import { type RunFilter, RunFilterSchema } from "../../gen/retake/v1/run_service_pb.js";
import type { Arguments } from "./arguments.ts";
import { UsageError } from "./cli-error.ts";
import type { Flags } from "./command.ts";
import type { Connection } from "./connection.ts";
import { counted } from "./display/event-text.ts";
import { runColumns } from "./display/run-columns.ts";
import { tableLines } from "./display/table.ts";
import { durationMs } from "./display/times.ts";
import { type CliIo, writeLines } from "./io.ts";
import { filterFlags, hasFilter, parseFilter, workflowOf } from "./run-filter.ts";

/** For commands that mean one run, or all that a filter names. */
export const bulkFlags: Flags = {
  ...filterFlags,
  yes: { short: "y", description: "With a filter: do it. Without it, only what would be done is shown" },
};

/** Whether a filter is given instead of a run. @throws UsageError when both are, or neither is */
export function isBulk(given: Arguments): boolean {
  const one = given.positional("RUN_ID") !== "";
  if (one && (hasFilter(given) || given.has("yes"))) {
    throw new UsageError("give a RUN_ID or a filter (--workflow, --state, …), not both");
  }
  if (!one && !hasFilter(given)) {
    throw new UsageError("RUN_ID is missing: name a run, or say which ones by --workflow, --state, --since, …");
  }
  return !one;
}

/** What one page of a bulk has brought. */
export interface BulkPage {
  readonly matched: number;
  readonly sample: readonly Run[];
  readonly nextPageToken: string;
}

export interface BulkTotal<Page extends BulkPage> {
  readonly matched: number;
  readonly sample: readonly Run[];
  readonly pages: readonly Page[];
}

/** The filter of a command line. */
export async function bulkFilter(given: Arguments, connection: Connection, io: CliIo): Promise<RunFilter> {
  const { states, createdSince, createdBefore, parentRunId, owner } = parseFilter(given, io);
  return create(RunFilterSchema, {
    ...(states === undefined ? {} : { states }),
    ...(createdSince === undefined ? {} : { createdSince }),
    ...(createdBefore === undefined ? {} : { createdBefore }),
    ...(parentRunId === undefined ? {} : { parentRunId }),
    ...(owner === undefined ? {} : { owner }),
    ...(await workflowOf(given, connection.retake, io)),
  });
}

const longestSample = 10;

/** Makes all pages, one after the other, each again when the server asks to wait. */
export async function allPages<Page extends BulkPage>(
  page: (pageToken: string) => Promise<Page>,
  io: CliIo,
): Promise<BulkTotal<Page>> {
  const pages: Page[] = [];
  const sample: Run[] = [];
  let matched = 0;
  for (let pageToken = ""; ; ) {
    const next = await patiently(() => page(pageToken), io);
    pages.push({ ...next, sample: [] });
    sample.push(...next.sample.slice(0, longestSample - sample.length));
    matched += next.matched;
    pageToken = next.nextPageToken;
    if (pageToken === "") return { matched, sample, pages };
  }
}

/** A full queue empties, and a server that stops has a successor: it says how long that takes. */
async function patiently<T>(call: () => Promise<T>, { clock, signal }: CliIo): Promise<T> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      const [advice] = error instanceof ConnectError ? error.findDetails(RetryInfoSchema) : [];
      if (advice?.retryDelay === undefined || signal.aborted) throw error;
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = clock.setTimeout(resolve, durationMs(advice.retryDelay));
      signal.addEventListener("abort", () => resolve(), { once: true });
      await promise;
      timer.cancel();
      signal.throwIfAborted();
    }
  }
}

/** Shows what would be done. */
export function tellDryRun({ matched, sample }: BulkTotal<BulkPage>, what: string, io: CliIo): void {
  if (matched === 0) {
    writeLines(io.stderr, "No runs match.");
    return;
  }
  const width = io.isTTY ? io.columns : Number.POSITIVE_INFINITY;
  writeLines(io.stdout, ...tableLines(runColumns(io.clock.now()), sample, width));
  if (matched > sample.length) writeLines(io.stdout, `… and ${matched - sample.length} more`);
  writeLines(io.stderr, `${counted(matched, "run")} would be ${what}. To do it, add --yes.`);
}
