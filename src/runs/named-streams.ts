import type { Journal, JournalRecord } from "./ports/journal.ts";

const pageSize = 500;

/** The names of all streams that begin with a prefix, page by page. */
export async function* streamsNamed(journal: Pick<Journal, "listStreams">, prefix: string): AsyncGenerator<string> {
  for (let after = ""; ; ) {
    const streams = await journal.listStreams(prefix, after, pageSize);
    yield* streams;
    after = streams.at(-1) ?? "";
    if (streams.length < pageSize) {
      return;
    }
  }
}

/** All records of a stream behind a sequence number, page by page. */
export async function* recordsOf(
  journal: Pick<Journal, "read">,
  stream: string,
  afterSequence = 0,
): AsyncGenerator<JournalRecord> {
  for (let after = afterSequence; ; ) {
    const records = await journal.read(stream, after, pageSize);
    yield* records;
    after = records.at(-1)?.sequence ?? after;
    if (records.length < pageSize) {
      return;
    }
  }
}
