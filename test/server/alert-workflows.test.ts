import { createClient } from "@connectrpc/connect";
import { expect, it, onTestFinished } from "vitest";
import { MonitoringService } from "../../gen/retake/v1/monitoring_service_pb.js";
import { createTestServer } from "../../src/testing/test-server.ts";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { handlers } from "./handlers.ts";
import { stopServer } from "./harness.ts";

const plain = `${WorkflowsService.typeName}/Plain`;
const misspelt = `${WorkflowsService.typeName}/Plian`;
const lowering = (workflow: string) => ({
  ...{ name: "Hot", queries: { heat: { metric: "studio_heat" } }, warning: { at: 80 }, lowerQuality: { workflow } },
});

async function start(monitoring: object) {
  const warnings: [fields: object, message: string][] = [];
  const silent = () => undefined;
  const log = {
    ...{ debug: silent, info: silent, error: silent },
    warn: (fields: object, message: string) => void warnings.push([fields, message]),
  };
  const test = createTestServer({ log, config: { monitoring } });
  test.server.implement(WorkflowsService, handlers());
  const listening = test.server.listen();
  await test.clock.advance(0);
  await listening;
  onTestFinished(() => stopServer(test));
  return { ...test, warnings };
}

it("the log is told of promises and rules about workflows that there are not, at the start and with what is read anew", async () => {
  const { server, warnings, clock } = await start({
    slos: [
      { workflow: plain, availability: 0.99 },
      { workflow: misspelt, availability: 0.99 },
    ],
    rules: [lowering(misspelt)],
  });
  const hint = expect.stringContaining(`there is no workflow "${misspelt}". Did you mean "${plain}"?`);
  expect(warnings).toEqual([
    [{ field: "monitoring.slos[1].workflow" }, hint],
    [{ field: "monitoring.rules[0].lower_quality.workflow" }, hint],
  ]);
  warnings.length = 0;
  const reloading = server.reload({ monitoring: { rules: [lowering(plain)] } } as never);
  await clock.advance(0);
  await reloading;
  expect(warnings.filter(([fields]) => "field" in fields)).toEqual([
    [
      { field: "monitoring.rules[0].lower_quality.workflow" },
      expect.stringContaining("nothing says what a lower quality"),
    ],
  ]);
});

it.each([
  [misspelt, `Did you mean "${plain}"?`],
  [plain, "nothing says what a lower quality"],
])("a rule that would lower the quality of %s is refused", async (workflow, why) => {
  const { server, clock } = await start({});
  const { setAlertRule } = createClient(MonitoringService, server.transport);
  const setting = setAlertRule({ rule: lowering(workflow) }).catch((error: unknown) => error);
  for (let turn = 0; turn < 200; turn++) {
    if (await Promise.race([setting.then(() => true), clock.advance(1).then(() => false)])) break;
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(String(await setting)).toContain(why);
});
