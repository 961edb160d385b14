import { expect, it } from "vitest";
import { AuditOutcome } from "../../gen/retake/v1/audit_pb.js";
import { BreakerMode } from "../../gen/retake/v1/breaker_pb.js";
import { plain, start, startRun, trip } from "./breaker-studio.ts";
import { metricsOf } from "./metrics.ts";

it("transitions of breakers are counted by what they came to", async () => {
  const studio = await start({ config: { web: { port: 0 } } });
  const { admin, clock, backend, server } = studio;
  await trip(studio);
  await startRun(studio, "waits");
  backend.down = false;
  await clock.advance(30_000);
  await admin.forceBreaker({ workflow: plain, mode: BreakerMode.FORCED_OPEN });
  const counted = [...(await metricsOf(server))].filter(([name]) =>
    name.startsWith("retake_breaker_transitions_total"),
  );
  expect(counted.map(([series, count]) => [/[{,]to="(\w+)"/.exec(series)?.[1], count]).sort()).toEqual([
    ["closed", 1],
    ["forced_open", 1],
    ["half_open", 1],
    ["open", 1],
  ]);
});

it("a breaker's own transitions are on record as the server's, and an operator's as theirs alone", async () => {
  const studio = await start();
  const { admin, clock, backend } = studio;
  await trip(studio);
  await startRun(studio, "waits");
  backend.down = false;
  await clock.advance(30_000);
  await admin.forceBreaker({ workflow: plain, mode: BreakerMode.FORCED_OPEN, reason: "look" });
  await admin.forceBreaker({ workflow: plain, mode: BreakerMode.AUTOMATIC, reason: "seen" });
  const { records } = await admin.listAuditRecords({ filter: { action: "breaker.*" }, oldestFirst: true });
  expect(records.map(({ action, subject }) => `${action} by ${subject}`)).toEqual([
    "breaker.open by server",
    "breaker.half_open by server",
    "breaker.close by server",
    "breaker.force by in-process",
    "breaker.force by in-process",
  ]);
  expect(records[0]).toMatchObject({
    outcome: AuditOutcome.GRANTED,
    resource: plain,
    source: "",
    details: { backend: "in-process", generation: "1", reason: "3 of 3 attempts failed within 60 s" },
  });
});
