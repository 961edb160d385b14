import type { StepCompleted } from "../../gen/retake/v1/run_pb.js";
import { equalBytes } from "./equal-bytes.ts";

/** Up to so many are looked through: a map has to keep a string for each key, and most runs have a few steps. */
const mostListed = 16;

/** The journaled steps of a run, found by name and the digest of what they were asked. */
export class JournaledSteps {
  /** In the order in which they were journaled. */
  readonly list: StepCompleted[] = [];
  /** Undefined while there are few. */
  #byName: Map<string, StepCompleted[]> | undefined;

  get size(): number {
    return this.list.length;
  }

  get(name: string, inputSha256: Uint8Array): StepCompleted | undefined {
    const candidates = this.#byName === undefined ? this.list : (this.#byName.get(name) ?? []);
    return candidates.find((step) => step.name === name && equalBytes(step.inputSha256, inputSha256));
  }

  /** Adds one, in place of an older one of the same name and digest. */
  add(step: StepCompleted): void {
    const older = this.get(step.name, step.inputSha256);
    if (older !== undefined) {
      this.list[this.list.indexOf(older)] = step;
      const named = this.#byName?.get(step.name);
      named?.splice(named.indexOf(older), 1, step);
      return;
    }
    this.list.push(step);
    if (this.#byName !== undefined) {
      this.#index(step);
    } else if (this.list.length > mostListed) {
      this.#byName = new Map();
      for (const one of this.list) {
        this.#index(one);
      }
    }
  }

  #index(step: StepCompleted): void {
    const named = this.#byName?.get(step.name);
    if (named === undefined) {
      this.#byName?.set(step.name, [step]);
    } else {
      named.push(step);
    }
  }
}
