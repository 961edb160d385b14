import type { Journal, RunFilter, RunIndexRow } from "./ports/journal.ts";

const pageSize = 500;

/** The runs that a filter lets through, newest first, page by page: the next one is asked for when it is wanted. */
export async function* runPages(
  journal: Pick<Journal, "listRuns">,
  filter: RunFilter,
): AsyncGenerator<readonly RunIndexRow[], void, undefined> {
  let beforePosition: number | undefined;
  for (;;) {
    const rows = await journal.listRuns(filter, {
      limit: pageSize,
      ...(beforePosition !== undefined && { beforePosition }),
    });
    yield rows;
    beforePosition = rows.at(-1)?.position;
    if (rows.length < pageSize) {
      return;
    }
  }
}
