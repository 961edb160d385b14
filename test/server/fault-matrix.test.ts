import { describe, it } from "vitest";
import { expectAlerts } from "./fault-matrix/expect-alerts.ts";
import { faultCases } from "./fault-matrix/faults.ts";

describe("the alerts of a server, on virtual time", () => {
  it.each(faultCases.filter(({ quick }) => quick))("$fault: $raises", expectAlerts);
});
