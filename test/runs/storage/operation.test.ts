import { describe, expect, it } from "vitest";
import { giveUpImpatient, type Operation } from "../../../src/runs/storage/operation.ts";

const record = new Uint8Array(1);

function append(stream: string, expectedSequence: number, impatient = false): Operation {
  return {
    impatient,
    appends: [{ stream, expectedSequence, records: [record] }],
    apply: () => undefined,
    settle: () => undefined,
  };
}

function payload(runId: string): Operation {
  return { impatient: false, appends: [], payloadOf: runId, apply: () => undefined, settle: () => undefined };
}

describe("giveUpImpatient", () => {
  it("keeps what is patient, in order", () => {
    const queue = [append("run/a", 1), payload("a"), append("run/a", 2), append("run/b", 0)];
    expect(giveUpImpatient(queue)).toEqual({ kept: queue, givenUp: [] });
  });

  it("takes an impatient append with the payloads of its run and what is appended to it later", () => {
    const input = payload("a");
    const creation = append("run/a", 0, true);
    const next = append("run/a", 1);
    const result = payload("a");
    const other = append("run/b", 3);
    const otherPayload = payload("b");

    expect(giveUpImpatient([input, otherPayload, creation, other, next, result])).toEqual({
      kept: [otherPayload, other],
      givenUp: [input, creation, next, result],
    });
  });

  it("leaves alone the payloads of a run that exists, and appends before the impatient one", () => {
    const before = append("run/a", 4);
    const result = payload("a");
    const impatient = append("run/a", 5, true);

    expect(giveUpImpatient([before, result, impatient])).toEqual({ kept: [before, result], givenUp: [impatient] });
  });

  it("follows what is lost through appends to several streams", () => {
    const creation = append("run/a", 0, true);
    const both: Operation = {
      ...append("run/a", 1),
      appends: [
        { stream: "run/a", expectedSequence: 1, records: [record] },
        { stream: "run/c", expectedSequence: 0, records: [record] },
      ],
    };
    const child = append("run/c", 1);
    const childInput = payload("c");

    expect(giveUpImpatient([creation, both, childInput, child]).kept).toEqual([]);
  });

  it("takes what comes behind a stream's record with it, and not what is appended to that stream later", () => {
    const parent = append("run/a", 4);
    const child: Operation = {
      ...append("run/c", 0, true),
      appends: [
        { stream: "run/c", expectedSequence: 0, records: [record] },
        { stream: "run/a", expectedSequence: 5, records: [] },
      ],
    };
    const next = append("run/a", 5);
    expect(giveUpImpatient([parent, child, next])).toEqual({ kept: [parent, next], givenUp: [child] });

    const creation = append("run/a", 0, true);
    expect(giveUpImpatient([creation, { ...child, impatient: false }]).kept).toEqual([]);
  });
});
