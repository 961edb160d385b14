import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { evaluateFigure, type Figure, type Round } from "./figures.ts";
import { readMachine } from "./machine.ts";
import type { Report } from "./report.ts";
import { measureRounds, type Plan } from "./rounds.ts";
import { ServerProcess } from "./server-process.ts";
import { median } from "./statistics.ts";
import { type Subject, subjects } from "./subjects.ts";

/** Starts the servers that the plan needs, measures them side by side, and leaves nothing behind. */
export async function runBench(figures: readonly Figure[], plan: Plan, signal?: AbortSignal): Promise<Report> {
  const directory = await mkdtemp(join(tmpdir(), "retake-bench-"));
  const servers: ServerProcess[] = [];
  try {
    const machine = readMachine(directory);
    for (const subject of subjects.filter((name) => plan.loads.has(name))) {
      const own = join(directory, subject);
      await mkdir(own);
      servers.push(await ServerProcess.start({ subject, directory: own }));
    }
    const rounds = await measureRounds(servers, plan, signal);
    return {
      machine,
      rounds: rounds.length,
      generatorBusy: busiest([...plan.loads.keys()], rounds),
      figures: figures.map((figure) => evaluateFigure(figure, rounds)),
    };
  } finally {
    await Promise.all(servers.map((server) => server.close()));
    await rm(directory, { recursive: true, force: true });
  }
}

function busiest(measured: readonly Subject[], rounds: readonly Round[]): number {
  const shares = measured.map((subject) => median(rounds.map((round) => round.get(subject)?.generatorBusy ?? 0)));
  return Math.max(0, ...shares.filter((share) => !Number.isNaN(share)));
}
