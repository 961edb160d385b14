import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { type StepCompleted, StepCompletedSchema } from "../../gen/retake/v1/run_pb.js";
import { JournaledSteps } from "../../src/runs/journaled-steps.ts";

function step(name: string, digest: number, tries = 1): StepCompleted {
  return create(StepCompletedSchema, { name, inputSha256: new Uint8Array(32).fill(digest), tries });
}

const digest = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);

// Below and above the number from which on they are indexed.
describe.each([3, 200])("%d journaled steps", (count) => {
  function many(): JournaledSteps {
    const steps = new JournaledSteps();
    for (let number = 0; number < count; number++) {
      steps.add(step(`step ${number}`, 1));
      steps.add(step(`step ${number}`, 2));
    }
    return steps;
  }

  it("are found by name and digest together", () => {
    const steps = many();
    for (let number = 0; number < count; number++) {
      for (const byte of [1, 2]) {
        expect(steps.get(`step ${number}`, digest(byte))).toMatchObject({
          name: `step ${number}`,
          inputSha256: digest(byte),
        });
      }
    }
    expect(steps.get("step 1", digest(3))).toBeUndefined();
    expect(steps.get("another", digest(1))).toBeUndefined();
    expect(steps.size).toBe(2 * count);
  });

  it("are replaced, and not counted twice, when one is journaled again", () => {
    const steps = many();
    steps.add(step("step 1", 2, 7));
    expect(steps.size).toBe(2 * count);
    expect(steps.get("step 1", digest(2))?.tries).toBe(7);
    expect(steps.get("step 1", digest(1))?.tries).toBe(1);
    expect(steps.list.map(({ tries }) => tries).filter((tries) => tries === 7)).toHaveLength(1);
  });
});
