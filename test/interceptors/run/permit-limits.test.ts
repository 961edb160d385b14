import { describe, expect, it } from "vitest";
import type { Workflow } from "../../../src/contract/index.ts";
import { createPermitLimits } from "../../../src/interceptors/run/permit-limits.ts";

const workflowOf = (limit: number, perPrincipal: number) =>
  ({ name: "a.B/C", policy: { concurrency: { limit, perPrincipal } } }) as unknown as Workflow;

const ada = { tenant: "studio", subject: "ada" };

describe("the limits of an attempt", () => {
  it("are the server's and its workflow's, the same for all who own runs of it", () => {
    const limitsOf = createPermitLimits(1000);
    const workflow = workflowOf(5, Number.POSITIVE_INFINITY);

    expect(limitsOf(workflow, ada)).toEqual([
      { key: "server", gate: "server", limit: 1000 },
      { key: "workflow/a.B/C", gate: "workflow", limit: 5 },
    ]);
    expect(limitsOf(workflow, { ...ada, subject: "bob" })).toBe(limitsOf(workflow, ada));
  });

  it("are one more where its principals have one each: of this owner, in this workflow", () => {
    const limitsOf = createPermitLimits(1000);
    const workflow = workflowOf(5, 2);

    expect(limitsOf(workflow, ada)).toEqual([
      { key: "server", gate: "server", limit: 1000 },
      { key: "workflow/a.B/C", gate: "workflow", limit: 5 },
      { key: "principal/studio/ada in workflow/a.B/C", gate: "principal", limit: 2 },
    ]);
    const keys = [
      limitsOf(workflow, { ...ada, subject: "bob" }),
      limitsOf(workflow, { tenant: "a", subject: "b/c" }),
      limitsOf(workflow, { tenant: "a/b", subject: "c" }),
      limitsOf(workflow, { tenant: "a%2Fb", subject: "c" }),
      limitsOf(workflow, { ...ada, tenant: "other" }),
      limitsOf({ ...workflow, name: "a.B/D" }, ada),
    ].map((limits) => limits[2]?.key);
    expect(new Set([...keys, limitsOf(workflow, ada)[2]?.key]).size).toBe(7);
  });
});
