import { expect, it } from "vitest";
import { BackendCallMetrics } from "../src/backends/call-metrics.ts";
import { Instruments } from "../src/instruments.ts";
import { CallMetrics } from "../src/interceptors/rpc/telemetry.ts";

it("counts calls, of clients and of servers, in the buckets that the semantic conventions advise", () => {
  const found = new Map<string, readonly number[]>();
  class Watched extends Instruments {
    override histogram(...given: Parameters<Instruments["histogram"]>) {
      found.set(given[0].name, given[1]);
      return super.histogram(...given);
    }
  }
  const instruments = new Watched(10);
  new BackendCallMetrics(instruments);
  new CallMetrics(instruments);
  const advised = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
  expect(Object.fromEntries(found)).toMatchObject({
    "rpc.client.call.duration": advised,
    "rpc.server.call.duration": advised,
  });
});
