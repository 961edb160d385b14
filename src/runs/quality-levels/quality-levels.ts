import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { FailureCategory, Quality } from "../../../gen/retake/v1/options_pb.js";
import { type QualityEvent, QualityEventSchema } from "../../../gen/retake/v1/quality_event_pb.js";
import { QualityCause } from "../../../gen/retake/v1/quality_level_pb.js";
import { type Failure, FailureSeverity } from "../../../gen/retake/v1/run_pb.js";
import type { Clock, Timer } from "../../clock.ts";
import { defaultQuality, type Policy, type ResolvedQuality } from "../../contract/index.ts";
import type { Logger } from "../logger.ts";
import { recordsOf, streamsNamed } from "../named-streams.ts";
import type { Journal } from "../ports/journal.ts";
import { timestampFromMs } from "../time.ts";
import { applyQualityEvent, fullLevel, type LevelState, quietMs, relapsesAt, released } from "./level-state.ts";

/** The quality of a workflow, with what becomes of it. Times are in ms since the epoch. */
export interface QualityStatus extends Pick<LevelState, "level" | "cause" | "reason" | "setBy" | "sinceMs"> {
  readonly workflow: string;
  /** The lowest level that the policy allows. */
  readonly min: Quality;
  /** What an operator holds it at; undefined where nobody does. */
  readonly heldAt: Quality | undefined;
  /** When it is held no more; undefined for never. */
  readonly heldUntilMs: number | undefined;
  /** When it rises by one if it stays quiet; undefined where it does not rise. */
  readonly risesMs: number | undefined;
}

/** Why an alert lowers the quality. */
export interface QualityAlert {
  /** Of its rule. */
  readonly name: string;
  readonly reason: string;
  /** The level below which it does not lower. Default: the policy's. */
  readonly lowest?: Quality;
}

export interface QualityOrder {
  readonly level: Quality;
  readonly requestedBy: string;
  readonly reason: string;
  /** How long it is held. Default: until it is set anew. */
  readonly holdForMs?: number;
}

export interface QualityLevelsOptions {
  readonly journal: Journal;
  readonly clock: Clock;
  readonly log: Logger;
  /** What holds for a workflow at the moment; undefined for one that there is not. */
  policy(workflow: string): Policy | undefined;
  /** Told of each change of a level, once it is durable. */
  onChange?(status: QualityStatus, before: Quality): void;
}

const prefix = "quality/";
/** How many troubles are journaled in the time that a level takes to rise: at a restart it rises that little too soon. */
const troublesKept = 10;
const shortestTroubleMs = 1000;
/** More records than these are deleted once they matter no more: at a start, or when the level falls anew. */
const longHistory = 100;
/** Of a failure, which its back-end chooses. */
const longestReason = 100;
/** While the journal fails, a rise is tried again after this. */
const retryMs = 10_000;

/**
 * How much of their requests the runs of each workflow ask for, each workflow with a stream of its own in the journal.
 *
 * 1. Nobody goes by a change, or is told of it, before it is durable. While the journal fails, levels stay.
 * 2. A level falls by one at a time: enough critical failures within `restore_after`, or an alert. What was begun at a
 *    higher level says nothing about this one.
 * 3. It rises by one at a time, after it was quiet for `restore_after`; that doubles each time that it falls back soon.
 * 4. It rises no higher than an operator holds it, and is never below the policy's `min`.
 */
export class QualityLevels {
  readonly #options: QualityLevelsOptions;
  readonly #levels = new Map<string, Level>();
  /** Changes come one after the other. */
  #changing: Promise<unknown> = Promise.resolve();
  #stopped = false;

  constructor(options: QualityLevelsOptions) {
    this.#options = options;
  }

  /** What the next attempt of a workflow asks for. */
  of(workflow: string): Quality {
    return this.#levels.size === 0 ? Quality.FULL : (this.#levels.get(workflow)?.state.level ?? Quality.FULL);
  }

  status(workflow: string): QualityStatus {
    const { clock } = this.#options;
    const level = this.#levels.get(workflow);
    const state = level?.state ?? fullLevel;
    const { min } = this.#policy(workflow);
    const risesInMs = level === undefined ? Number.POSITIVE_INFINITY : this.#risesInMs(workflow, level);
    const isHeld = state.ceiling !== Quality.FULL;
    return {
      workflow,
      level: Math.max(state.level, min),
      min,
      cause: state.cause,
      reason: state.reason,
      setBy: state.setBy,
      sinceMs: state.sinceMs,
      heldAt: isHeld ? state.ceiling : undefined,
      heldUntilMs: isHeld && Number.isFinite(state.heldUntilMs) ? state.heldUntilMs : undefined,
      risesMs: Number.isFinite(risesInMs) ? clock.now() + risesInMs : undefined,
    };
  }

  /** Reads what earlier processes have left. */
  async open(): Promise<void> {
    for await (const stream of streamsNamed(this.#options.journal, prefix)) {
      await this.#read(stream);
    }
    await this.#forgetOld();
    this.rearm();
  }

  /** From now on nothing rises or falls by itself. */
  stop(): void {
    this.#stopped = true;
    for (const level of this.#levels.values()) {
      level.timer?.cancel();
    }
  }

  /** Policies have changed. */
  rearm(): void {
    for (const [workflow, level] of this.#levels) {
      this.#arm(workflow, level);
    }
  }

  /**
   * Sets a level, up or down at once. Below FULL it is held.
   *
   * @throws JournalUnavailableError
   */
  set(workflow: string, order: QualityOrder): Promise<QualityStatus> {
    return this.#change(async () => {
      const { level, requestedBy, reason, holdForMs } = order;
      const nowMs = this.#options.clock.now();
      await this.#append(workflow, {
        case: "set",
        value: {
          $typeName: "retake.v1.QualitySet",
          level,
          requestedBy,
          reason,
          ...(holdForMs === undefined ? {} : { expireTime: timestampFromMs(nowMs + holdForMs) }),
        },
      });
      return this.status(workflow);
    });
  }

  /**
   * An alert has begun to fire, or goes on: lowers the level by one, the same alert at most once in the time that the
   * level takes to rise, and keeps it from rising.
   *
   * @returns whether it has lowered the level
   * @throws JournalUnavailableError
   */
  lower(workflow: string, { name, reason, lowest = Quality.UNSPECIFIED }: QualityAlert): Promise<boolean> {
    if (this.#stopped || this.#options.policy(workflow)?.quality === undefined) {
      return Promise.resolve(false);
    }
    const nowMs = this.#options.clock.monotonic();
    const level = this.#levelOf(workflow);
    const lastMs = level.alerts.get(name);
    if (level.state.level <= lowest) {
      this.#troubled(workflow, level);
      return Promise.resolve(false);
    }
    if (lastMs !== undefined && nowMs - lastMs < quietMs(level.state, this.#policy(workflow).restoreAfterMs)) {
      this.#troubled(workflow, level);
      return Promise.resolve(false);
    }
    level.alerts.set(name, nowMs);
    return this.#lower(workflow, level, QualityCause.ALERT, `${name}: ${reason}`).catch((error: unknown) => {
      level.alerts.delete(name);
      throw error;
    });
  }

  /** An attempt that asked for `quality` has failed. */
  failed(workflow: string, failure: Failure, quality: Quality): void {
    const policy = this.#options.policy(workflow)?.quality;
    if (policy === undefined || this.#stopped || !isCritical(failure)) {
      return;
    }
    const level = this.#levelOf(workflow);
    this.#troubled(workflow, level);
    if (level.falling || quality > Math.max(level.state.level, policy.min)) {
      return;
    }
    const nowMs = this.#options.clock.monotonic();
    level.failures = level.failures.filter((timeMs) => nowMs - timeMs <= policy.restoreAfterMs);
    level.failures.push(nowMs);
    if (level.failures.length >= policy.lowerAfterFailures) {
      const count = level.failures.length;
      const last = failure.reason.slice(0, longestReason);
      const reason = `${count} critical ${count === 1 ? "failure" : "failures"} within restore_after, the last one ${last}`;
      this.#lower(workflow, level, QualityCause.FAILURES, reason).catch((error: unknown) =>
        this.#lost(workflow, error),
      );
    }
  }

  async #lower(workflow: string, level: Level, cause: QualityCause, reason: string): Promise<boolean> {
    level.failures = [];
    level.falling = true;
    try {
      return await this.#change(async () => {
        const { min, restoreAfterMs } = this.#policy(workflow);
        if (level.state.level <= min) {
          this.#troubled(workflow, level);
          return false;
        }
        if (isLongAndFull(level)) {
          // What matters of it stands in the event that follows.
          await this.#forget([[workflow, level]]);
        }
        await this.#append(workflow, {
          case: "lowered",
          value: {
            $typeName: "retake.v1.QualityLowered",
            level: level.state.level - 1,
            cause,
            reason,
            relapses: relapsesAt(level.state, this.#options.clock.now(), restoreAfterMs),
          },
        });
        return true;
      });
    } finally {
      level.falling = false;
    }
  }

  /** It must be quiet anew. */
  #troubled(workflow: string, level: Level): void {
    const { clock } = this.#options;
    if (level.state.level >= level.state.ceiling) {
      return;
    }
    level.quietSinceMs = clock.monotonic();
    const keptMs = this.#quietMs(workflow, level) / troublesKept;
    if (clock.now() - level.state.quietSinceMs >= Math.max(keptMs, shortestTroubleMs) && !level.noting) {
      level.noting = true;
      this.#change(() =>
        this.#append(workflow, { case: "troubled", value: { $typeName: "retake.v1.QualityTroubled" } }),
      )
        .catch((error: unknown) => this.#lost(workflow, error))
        .finally(() => {
          level.noting = false;
        });
    }
  }

  /** Sets the timer for the next moment at which the level may change by itself. */
  #arm(workflow: string, level: Level): void {
    level.timer?.cancel();
    level.timer = undefined;
    const inMs = Math.min(this.#risesInMs(workflow, level), this.#releasedInMs(level));
    if (inMs !== Number.POSITIVE_INFINITY && !this.#stopped) {
      level.timer = this.#options.clock.setTimeout(() => this.#due(workflow, level), inMs);
    }
  }

  #due(workflow: string, level: Level): void {
    level.timer = undefined;
    if (this.#releasedInMs(level) <= 0) {
      // Its end stands in the journal since it was set.
      level.state = released(level.state);
      level.heldUntilMs = Number.POSITIVE_INFINITY;
      level.quietSinceMs = this.#options.clock.monotonic();
    }
    if (this.#risesInMs(workflow, level) > 0) {
      this.#arm(workflow, level);
      return;
    }
    this.#change(async () => {
      if (this.#risesInMs(workflow, level) <= 0) {
        const value = { $typeName: "retake.v1.QualityRaised" as const, level: level.state.level + 1 };
        await this.#append(workflow, { case: "raised", value });
      }
    }).catch((error: unknown) => {
      this.#lost(workflow, error);
      if (!this.#stopped) {
        level.timer = this.#options.clock.setTimeout(() => this.#due(workflow, level), retryMs);
      }
    });
  }

  #risesInMs(workflow: string, { state, quietSinceMs }: Level): number {
    return state.level >= state.ceiling
      ? Number.POSITIVE_INFINITY
      : quietSinceMs + quietMs(state, this.#policy(workflow).restoreAfterMs) - this.#options.clock.monotonic();
  }

  #releasedInMs({ heldUntilMs }: Level): number {
    return heldUntilMs - this.#options.clock.monotonic();
  }

  #quietMs(workflow: string, { state }: Level): number {
    return quietMs(state, this.#policy(workflow).restoreAfterMs);
  }

  #policy(workflow: string): ResolvedQuality {
    return this.#options.policy(workflow)?.quality ?? defaultQuality;
  }

  #levelOf(workflow: string): Level {
    let level = this.#levels.get(workflow);
    if (level === undefined) {
      level = new Level();
      this.#levels.set(workflow, level);
    }
    return level;
  }

  #change<T>(change: () => Promise<T>): Promise<T> {
    const changed = this.#changing.then(change);
    this.#changing = changed.catch(() => undefined);
    return changed;
  }

  /** Journals what happens, and lets it happen. */
  async #append(workflow: string, event: QualityEvent["event"]): Promise<void> {
    const { journal, clock, log } = this.#options;
    const level = this.#levelOf(workflow);
    const entry = create(QualityEventSchema, { time: timestampFromMs(clock.now()), event });
    await journal.append(
      [
        {
          stream: `${prefix}${workflow}`,
          expectedSequence: level.sequence,
          records: [toBinary(QualityEventSchema, entry)],
        },
      ],
      { impatient: true },
    );
    level.sequence += 1;
    const before = level.state.level;
    level.take(applyQualityEvent(level.state, entry), clock);
    this.#arm(workflow, level);
    if (event.case === "troubled") {
      return;
    }
    level.failures = [];
    const { level: now, reason } = level.state;
    if (now !== before) {
      const fell = now < before;
      const change = {
        workflow,
        from: Quality[before],
        to: Quality[now],
        cause: QualityCause[level.state.cause],
        reason,
      };
      log[fell ? "warn" : "info"](change, fell ? "the quality of a workflow falls" : "the quality of a workflow rises");
      this.#options.onChange?.(this.status(workflow), before);
    }
  }

  /** A workflow that is well for long needs no history, which grows with each trouble. */
  async #forgetOld(): Promise<void> {
    const nowMs = this.#options.clock.now();
    const old = [...this.#levels].filter(
      ([workflow, level]) =>
        isLongAndFull(level) && relapsesAt(level.state, nowMs, this.#policy(workflow).restoreAfterMs) === 0,
    );
    if (old.length > 0) await this.#forget(old);
  }

  async #forget(old: readonly (readonly [workflow: string, level: Level])[]): Promise<void> {
    await this.#options.journal.deleteStreams(old.map(([workflow]) => `${prefix}${workflow}`));
    for (const [, level] of old) level.sequence = 0;
  }

  #lost(workflow: string, error: unknown): void {
    this.#options.log.warn(
      { err: error, workflow },
      "the quality of a workflow stays as it is: the journal does not take the change",
    );
  }

  async #read(stream: string): Promise<void> {
    const { journal, clock } = this.#options;
    const level = this.#levelOf(stream.slice(prefix.length));
    let { state } = level;
    for await (const { sequence, data } of recordsOf(journal, stream, level.sequence)) {
      level.sequence = sequence;
      state = applyQualityEvent(state, fromBinary(QualityEventSchema, data));
    }
    level.take(state.heldUntilMs <= clock.now() ? released(state) : state, clock);
  }
}

function isLongAndFull({ sequence, state }: Level): boolean {
  return sequence >= longHistory && state.level === Quality.FULL && state.ceiling === Quality.FULL;
}

/** A level in this process, where time is counted by the monotonic clock: the wall clock may jump. */
class Level {
  state = fullLevel;
  sequence = 0;
  quietSinceMs = 0;
  heldUntilMs = Number.POSITIVE_INFINITY;
  /** When critical failures happened that count. */
  failures: number[] = [];
  /** When each alert has lowered it. */
  readonly alerts = new Map<string, number>();
  /** A change is being journaled. */
  falling = false;
  noting = false;
  timer: Timer | undefined;

  take(state: LevelState, clock: Clock): void {
    const offsetMs = clock.monotonic() - clock.now();
    if (state.heldUntilMs !== this.state.heldUntilMs) {
      this.heldUntilMs = state.heldUntilMs + offsetMs;
    }
    this.state = state;
    // What the journal says of the future the wall clock has taken back.
    this.quietSinceMs = Math.min(state.quietSinceMs, clock.now()) + offsetMs;
  }
}

function isCritical({ severity, category }: Failure): boolean {
  return severity === FailureSeverity.CRITICAL || category === FailureCategory.MEMORY;
}
