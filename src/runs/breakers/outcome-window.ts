import { EventEmitter } from "node:events";
import CircuitBreaker from "opossum";

export interface OutcomeWindowOptions {
  readonly windowMs: number;
  readonly volumeThreshold: number;
  readonly errorThresholdPercentage: number;
}

export interface OutcomeCounts {
  readonly attempts: number;
  readonly failures: number;
}

const bucketCount = 10;

/** It opens above the threshold, and no share is above 100 %: that one is reached when all have failed, and not before. */
const justBelowAll = 100 - 1e-9;

/** Above all delays that the platform's timers take in one leg; the timer is cleared in the call that set it. */
const neverMs = 2 ** 31 - 1;

/**
 * The rolling window of one closed generation: opossum's detection, and nothing else of it. It never wraps a call, since
 * calls last longer than windows: outcomes are added when attempts end. opossum knows no clock but the machine's, so its
 * buckets are rotated from here; nothing happens between two outcomes, which needs no timer.
 */
export class OutcomeWindow {
  readonly #circuit: CircuitBreaker;
  readonly #rotation = new EventEmitter();
  readonly #bucketMs: number;
  #bucketSinceMs: number;

  /** @param nowMs by the monotonic clock, here and below */
  constructor({ windowMs, volumeThreshold, errorThresholdPercentage }: OutcomeWindowOptions, nowMs: number) {
    this.#bucketMs = windowMs / bucketCount;
    this.#bucketSinceMs = nowMs;
    this.#circuit = new CircuitBreaker(fail, {
      rollingCountTimeout: windowMs,
      rollingCountBuckets: bucketCount,
      rotateBucketController: this.#rotation,
      volumeThreshold,
      errorThresholdPercentage: Math.min(errorThresholdPercentage, justBelowAll),
      timeout: false,
      resetTimeout: neverMs,
      rollingPercentilesEnabled: false,
      enableSnapshots: false,
    });
  }

  addSuccess(nowMs: number): void {
    this.#rotate(nowMs);
    // All that a success is to the share of failures is a call more: a whole one would cost promises, and a latency that
    // is remembered as long as the window.
    this.#circuit.emit("fire", noArguments);
  }

  /** Whether that was one too many; then the window is of no use any more. */
  addFailure(nowMs: number): boolean {
    this.#rotate(nowMs);
    // It throws, and is counted, before it returns.
    this.#circuit.fire().catch(noop);
    for (const bucket of this.#circuit.status.window) {
      (bucket as unknown as { latencyTimes: number[] }).latencyTimes.length = 0;
    }
    if (!this.#circuit.opened) {
      return false;
    }
    this.close();
    return true;
  }

  /** What is in the window, also after `close`. */
  counts(nowMs: number): OutcomeCounts {
    this.#rotate(nowMs);
    const { fires, failures } = this.#circuit.stats;
    return { attempts: fires, failures };
  }

  isEmpty(nowMs: number): boolean {
    return this.counts(nowMs).attempts === 0;
  }

  /** Leaves nothing behind, timers included. */
  close(): void {
    this.#circuit.shutdown();
  }

  #rotate(nowMs: number): void {
    const passed = Math.floor((nowMs - this.#bucketSinceMs) / this.#bucketMs);
    if (passed <= 0) {
      return;
    }
    this.#bucketSinceMs += passed * this.#bucketMs;
    for (let bucket = 0; bucket < Math.min(passed, bucketCount); bucket++) {
      this.#rotation.emit("rotate");
    }
  }
}

const noArguments: readonly unknown[] = [];

function fail(): never {
  throw failure;
}

/** Nobody sees it, and a stack for each would cost more than the rest. */
const failure = new Error("an attempt has failed");

function noop(): void {}
