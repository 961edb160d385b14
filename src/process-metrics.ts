import { totalmem } from "node:os";
import { constants, monitorEventLoopDelay, PerformanceObserver, performance } from "node:perf_hooks";
import { getHeapSpaceStatistics, type HeapSpaceInfo } from "node:v8";
import type { Clock } from "./clock.ts";
import { heapUse } from "./heap-use.ts";
import type { Instruments } from "./instruments.ts";

const resolutionMs = 20;

/** Readers come each ten seconds, and others in between: those see what the last period was like. */
const periodMs = 5_000;

interface LoopDelay {
  readonly min: number;
  readonly stddev: number;
  readonly mean: number;
  readonly max: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
}

/** Observes memory, processor time and the event loop of this process, until the returned function is called. */
export function observeProcess(instruments: Instruments, clock: Pick<Clock, "monotonic">): () => void {
  const loop = monitorEventLoopDelay({ resolution: resolutionMs });
  loop.enable();
  const seconds = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e6 - resolutionMs) / 1000;
  const delayOf = (): LoopDelay =>
    loop.count === 0
      ? { min: 0, stddev: 0, mean: 0, max: 0, p50: 0, p90: 0, p99: 0 }
      : {
          min: seconds(loop.min),
          stddev: loop.stddev / 1e9,
          mean: seconds(loop.mean),
          max: seconds(loop.max),
          p50: seconds(loop.percentile(50)),
          p90: seconds(loop.percentile(90)),
          p99: seconds(loop.percentile(99)),
        };
  const delay = new Periodic(clock, () => {
    const read = delayOf();
    loop.reset();
    return read;
  });
  let before = performance.eventLoopUtilization();
  const utilization = new Periodic(clock, () => {
    const now = performance.eventLoopUtilization();
    const { utilization: share } = performance.eventLoopUtilization(now, before);
    before = now;
    return share;
  });
  for (const name of ["min", "mean", "stddev", "max", "p50", "p90", "p99"] as const) {
    const description = `How long the event loop kept what was due waiting (${name}).`;
    instruments.observed("gauge", { name: `nodejs.eventloop.delay.${name}`, unit: "s", description }, (set) =>
      set(delay.read()[name]),
    );
  }
  instruments.observed(
    "gauge",
    { name: "nodejs.eventloop.utilization", unit: "1", description: "The share of time in which it was at work." },
    (set) => set(utilization.read()),
  );
  instruments.observed(
    "counter",
    {
      ...{ name: "nodejs.eventloop.time", unit: "s", attributes: ["nodejs.eventloop.state"] },
      description: "How long the event loop has been at work, and has waited for it.",
    },
    (set) => {
      const { active, idle } = performance.eventLoopUtilization();
      set(active / 1000, "active");
      set(idle / 1000, "idle");
    },
  );
  observeMemory(instruments);
  observeHeapSpaces(instruments);
  const collections = observeCollections(instruments);
  instruments.observed(
    "gauge",
    { name: "process.uptime", unit: "s", description: "How long the process has been there." },
    (set) => set(process.uptime()),
  );
  instruments.observed(
    "counter",
    { name: "process.cpu.time", unit: "s", description: "Processor time.", attributes: ["cpu.mode"] },
    (set) => {
      const { user, system } = process.cpuUsage();
      set(user / 1e6, "user");
      set(system / 1e6, "system");
    },
  );
  return () => {
    loop.disable();
    collections.disconnect();
  };
}

function observeMemory(instruments: Instruments): void {
  const gauge = (name: string, description: string, read: () => number): void =>
    instruments.observed("up_down_counter", { name, unit: "By", description }, (set) => set(read()));
  // What the semantic conventions say of the heap is by its spaces, and of limits nothing.
  gauge("retake.heap.used", "What is in use of V8's heap, without young objects.", () => heapUse().usedBytes);
  gauge("retake.heap.limit", "What V8's heap may take, without young objects.", () => heapUse().limitBytes);
  gauge("process.memory.usage", "Memory of the process that is in use.", () => process.memoryUsage.rss());
  gauge("retake.memory.limit", "What the process may take of the machine's memory.", availableBytes);
}

/** As the semantic conventions (v1.44) have them. */
const heapSpaces = {
  used: ["space_used_size", "What is in use of a space of V8's heap."],
  "space.size": ["space_size", "What a space of V8's heap has been given."],
  "space.available_size": ["space_available_size", "What is free of a space of V8's heap."],
  "space.physical_size": ["physical_space_size", "What a space of V8's heap takes of the machine's memory."],
} as const satisfies Readonly<Record<string, readonly [keyof HeapSpaceInfo, string]>>;

function observeHeapSpaces(instruments: Instruments): void {
  for (const [name, [field, description]] of Object.entries(heapSpaces)) {
    instruments.observed(
      "up_down_counter",
      { name: `v8js.memory.heap.${name}`, unit: "By", description, attributes: ["v8js.heap.space.name"] },
      (set) => {
        for (const space of getHeapSpaceStatistics()) set(space[field], space.space_name);
      },
    );
  }
}

const collectionBounds: readonly number[] = [0.01, 0.1, 1, 10];

const collectionTypes: ReadonlyMap<unknown, string> = new Map([
  [constants.NODE_PERFORMANCE_GC_MINOR, "minor"],
  [constants.NODE_PERFORMANCE_GC_MAJOR, "major"],
  [constants.NODE_PERFORMANCE_GC_INCREMENTAL, "incremental"],
  [constants.NODE_PERFORMANCE_GC_WEAKCB, "weakcb"],
]);

function observeCollections(instruments: Instruments): PerformanceObserver {
  const duration = instruments.histogram(
    {
      ...{ name: "v8js.gc.duration", unit: "s", attributes: ["v8js.gc.type"] },
      description: "How long collections of garbage took.",
    },
    collectionBounds,
  );
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const type = collectionTypes.get((entry as { readonly detail?: { readonly kind?: unknown } }).detail?.kind);
      if (type !== undefined) duration.of(type).record(entry.duration / 1000);
    }
  });
  observer.observe({ entryTypes: ["gc"] });
  return observer;
}

function availableBytes(): number {
  const constrained = process.constrainedMemory();
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
}

/** What is measured over a period, and told until the next is over. */
class Periodic<T> {
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #measure: () => T;
  #value: T;
  #sinceMs: number;

  constructor(clock: Pick<Clock, "monotonic">, measure: () => T) {
    this.#clock = clock;
    this.#measure = measure;
    this.#value = measure();
    this.#sinceMs = clock.monotonic();
  }

  read(): T {
    const nowMs = this.#clock.monotonic();
    if (nowMs - this.#sinceMs >= periodMs) {
      this.#value = this.#measure();
      this.#sinceMs = nowMs;
    }
    return this.#value;
  }
}
