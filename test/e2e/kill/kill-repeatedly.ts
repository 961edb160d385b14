import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect } from "vitest";
import { createSeededRandom } from "../../../src/testing/index.ts";
import { connect } from "../connection.ts";
import { readMarks } from "../marks.ts";
import { createServerSite } from "../server-process.ts";
import { eventsOf, readJournals, stepsOf } from "./journals.ts";
import { Lives } from "./lives.ts";
import { Load } from "./load.ts";
import { verifyChildren, verifyEnds, verifyJournals, verifyMarks, verifyTold, verifyWatched } from "./verify.ts";

const clients = 24;

/** What a server went through, so that a test can say that it was not spared. */
export interface Ordeal {
  readonly kills: { readonly starting: number; readonly serving: number };
  readonly runs: number;
  /** Attempts that a kill has interrupted. */
  readonly interruptions: number;
  /** Runs that were interrupted between their steps, and went on with the next. */
  readonly resumedBetweenSteps: number;
  /** Watches that were cut off and went on behind the last event that they had seen. */
  readonly watchesResumed: number;
  readonly keyedAnswers: number;
}

/** Kills a server under load so many times at random moments, and shows that it has kept every promise. */
export async function killRepeatedly(kills: number, seed: number): Promise<Ordeal> {
  await using site = await createServerSite({ longestWorkMs: 25 });
  await using lives = new Lives(site, createSeededRandom(seed));
  const load = new Load(lives, createSeededRandom(seed + 1));
  const loaded = load.run(clients);
  // Whichever of the two fails first tells why.
  await Promise.race([lives.endure(kills), loaded.then(() => Promise.reject(new Error("the load ended by itself")))]);
  load.finish();
  await loaded;

  using connection = connect(site.grpcPort);
  const { told } = load;
  for (const call of told.calls.values()) {
    call.answers.push(await call.again(connection));
  }
  const journals = await readJournals(connection);
  verifyJournals(journals);
  verifyEnds(journals);
  verifyTold(journals, told);
  verifyWatched(journals, told);
  verifyMarks(journals, readMarks(site.marksPath));
  verifyChildren(journals);
  expect(await lives.stop()).toEqual({ code: 0, signal: null });
  using database = new DatabaseSync(join(site.dataDirectory, "retake.db"), { readOnly: true });
  expect(database.prepare("PRAGMA integrity_check").all()).toEqual([{ integrity_check: "ok" }]);

  const all = [...journals.values()];
  return {
    kills: { ...lives.kills },
    runs: all.length,
    interruptions: all.flatMap((journal) => eventsOf(journal, "attemptFailed").filter(({ counted }) => !counted))
      .length,
    resumedBetweenSteps: all.filter((journal) => new Set(stepsOf(journal).map(({ attempt }) => attempt)).size > 1)
      .length,
    watchesResumed: told.watched.reduce((sum, { resumed }) => sum + resumed, 0),
    keyedAnswers: told.calls.values().reduce((sum, { answers }) => sum + answers.length, 0),
  };
}
