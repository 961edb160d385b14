import { create, toBinary } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { AlertSchema } from "../../../gen/retake/v1/alert_pb.js";
import { WatchAlertsResponseSchema } from "../../../gen/retake/v1/monitoring_service_pb.js";
import { watchMessages } from "../../../src/server/monitoring/watch-messages.ts";

function alertsOf(count: number, summary = "") {
  return Array.from({ length: count }, (_, i) =>
    create(AlertSchema, { alertId: `alert ${i}`, rule: "Deep", annotations: { summary } }),
  );
}

it("says with the first message alone that these are all, also where there are none", () => {
  expect([...watchMessages([], [], true)]).toEqual([{ complete: true, alerts: [], goneAlertIds: [] }]);
  expect(
    Array.from(watchMessages(alertsOf(401), [], true), ({ complete, alerts }) => [complete, alerts.length]),
  ).toEqual([
    [true, 200],
    [false, 200],
    [false, 1],
  ]);
});

it("tells many alerts in messages of less than 4 MB, each once", () => {
  const alerts = alertsOf(1_000, "x".repeat(10_000));
  const gone = Array.from({ length: 25_000 }, (_, i) => `gone ${i}`);
  const told = [...watchMessages(alerts, gone, false)];
  expect(told.flatMap((message) => message.alerts)).toEqual(alerts);
  expect(told.flatMap(({ goneAlertIds }) => goneAlertIds)).toEqual(gone);
  for (const message of told) {
    const bytes = toBinary(WatchAlertsResponseSchema, create(WatchAlertsResponseSchema, message));
    expect(bytes.length).toBeLessThan(4 * 1024 * 1024);
  }
});
