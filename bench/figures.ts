import { median, quantile } from "./statistics.ts";
import { type Subject, slowSyncDelayMs, subjects } from "./subjects.ts";

/** What one load of a round is: calls per second at 64 in flight, or the latency of one call after the other. */
export type Load = "throughput" | "latency";

/** What one round tells about one subject. What was not measured is NaN. */
export interface SubjectSample {
  callsPerSecond: number;
  /** Of the server's process, all its threads, at 64 calls in flight. */
  cpuMicrosPerCall: number;
  /** At 64 calls in flight; includes the ms between two samples. */
  eventLoopDelayP99Ms: number;
  /** The share of one core that the load generator took, at 64 calls in flight. */
  generatorBusy: number;
  /** With one call in flight. */
  p50Micros: number;
  p99Micros: number;
}

export type Round = ReadonlyMap<Subject, SubjectSample>;

/** What a figure must keep to. */
export type Bar = { readonly atLeast: number } | { readonly atMost: number } | { readonly below: number };

export interface Figure {
  readonly name: string;
  readonly unit: string;
  readonly bar: Bar | undefined;
  readonly needs: readonly (readonly [Subject, Load])[];
  /** The figure of one round; its value is the median of the rounds, since a busy machine slows one round and not all. */
  inRound(round: Round): number;
}

export interface FigureResult {
  readonly name: string;
  readonly value: number;
  /** A quarter of the rounds were below, and a quarter above. */
  readonly quartiles: readonly [number, number];
  readonly unit: string;
  readonly bar: Bar | undefined;
  /** Undefined without a bar. */
  readonly holds: boolean | undefined;
}

/** Every figure. Ratios are between two subjects of the same round. */
export const figures: readonly Figure[] = [
  ...subjects.flatMap((subject) => [
    one(`${subject}-throughput`, "calls/s", subject, "throughput", (sample) => sample.callsPerSecond),
    one(`${subject}-cpu`, "µs/call", subject, "throughput", (sample) => sample.cpuMicrosPerCall),
    ...(subject === "slow-sync"
      ? []
      : [
          one(`${subject}-p50`, "µs", subject, "latency", (sample) => sample.p50Micros),
          one(`${subject}-p99`, "µs", subject, "latency", (sample) => sample.p99Micros),
        ]),
  ]),
  one("empty-run-event-loop-delay-p99", "ms", "empty-run", "throughput", (sample) => sample.eventLoopDelayP99Ms),
  one(
    "slow-sync-event-loop-delay-p99",
    "ms",
    "slow-sync",
    "throughput",
    (sample) => sample.eventLoopDelayP99Ms,
    // A server that syncs on its event loop stands still for as long as a sync takes.
    { below: slowSyncDelayMs - 2 },
  ),
  ratio("bridge-to-bare-echo", "bridge", "bare-echo", "throughput", { atLeast: 0.9 }),
  ratio("empty-run-to-durable-reference", "empty-run", "durable-reference", "throughput", { atLeast: 0.75 }),
  ratio("empty-run-to-bare-echo", "empty-run", "bare-echo", "throughput", { atLeast: 0.4 }),
  // What telemetry costs, against none: that which is on by itself, and all of it, exported by OTLP.
  ratio("telemetry-kept", "empty-run", "unmeasured-run", "throughput", { atLeast: 0.9 }),
  ratio("telemetry-exported", "exported-run", "unmeasured-run", "throughput", { atLeast: 0.9 }),
  ratio("full-chain-to-empty-run", "full-chain", "empty-run", "throughput", { atLeast: 0.85 }),
  {
    name: "full-chain-added-cpu",
    unit: "µs/call",
    bar: { below: 60 },
    needs: [
      ["full-chain", "throughput"],
      ["empty-run", "throughput"],
    ],
    inRound: (round) => sampleOf(round, "full-chain").cpuMicrosPerCall - sampleOf(round, "empty-run").cpuMicrosPerCall,
  },
  // Authentication by key, or by a token that has been verified, authorization, validation and audit, against none of them.
  ratio("security-by-key", "key-run", "unsecured-run", "throughput", { atLeast: 0.85 }),
  ratio("security-by-token", "token-run", "unsecured-run", "throughput", { atLeast: 0.85 }),
  ratio("three-steps-to-bare-echo", "three-steps", "bare-echo", "throughput", { atLeast: 0.35 }),
  ratio("empty-run-p50-to-durable-reference", "empty-run", "durable-reference", "latency", { atMost: 1.5 }),
];

/**
 * The figures with that name, else those whose name begins with it and a dash; all without one.
 *
 * @throws Error that lists the names, and those of other figures that may be meant, when there is none
 */
export function selectFigures(only: string | undefined, others: readonly string[] = []): readonly Figure[] {
  if (only === undefined) {
    return figures;
  }
  const named = figures.filter(({ name }) => name === only);
  const selected = named.length > 0 ? named : figures.filter(({ name }) => name.startsWith(`${only}-`));
  if (selected.length === 0) {
    const names = [...figures.map(({ name }) => name), ...others].map((name) => `  ${name}`).join("\n");
    throw new Error(`there is no figure "${only}". Give a name, or the beginning of one up to a dash:\n${names}`);
  }
  return selected;
}

export function evaluateFigure(figure: Figure, rounds: readonly Round[]): FigureResult {
  const { name, unit, bar } = figure;
  const values = rounds.map((round) => figure.inRound(round));
  const value = median(values);
  return {
    name,
    value,
    quartiles: [quantile(values, 0.25), quantile(values, 0.75)],
    unit,
    bar,
    holds: bar === undefined ? undefined : keepsTo(bar, value),
  };
}

/** A value that is not known (NaN) keeps to no bar. */
export function keepsTo(bar: Bar, value: number): boolean {
  if ("atLeast" in bar) {
    return value >= bar.atLeast;
  }
  return "atMost" in bar ? value <= bar.atMost : value < bar.below;
}

export function describeBar(bar: Bar): string {
  if ("atLeast" in bar) {
    return `>= ${bar.atLeast}`;
  }
  return "atMost" in bar ? `<= ${bar.atMost}` : `< ${bar.below}`;
}

function one(
  name: string,
  unit: string,
  subject: Subject,
  load: Load,
  read: (sample: SubjectSample) => number,
  bar?: Bar,
): Figure {
  return { name, unit, bar, needs: [[subject, load]], inRound: (round) => read(sampleOf(round, subject)) };
}

function ratio(name: string, subject: Subject, reference: Subject, load: Load, bar: Bar): Figure {
  const read = (sample: SubjectSample): number => (load === "throughput" ? sample.callsPerSecond : sample.p50Micros);
  return {
    name,
    unit: "ratio",
    bar,
    needs: [
      [subject, load],
      [reference, load],
    ],
    inRound: (round) => read(sampleOf(round, subject)) / read(sampleOf(round, reference)),
  };
}

function sampleOf(round: Round, subject: Subject): SubjectSample {
  const sample = round.get(subject);
  if (sample === undefined) {
    throw new Error(`${subject} was not measured`);
  }
  return sample;
}
