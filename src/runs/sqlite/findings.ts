import { create } from "@bufbuild/protobuf";
import { type StorageProblem, StorageProblemSchema, type StorageReport } from "../../../gen/retake/v1/storage_pb.js";

/** More are counted, and nobody reads them. */
const mostTold = 1_000;

/** What a check finds. */
export class Findings {
  readonly #problems: StorageProblem[] = [];
  readonly #leftovers: StorageProblem[] = [];
  #problemCount = 0;
  #leftoverCount = 0;

  /** Something is damaged. */
  problem(message: string, runId = ""): void {
    if (this.#problemCount++ < mostTold) {
      this.#problems.push(create(StorageProblemSchema, { message, runId }));
    }
  }

  /** A crash has left something behind, which does no harm. */
  leftover(message: string, runId = ""): void {
    if (this.#leftoverCount++ < mostTold) {
      this.#leftovers.push(create(StorageProblemSchema, { message, runId }));
    }
  }

  get told(): Pick<StorageReport, "problems" | "problemCount" | "leftovers" | "leftoverCount"> {
    return {
      problems: this.#problems,
      problemCount: BigInt(this.#problemCount),
      leftovers: this.#leftovers,
      leftoverCount: BigInt(this.#leftoverCount),
    };
  }
}
