import { createHash } from "node:crypto";
import { act } from "./actors/index.ts";
import { probeRoom } from "./actors/prober.ts";
import { invariants } from "./invariants/index.ts";
import type { Plan } from "./plan/plan.ts";
import { type History, readHistory } from "./world/history.ts";
import { settled } from "./world/seeded-clock.ts";
import type { Invariant } from "./world/witness.ts";
import { type Finding, World } from "./world/world.ts";

/** What came of a simulation. */
export interface Report {
  /** What did not hold; undefined when everything did. */
  readonly finding: Finding | undefined;
  readonly history: History;
  /** The SHA-256 of all journals, in hex. */
  readonly digest: string;
  readonly commits: number;
}

/** More pieces of work than any plan needs: something asks for more without end. */
const endlessAfter = 300_000;

/** Lets a plan happen, in virtual time. */
export async function simulate(plan: Plan, watchOver: readonly Invariant[] = invariants): Promise<Report> {
  const world = new World(plan, watchOver);
  let isOver = false;
  const end = (): void => {
    isOver = true;
  };
  live(world).then(end, (error: unknown) => {
    world.fail("the simulation itself", error);
    end();
  });
  await settled();
  for (let steps = 0; !isOver && world.finding === undefined; steps++) {
    if (steps > endlessAfter) {
      world.fail("work comes to an end", new Error(`${endlessAfter} pieces of work were done, and there are more`));
    }
    if (!(await world.time.step())) {
      world.fail("work comes to an end", new Error("everybody waits, and there is nothing to wait for"));
    }
  }
  const streams = await world.disk.streams();
  return {
    finding: world.finding,
    history: await historyOf(world),
    digest: digestOf(streams),
    commits: world.disk.commits,
  };
}

/** From the first start of the server to the end of the last run. */
async function live(world: World): Promise<void> {
  const { actors, faults } = world.plan;
  void world.boot();
  await Promise.all([...actors.map((actor) => act(actor, world)), ...faults.map((fault) => world.suffer(fault))]);
  await world.untilQuiet();
  world.takeAll();
  await probeRoom(world);
  await world.stop();
  await world.ask("concluded", await historyOf(world));
}

async function historyOf({ disk }: World): Promise<History> {
  const events = new Map();
  for (const runId of await disk.runIds()) {
    events.set(runId, await disk.events(runId));
  }
  return readHistory(events);
}

function digestOf(streams: ReadonlyMap<string, readonly Uint8Array[]>): string {
  const hash = createHash("sha256");
  for (const [name, records] of streams) {
    hash.update(`${name} ${records.length}\n`);
    for (const record of records) {
      hash.update(`${record.length}\n`).update(record);
    }
  }
  return hash.digest("hex");
}
