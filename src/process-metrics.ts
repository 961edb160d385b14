import { totalmem } from "node:os";
import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import { getHeapStatistics } from "node:v8";
import type { Clock } from "./clock.ts";
import type { Instruments } from "./instruments.ts";

const resolutionMs = 20;

/** Readers come each ten seconds, and others in between: those see what the last period was like. */
const periodMs = 5_000;

interface LoopDelay {
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
      ? { mean: 0, max: 0, p50: 0, p90: 0, p99: 0 }
      : {
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
  for (const name of ["mean", "max", "p50", "p90", "p99"] as const) {
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
  observeMemory(instruments);
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
  return () => loop.disable();
}

function observeMemory(instruments: Instruments): void {
  const gauge = (name: string, description: string, read: () => number): void =>
    instruments.observed("up_down_counter", { name, unit: "By", description }, (set) => set(read()));
  // What the semantic conventions say of the heap is by its spaces, and of a limit of memory nothing.
  gauge("retake.heap.used", "What is in use of V8's heap.", () => getHeapStatistics().used_heap_size);
  gauge("retake.heap.limit", "What V8's heap may take.", () => getHeapStatistics().heap_size_limit);
  gauge("process.memory.usage", "Memory of the process that is in use.", () => process.memoryUsage.rss());
  gauge("retake.memory.limit", "What the process may take of the machine's memory.", availableBytes);
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
