import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CliServer, retake as cli, jsonLines, startServer } from "../harness.ts";

let server: CliServer;
beforeAll(async () => {
  const rule = { name: "Deep", queries: { depth: { metric: "depth" } }, warning: { at: 10 } };
  const rules = [{ ...rule, annotations: { summary: "deep" } }];
  server = await startServer({}, {}, { config: { monitoring: { rules } } });
});
afterAll(() => server[Symbol.asyncDispose]());

const retake = (...argv: string[]) => cli(argv, { env: server.env });

describe("retake alerts", () => {
  it("silences alerts, lists what is silenced, and ends it", async () => {
    const set = await retake(
      "alerts",
      "silence",
      'alertname=~"Deep|Long"',
      "--and",
      "queue!=a",
      "--for",
      "2h",
      "--comment",
      "moved",
    );
    expect(set.stdout).toMatch(/^Silence [0-9a-f]{16} holds until \d{4}-\d\d-\d\d .*\n$/);
    const id = /Silence (\S+)/.exec(set.stdout)?.[1] ?? "";
    expect(set.stderr).toBe(`End it: retake alerts unsilence ${id}\n`);
    expect((await retake("alerts", "silences")).stdout).toMatch(
      new RegExp(
        `^SILENCE +STATE +UNTIL +BY +WHAT +WHY\n${id} +holds +.* alertname=~"Deep\\|Long" queue!="a" +moved\n$`,
      ),
    );
    expect((await retake("alerts", "unsilence", id)).stdout).toBe(`Silence ${id} is over\n`);
    expect((await retake("alerts", "silences")).stdout).toContain(" over ");
    expect(jsonLines((await retake("alerts", "silences", "--json")).stdout)).toMatchObject([{ silenceId: id }]);
  });

  it("says that there is nothing where there is nothing", async () => {
    expect(await retake("alerts", "list", "--rule", "Deep")).toMatchObject({
      exitCode: 0,
      stdout: "",
      stderr: "No alerts\n",
    });
    expect(await retake("alerts", "history", "--rule", "Deep")).toMatchObject({
      exitCode: 0,
      stderr: "No alert has moved\n",
    });
  });

  it.each([
    [["alerts", "ack", "none"], 4, "no alert none is on its way or fires"],
    [["alerts", "unack", "none"], 4, "no alert none"],
    [["alerts", "unsilence", "none"], 4, "there is no silence none"],
    [["alerts", "silence", "Deep"], 2, 'MATCHER: "Deep" is none'],
    [
      ["alerts", "list", "--severity", "critcal"],
      2,
      'there is no "critcal", only warning, critical. Did you mean "critical"',
    ],
    [["alerts", "list", "--state", "on"], 2, "only pending, firing, recovering, resolved"],
    [["rules", "export", "--format", "html"], 2, "only prometheus, grafana"],
    [["notifiers", "test", "pager"], 4, 'there is no notifier "pager". The configuration has none'],
  ])("%j is refused", async (argv, exitCode, message) => {
    const refused = await retake(...argv);
    expect(refused.stderr).toContain(message);
    expect(refused.exitCode).toBe(exitCode);
  });
});

describe("retake rules", () => {
  it("lists rules, and where they come from", async () => {
    const { stdout } = await retake("rules", "list");
    expect(stdout).toMatch(/^Deep +configuration +10 +deep$/m);
    expect(stdout).toMatch(/^RetakeErrorRate +built in +0\.1 +0\.5 /m);
  });

  it("writes them for Prometheus, and a dashboard for Grafana", async () => {
    const rules = (await retake("rules", "export")).stdout;
    expect(rules).toContain("- alert: Deep\n");
    expect(rules).toContain("expr: depth > 10\n");
    expect(JSON.parse((await retake("rules", "export", "--format", "grafana")).stdout)).toHaveProperty("panels");
  });
});
