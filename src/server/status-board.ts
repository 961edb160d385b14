import { BreakerState } from "../../gen/retake/v1/breaker_pb.js";
import { Quality } from "../../gen/retake/v1/options_pb.js";
import { type AssessedHealth, assessHealth, type HealthFacts, Readiness } from "../monitoring/health/index.ts";
import { type FiguresSource, ServerFigures, type SlowestWorkflow } from "../monitoring/status/index.ts";
import { nextTurn } from "../sleep.ts";
import type { Alerts } from "./alerts.ts";
import type { Engine } from "./engine.ts";

type BoardEngine = Pick<
  Engine,
  "breakers" | "clock" | "contracts" | "journal" | "onTurnedOver" | "pauses" | "qualityLevels"
>;

export interface StatusBoardOptions {
  readonly engine: BoardEngine;
  readonly version: () => Promise<string>;
}

const unansweredMetric = "retake_journal_unanswered_age_seconds";

/** How long runs take is looked at once a minute: it is read from six hours of samples. */
const slowestEveryMs = 60_000;

/** How a server is: what its parts say now, and what was measured last. */
export class StatusBoard {
  readonly engine: BoardEngine;
  readonly readiness = new Readiness();
  /** Since when the server listens. */
  startMs = 0;
  /** Why the server takes no work; empty while it does. */
  notServingReason: () => string = () => "";
  /** Told when `readiness` has turned. */
  onReadiness: () => void = () => undefined;
  readonly #readVersion: () => Promise<string>;
  #version: Promise<string> | undefined;
  #source: FiguresSource | undefined;
  #figures: ServerFigures | undefined;
  #slowest: SlowestWorkflow | undefined;
  #slowestMs = Number.NEGATIVE_INFINITY;
  #alerts: Alerts | undefined;
  readonly #listeners = new Set<() => void>();

  constructor({ engine, version }: StatusBoardOptions) {
    this.engine = engine;
    this.#readVersion = version;
    engine.onTurnedOver = () => this.changed();
  }

  /** The server's. */
  get version(): Promise<string> {
    this.#version ??= this.#readVersion();
    return this.#version;
  }

  /** Absent before the first sample, and where nothing is measured. */
  get figures(): ServerFigures | undefined {
    return this.#figures;
  }

  /** Absent where nobody watches. */
  get alerts(): Alerts | undefined {
    return this.#alerts;
  }

  /** From now on there are samples, and those who watch over them. */
  follow(source: FiguresSource, alerts: Alerts | undefined): void {
    this.#source = source;
    this.#alerts = alerts;
    alerts?.engine.onChanged(() => this.changed());
  }

  /** All samples of a moment are there, and the alerts go by them. */
  sampled(timeMs: number): void {
    if (this.#source === undefined) return;
    const figures = new ServerFigures(this.#source, timeMs);
    this.#figures = figures;
    void this.#readSlowest(figures);
    const before = this.readiness.reason;
    this.readiness.sampled({
      diskFreeBytes: figures.latest("retake_disk_free_bytes"),
      diskSizeBytes: figures.latest("retake_disk_size_bytes"),
      journalUnansweredSeconds: figures.latest(unansweredMetric),
      eventLoopMaxDelaySeconds: figures.latest("nodejs_eventloop_delay_max_seconds"),
    });
    if (this.readiness.reason !== before) this.onReadiness();
    this.changed();
  }

  async #readSlowest(figures: ServerFigures): Promise<void> {
    if (Math.abs(figures.timeMs - this.#slowestMs) < slowestEveryMs) return;
    this.#slowestMs = figures.timeMs;
    const { clock } = this.engine;
    this.#slowest = await figures.slowest(() => nextTurn(clock));
  }

  /** Something about the server is another than it was. */
  changed(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  /** Calls back whenever the status has changed, until the returned function is called. */
  onChanged(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  health(): AssessedHealth {
    return assessHealth(this.#facts());
  }

  #facts(): HealthFacts {
    const figures = this.#figures;
    const p99CommitSeconds = figures?.p99CommitSeconds();
    const unansweredSeconds = figures?.latest(unansweredMetric);
    const eventLoopDelaySeconds = figures?.latest("nodejs_eventloop_delay_p99_seconds");
    const { status } = this.engine.journal;
    return {
      journal: {
        available: status.kind === "available",
        error: status.kind === "failing" ? status.cause.message : "",
        ...(p99CommitSeconds !== undefined && { p99CommitSeconds }),
        ...(unansweredSeconds !== undefined && { unansweredSeconds }),
      },
      ...this.#engineFacts(),
      ...(figures && measuredFacts(figures)),
      ...(eventLoopDelaySeconds !== undefined && { eventLoopDelaySeconds }),
      ...(figures && { waiting: this.#waiting(figures) }),
      ...(this.#slowest && { slowest: this.#slowest }),
      ...(this.#alerts && { alerts: firing(this.#alerts) }),
    };
  }

  #engineFacts(): Pick<HealthFacts, "breakers" | "quality"> {
    const { contracts, breakers, qualityLevels } = this.engine;
    const workflows = [...contracts.workflows.values()];
    const withBreaker = workflows.filter(({ policy }) => policy.circuitBreaker !== undefined);
    const inState = (wanted: BreakerState): string[] =>
      withBreaker.map(({ name }) => name).filter((name) => breakers.find(name)?.state === wanted);
    const reduced = workflows.flatMap(({ name }) => {
      const by = Quality.FULL - (qualityLevels.of(name) || Quality.FULL);
      return by > 0 ? [[name, by] as const] : [];
    });
    return {
      breakers: {
        count: withBreaker.length,
        open: inState(BreakerState.OPEN),
        halfOpen: inState(BreakerState.HALF_OPEN),
      },
      quality: { workflows: workflows.length, reduced: new Map(reduced) },
    };
  }

  /** The run that has waited for the largest part of its time. */
  #waiting(figures: ServerFigures): NonNullable<HealthFacts["waiting"]> | null {
    let most: NonNullable<HealthFacts["waiting"]> | null = null;
    for (const [workflow, { oldestQueuedSeconds: seconds }] of figures.runs) {
      const policy = this.engine.contracts.workflows.get(workflow)?.policy;
      if (seconds === undefined || policy === undefined) continue;
      const timeoutSeconds = policy.timeoutMs / 1_000;
      if (most === null || seconds / timeoutSeconds > most.seconds / most.timeoutSeconds) {
        most = { workflow, seconds, timeoutSeconds };
      }
    }
    return most;
  }
}

function measuredFacts(figures: ServerFigures): Pick<HealthFacts, "disk" | "memory" | "ended"> {
  const { ended: runs, failed } = figures.allRuns;
  const freeBytes = figures.latest("retake_disk_free_bytes");
  const sizeBytes = figures.latest("retake_disk_size_bytes");
  const parts = [
    memoryPart(figures, "process", "process_memory_usage_bytes", "retake_memory_limit_bytes"),
    memoryPart(figures, "heap", "retake_heap_used_bytes", "retake_heap_limit_bytes"),
  ].filter((part) => part !== undefined);
  const [memory] = parts.sort((a, b) => b.usedBytes / b.limitBytes - a.usedBytes / a.limitBytes);
  return {
    ended: { runs, failed },
    ...(freeBytes !== undefined && sizeBytes !== undefined && { disk: { freeBytes, sizeBytes } }),
    ...(memory && { memory }),
  };
}

function memoryPart(figures: ServerFigures, of: "process" | "heap", used: string, limit: string) {
  const usedBytes = figures.latest(used);
  const limitBytes = figures.latest(limit);
  return usedBytes === undefined || limitBytes === undefined ? undefined : { of, usedBytes, limitBytes };
}

/** The one that always fires says nothing. */
function firing(alerts: Alerts): NonNullable<HealthFacts["alerts"]> {
  const severities = alerts.firing().flatMap(({ deadMan, severity }) => (deadMan ? [] : [severity]));
  return {
    critical: severities.filter((severity) => severity === "critical").length,
    warning: severities.filter((severity) => severity === "warning").length,
  };
}
