import { describe, expect, it } from "vitest";
import { grafanaDashboard } from "../../../src/monitoring/alerts/grafana-dashboard.ts";

interface Dashboard {
  readonly panels: readonly {
    readonly id: number;
    readonly gridPos: { readonly x: number; readonly y: number };
    readonly targets: readonly { readonly expr: string; readonly refId: string }[];
  }[];
}

describe("grafanaDashboard", () => {
  const { panels } = JSON.parse(JSON.stringify(grafanaDashboard())) as Dashboard;

  it("has panels that do not cover each other, each with its queries", () => {
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    expect(new Set(panels.map(({ gridPos: { x, y } }) => `${x} ${y}`)).size).toBe(panels.length);
    for (const { targets } of panels) {
      expect(targets.length).toBeGreaterThan(0);
      expect(new Set(targets.map(({ refId }) => refId)).size).toBe(targets.length);
    }
  });
});
