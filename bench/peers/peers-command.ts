import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { AppProcess } from "./app-process.ts";
import { type Job, jobs } from "./jobs.ts";
import { type Found, formatPeers } from "./peers-table.ts";
import { packageVersion, type Subject, subjects } from "./subjects.ts";

const usage = `npm run bench:peers -- [--only NAME,NAME] [--rounds N] [--seconds N]

Installs the peers' packages in bench/peers by their lock file, and measures Retake, Restate, DBOS and BullMQ in turn.

  --only NAMES   only these: ${subjects.map(({ name }) => name).join(", ")}
  --rounds N     how often each is started anew and measured (default: 3)
  --seconds N    how long each load is measured, after a warm-up of half of that (default: 4)`;

/** Jobs in flight: one for latency, many for throughput. */
const loads = [1, 64] as const;

export interface PeersSurroundings {
  readonly print: (line: string) => void;
  readonly tell: (line: string) => void;
  readonly signal: AbortSignal;
}

/** Answers its exit code: 0, or 2 when it could not be measured. */
export async function peersCommand(args: readonly string[], surroundings: PeersSurroundings): Promise<0 | 2> {
  const { print, tell, signal } = surroundings;
  try {
    const { chosen, rounds, seconds } = parseOptions(args);
    await install(tell, signal);
    const present = chosen.filter((subject) => isPresent(subject, print));
    if (present.length === 0) throw new Error("nothing of that can be measured on this machine");
    const found = new Map<string, Found>();
    for (let round = 1; round <= rounds; round++) {
      for (const subject of present) {
        tell(`Round ${round} of ${rounds}: ${subject.name}.`);
        const own = found.get(subject.name) ?? { name: subject.name, told: "", measured: [] };
        found.set(subject.name, await measured(subject, own, seconds, signal));
      }
    }
    print(formatPeers([...found.values()]));
    return 0;
  } catch (error) {
    tell(`bench:peers: ${(error as Error).message}`);
    if ((error as NodeJS.ErrnoException).code?.startsWith("ERR_PARSE_ARGS") === true) tell(`\n${usage}`);
    return 2;
  }
}

function parseOptions(args: readonly string[]) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: "string" },
      rounds: { type: "string", default: "3" },
      seconds: { type: "string", default: "4" },
    },
  });
  const names = values.only?.split(",") ?? subjects.map(({ name }) => name);
  const unknown = names.filter((name) => !subjects.some((subject) => subject.name === name));
  if (unknown.length > 0) throw new Error(`there is nothing named ${unknown.join(", ")}\n\n${usage}`);
  const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)];
  if (!(Number.isInteger(rounds) && rounds >= 1 && rounds <= 20)) throw new Error("--rounds is from 1 to 20");
  if (!(seconds > 0 && seconds <= 60)) throw new Error("--seconds is above 0, up to 60");
  return { chosen: subjects.filter(({ name }) => names.includes(name)), rounds, seconds };
}

/** By the lock file, and without scripts: nothing is downloaded but what that names. */
async function install(tell: PeersSurroundings["tell"], signal: AbortSignal): Promise<void> {
  const here = import.meta.dirname;
  const [wanted, there] = await Promise.all(
    ["package-lock.json", "node_modules/.bench-lock.json"].map((file) =>
      readFile(join(here, file), "utf8").catch(() => undefined),
    ),
  );
  if (wanted === there) return;
  tell("Installing the peers' packages in bench/peers (some 250 MB): npm ci --ignore-scripts.");
  const flags = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  const npm = spawn("npm", flags, { cwd: here, stdio: ["ignore", "ignore", "inherit"], signal });
  const [code] = (await once(npm, "exit")) as [number | null];
  if (code !== 0) throw new Error("the peers' packages cannot be installed; npm tells why above");
  await copyFile(join(here, "package-lock.json"), join(here, "node_modules/.bench-lock.json"));
}

function isPresent({ name, server }: Subject, print: PeersSurroundings["print"]): boolean {
  if (server === undefined || server.find() !== undefined) return true;
  print(`SKIPPED: ${name}, whose server program is not on this machine (${server.hint}).`);
  return false;
}

/** Starts server and app anew, with empty directories, and puts every load on them. */
async function measured(subject: Subject, before: Found, seconds: number, signal: AbortSignal): Promise<Found> {
  const directory = await mkdtemp(join(tmpdir(), "retake-peers-"));
  try {
    const program = subject.server?.find();
    await using server = program === undefined ? undefined : await subject.server?.start(program, directory);
    await using app = await AppProcess.start(subject.module, { directory, ...server?.settings }, signal);
    const measured: Found["measured"][number][] = [];
    for (const job of jobs satisfies readonly Job[]) {
      for (const inFlight of loads) {
        const load = { job, inFlight, warmUpMs: seconds * 500, measureMs: seconds * 1000 };
        measured.push({ job, inFlight, ...(await app.put(load, signal)) });
      }
    }
    const own = subject.packages.map(packageVersion);
    const told = [...own, server?.told ?? "fdatasync before each answer"].join(", ");
    return { ...before, told, measured: [...before.measured, ...measured] };
  } catch (error) {
    throw new Error(`${subject.name}: ${(error as Error).message}`, { cause: error });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
