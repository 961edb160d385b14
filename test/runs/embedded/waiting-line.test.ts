import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Ordered, WaitingLine } from "../../../src/runs/embedded/waiting-line.ts";

describe("WaitingLine", () => {
  it("keeps everybody in order, whoever joins, leaves and comes back", () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("join" as const) }),
      fc.record({ kind: fc.constant("first leaves" as const) }),
      fc.record({ kind: fc.constant("one leaves" as const), pick: fc.nat({ max: 1000 }) }),
      fc.record({ kind: fc.constant("one returns" as const), pick: fc.nat({ max: 1000 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { minLength: 50, maxLength: 400 }), (steps) => {
        const line = new WaitingLine<Ordered>();
        const expected: Ordered[] = [];
        const gone: Ordered[] = [];
        const firsts: unknown[] = [];
        const expectedFirsts: unknown[] = [];
        const join = (one: Ordered) => {
          line.add(one);
          expected.push(one);
          expected.sort((a, b) => a.order - b.order);
        };
        const leave = (index: number) => {
          for (const one of expected.splice(index, 1)) {
            line.remove(one);
            gone.push(one);
          }
        };
        for (const [order, step] of steps.entries()) {
          if (step.kind === "join") {
            join({ order });
          } else if (step.kind === "first leaves") {
            leave(0);
          } else if (step.kind === "one leaves") {
            leave(step.pick % Math.max(1, expected.length));
          } else {
            gone.splice(step.pick % Math.max(1, gone.length), 1).forEach(join);
          }
          firsts.push(line.first, line.size);
          expectedFirsts.push(expected[0], expected.length);
        }
        expect(firsts).toEqual(expectedFirsts);
        expect(expected.map((one) => line.countBefore(one))).toEqual(expected.map((_, index) => index));
      }),
    );
  });

  it("serves very many in order when they leave at the front", () => {
    const line = new WaitingLine<Ordered>();
    for (let order = 0; order < 10_000; order++) {
      line.add({ order });
    }
    const served: number[] = [];
    for (let { first } = line; first !== undefined; first = line.first) {
      served.push(first.order);
      line.remove(first);
    }

    expect(served).toEqual(Array.from({ length: 10_000 }, (_, order) => order));
    expect(line.first).toBeUndefined();
    expect(line.size).toBe(0);
  });
});
