import { stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import { BreakerState } from "../../gen/retake/v1/breaker_pb.js";
import { Quality } from "../../gen/retake/v1/options_pb.js";
import { HealthComponent } from "../../gen/retake/v1/status_pb.js";
import type { Clock } from "../clock.ts";
import type { Instruments } from "../instruments.ts";
import type { AssessedHealth } from "../monitoring/health/index.ts";
import type { Engine, EngineOptions } from "./engine.ts";
import { UnansweredFlush } from "./unanswered-flush.ts";

const breakerValues: Readonly<Record<BreakerState, number>> = {
  [BreakerState.UNSPECIFIED]: 0,
  [BreakerState.CLOSED]: 0,
  [BreakerState.HALF_OPEN]: 1,
  [BreakerState.OPEN]: 2,
};

type ObservedEngine = Pick<
  Engine,
  "breakers" | "clock" | "contracts" | "endpointStandings" | "journal" | "qualityLevels" | "watch"
>;

/** What a server's parts say of themselves when they are asked. */
export function observeEngine(instruments: Instruments, engine: ObservedEngine): void {
  const workflow = ["retake.workflow"];
  instruments.observed(
    "gauge",
    {
      ...{ name: "retake.breaker.state", unit: "", attributes: workflow },
      description: "Whether attempts are made: 0 (closed) when they are, 1 (half-open) on trial, 2 (open) when not.",
    },
    (set) => {
      for (const { name, policy } of engine.contracts.workflows.values()) {
        if (policy.circuitBreaker === undefined) continue;
        set(breakerValues[engine.breakers.find(name)?.state ?? BreakerState.CLOSED], name);
      }
    },
  );
  instruments.observed(
    "gauge",
    {
      ...{ name: "retake.quality.level", unit: "", attributes: workflow },
      description: "How far requests are reduced: 0 (FULL), 1 (HIGH), 2 (MEDIUM), 3 (LOW), 4 (MINIMAL).",
    },
    (set) => {
      for (const { name } of engine.contracts.workflows.values()) {
        const level = engine.qualityLevels.of(name) || Quality.FULL;
        set(Quality.FULL - level, name);
      }
    },
  );
  instruments.observed(
    "gauge",
    {
      ...{ name: "retake.endpoint.available", unit: "", attributes: ["retake.service", "retake.endpoint"] },
      description:
        "1 while an endpoint of a back-end takes attempts, 0 while it is unhealthy or taken out for failing.",
    },
    (set) => {
      for (const { service, target, available } of engine.endpointStandings()) {
        set(available ? 1 : 0, service, target);
      }
    },
  );
  instruments.observed(
    "up_down_counter",
    { name: "retake.watchers", unit: "{watcher}", description: "Streams of the events of runs that are open." },
    (set) => set(engine.watch.size),
  );
  instruments.observed(
    "gauge",
    { name: "retake.journal.available", unit: "", description: "1 while the journal can be written, else 0." },
    (set) => set(engine.journal.status.kind === "available" ? 1 : 0),
  );
  const unanswered = new UnansweredFlush(engine.journal, engine.clock);
  instruments.observed(
    "gauge",
    {
      ...{ name: "retake.journal.unanswered.age", unit: "s" },
      description: "For how long the journal has not made durable what it was given; 0 while it does.",
    },
    (set) => set(unanswered.readMs() / 1000),
  );
}

/** Counts how breakers change: one that opens and closes between two looks at its state leaves no other trace. */
export function countBreakers(instruments: Instruments): NonNullable<EngineOptions["onBreaker"]> {
  const transitions = instruments.counter({
    ...{ name: "retake.breaker.transitions", unit: "{transition}", attributes: ["retake.workflow", "to"] },
    description: "Transitions of breakers, by what they came to: closed, half_open, open, forced_closed, forced_open.",
  });
  return ({ workflow, event: { event } }) => {
    if (event.case !== undefined) {
      const to =
        event.case === "forced"
          ? `forced_${event.value.state === BreakerState.OPEN ? "open" : "closed"}`
          : words[event.case];
      transitions.of(workflow, to).value++;
    }
  };
}

const words = { closed: "closed", halfOpened: "half_open", opened: "open" } as const;

/** Counts what comes of telling the ends of runs. */
export function countWebhooks(instruments: Instruments): NonNullable<EngineOptions["onWebhook"]> {
  const outcomes = instruments.counter({
    ...{ name: "retake.webhooks", unit: "{webhook}", attributes: ["retake.workflow", "outcome"] },
    description: "POSTs that tell the ends of runs: delivered, failed (and tried again), given_up.",
  });
  return (workflow, outcome) => {
    outcomes.of(workflow, outcome).value++;
  };
}

/** How well the server is, as its status tells it. */
export function observeHealth(instruments: Instruments, health: () => AssessedHealth): void {
  const base = { unit: "{point}", description: "How well the server is, from 0 to 100." };
  instruments.observed("gauge", { ...base, name: "retake.health.score" }, (set) => {
    const { score } = health();
    if (score !== undefined) set(score);
  });
  const name = "retake.health.component.score";
  const description = "How well a part of it is, from 0 to 100.";
  instruments.observed("gauge", { ...base, name, description, attributes: ["retake.health.component"] }, (set) => {
    for (const { component, score } of health().components) {
      if (score !== undefined) set(score, HealthComponent[component] ?? "");
    }
  });
}

/** How full the disk of the data directory is, and how large the journal. */
export function observeDisk(instruments: Instruments, directory: string, clock: Pick<Clock, "monotonic">): void {
  const disk = new LastKnown(clock, async () => {
    const { bsize, blocks, bavail } = await statfs(directory);
    return { free: bavail * bsize, size: blocks * bsize };
  });
  const journal = new LastKnown(clock, async () => {
    const sizes = await Promise.all(
      ["retake.db", "retake.db-wal"].map((file) =>
        stat(join(directory, file)).then(
          ({ size }) => size,
          () => 0,
        ),
      ),
    );
    return sizes.reduce((sum, size) => sum + size, 0);
  });
  const gauge = (name: string, description: string, read: () => number | undefined): void =>
    instruments.observed("gauge", { name, unit: "By", description }, (set) => {
      const value = read();
      if (value !== undefined) set(value);
    });
  gauge("retake.disk.free", "What is free of the disk that the data directory is on.", () => disk.read()?.free);
  gauge("retake.disk.size", "The size of the disk that the data directory is on.", () => disk.known?.size);
  gauge("retake.journal.size", "What the journal takes of the disk.", () => journal.read());
}

/** How long an answer may take before what was known last is known no more. */
const forgottenAfterMs = 30_000;

/** A value that takes time to find out: each reading tells the last one, and asks for the next. */
class LastKnown<T> {
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #ask: () => Promise<T>;
  #askedMs: number | undefined;
  known: T | undefined;

  constructor(clock: Pick<Clock, "monotonic">, ask: () => Promise<T>) {
    this.#clock = clock;
    this.#ask = ask;
    this.read();
  }

  read(): T | undefined {
    const nowMs = this.#clock.monotonic();
    if (this.#askedMs !== undefined) {
      // A disk that hangs does not say so.
      if (nowMs - this.#askedMs > forgottenAfterMs) this.known = undefined;
      return this.known;
    }
    this.#askedMs = nowMs;
    this.#ask()
      .then(
        (value) => {
          this.known = value;
        },
        // What cannot be told is left out.
        () => {
          this.known = undefined;
        },
      )
      .finally(() => {
        this.#askedMs = undefined;
      });
    return this.known;
  }
}
