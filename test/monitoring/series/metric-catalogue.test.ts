import { expect, it } from "vitest";
import { listMetrics } from "../../../src/monitoring/series/metric-catalogue.ts";
import { noSeriesStorage } from "../../../src/monitoring/series/series-storage.ts";
import { SeriesStore } from "../../../src/monitoring/series/series-store.ts";
import { silentLogger } from "../../../src/runs/index.ts";
import { createVirtualClock } from "../../../src/testing/virtual-clock.ts";

it("metrics are listed with what is known of them, also those that only an earlier process had", async () => {
  const store = await SeriesStore.open({ clock: createVirtualClock(), log: silentLogger, storage: noSeriesStorage });
  for (const name of ["took_bucket", "took_sum", "took_count", "frames_total", "old_bucket", "old_sum", "old_count"]) {
    store.series(name, {}, "counter");
  }
  // What ends like a part of a histogram, and is none.
  for (const name of ["depth", "head_count"]) store.series(name, {}, "gauge");
  const took = { name: "took", kind: "histogram", unit: "s", description: "How long." } as const;
  const unseen = { name: "unseen", kind: "gauge", unit: "", description: "" } as const;
  const described = new Map([took, unseen].map((one) => [one.name, one] as const));
  expect(listMetrics(store, described)).toEqual([
    { name: "depth", kind: "gauge", unit: "", description: "" },
    { name: "frames_total", kind: "counter", unit: "", description: "" },
    { name: "head_count", kind: "gauge", unit: "", description: "" },
    { name: "old", kind: "histogram", unit: "", description: "" },
    took,
  ]);
});
