import { execFile, spawn } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { Code } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { WorkloadService } from "../gen/retake/test/e2e/v1/workload_pb.js";
import { requireTool } from "../tools.ts";
import { TracedCalls } from "./collector/traced-calls.ts";
import { connect } from "./connection.ts";
import { readJournals } from "./kill/journals.ts";
import { startPrometheus } from "./prometheus.ts";
import { requirePythonWithGrpc } from "./python.ts";
import { createServerSite, type ServerSite } from "./server-process.ts";

const run = promisify(execFile);

const workflow = (name: string) => `${WorkloadService.typeName}/${name}`;

interface ExemplarSeries {
  readonly seriesLabels: Readonly<Record<string, string>>;
  readonly exemplars: readonly { readonly labels: Readonly<Record<string, string>> }[];
}

interface RuleGroups {
  readonly groups: readonly {
    readonly rules: readonly {
      readonly name: string;
      readonly query: string;
      readonly health: string;
      readonly lastError?: string;
    }[];
  }[];
}

/** What `retake` prints when it is told to, about the server of a site. */
async function retake(site: ServerSite, ...command: string[]): Promise<string> {
  const main = join(import.meta.dirname, "../../src/cli/main.ts");
  const target = `127.0.0.1:${site.grpcPort}`;
  const { stdout } = await run(process.execPath, ["--conditions=retake-source", main, ...command, "--target", target], {
    maxBuffer: 10_000_000,
  });
  return stdout;
}

interface Dashboard {
  readonly panels: readonly { readonly title: string; readonly targets: readonly { readonly expr: string }[] }[];
  readonly annotations: { readonly list: readonly { readonly expr: string }[] };
  readonly templating: { readonly list: readonly { readonly query: string | { readonly query: string } }[] };
}

/** What Grafana puts in for its variables when all workflows are chosen. */
const asGrafanaAsks = (expression: string): string =>
  expression.replaceAll("$__rate_interval", "1m").replaceAll("$workflow", ".+");

/** Metrics of rules that a server has only once there is trouble, or back-ends and notifiers. */
const onlyInTrouble: ReadonlySet<string> = new Set([
  "retake_access_denied_total",
  "retake_attempts_stalled_total",
  "retake_authentication_failures_total",
  "retake_endpoint_available",
  "retake_notifications_total",
  "retake_runs_refused_total",
  "retake_webhooks_total",
]);

const labels: ReadonlySet<string> = new Set(["retake_service", "retake_workflow"]);

async function metricsText(site: ServerSite, accept: string): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${site.webPort}/metrics`, { headers: { accept } });
  return await response.text();
}

/** What a program answers that gets a text, on both of its outputs. */
function told(program: string, args: readonly string[], text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
    let output = "";
    child.stdout.on("data", (chunk) => (output += chunk));
    child.stderr.on("data", (chunk) => (output += chunk));
    child.once("error", reject);
    child.once("close", (code) => resolve(`${output}${code === 0 ? "" : ` (${code})`}`));
    child.stdin.end(text);
  });
}

const strict = `
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
print(len([s for f in text_string_to_metric_families(sys.stdin.read()) for s in f.samples if s.exemplar]) > 0)
`;

it("a real Prometheus scrapes a server, exemplars included, and takes its rules", async (context) => {
  const program = requireTool("prometheus", context);
  const promtool = requireTool("promtool", context);
  const python = await requirePythonWithGrpc(context, ["prometheus_client"]);
  await using site = await createServerSite({
    config: {
      workflows: {
        [workflow("Flaky")]: { circuitBreaker: { volumeThreshold: 1_000 } },
        [workflow("Steps")]: { fallbacks: [workflow("Single")] },
      },
    },
  });
  await site.launch().ready;
  await using prometheus = await startPrometheus(
    program,
    `127.0.0.1:${site.webPort}`,
    await retake(site, "rules", "export"),
  );
  const calls = new TracedCalls();
  using connection = connect(site.grpcPort, [calls.interceptor]);
  for (let call = 0; call < 5; call++) await connection.workloads.single({ text: "a" });
  await connection.workloads.flaky({ failures: 2 });
  for await (const _ of connection.workloads.stream({ lines: 3 })) {
    // To its end.
  }
  await expect(connection.workloads.flaky({ failures: 9 })).rejects.toMatchObject({ code: Code.Unavailable });
  const journals = [...(await readJournals(connection)).values()];

  const eventually = { timeout: 30_000, interval: 200 };
  await expect.poll(() => prometheus.value("sum(retake_runs_ended_total)"), eventually).toBe(journals.length);
  expect(await prometheus.value('up{job="retake"}')).toBe(1);
  const values: Record<string, number> = {
    "sum(retake_runs_started_total)": 8,
    [`retake_runs_started_total{retake_workflow="${workflow("Single")}"}`]: 5,
    'sum(retake_runs_ended_total{retake_run_state="FAILED"})': 1,
    [`sum(retake_attempts_total{retake_workflow="${workflow("Flaky")}"})`]: 7,
    [`sum(retake_retries_total{retake_workflow="${workflow("Flaky")}"})`]: 5,
    "count(retake_run_duration_seconds_count)": 4,
    [`rpc_server_call_duration_seconds_count{rpc_method="${workflow("Single")}",rpc_status_code="OK",rpc_system_name="grpc"}`]: 5,
    [`rpc_server_call_duration_seconds_bucket{rpc_method="${workflow("Stream")}",le="+Inf"}`]: 1,
    [`rpc_server_call_duration_seconds_count{rpc_method="${workflow("Flaky")}",error_type="UNAVAILABLE"}`]: 1,
    retake_journal_available: 1,
  };
  for (const [query, value] of Object.entries(values)) expect(await prometheus.value(query), query).toBe(value);

  const now = Date.now() / 1000;
  const found = await prometheus.get<readonly ExemplarSeries[]>("query_exemplars", {
    query: `rpc_server_call_duration_seconds_bucket{rpc_method=~"${WorkloadService.typeName}/.*"}`,
    start: String(now - 600),
    end: String(now + 60),
  });
  const exemplars = found.flatMap(({ seriesLabels, exemplars: all }) =>
    all.map(({ labels }) => `${seriesLabels["rpc_method"]} ${labels["trace_id"]} ${labels["run_id"]}`),
  );
  const runs = calls.all
    .filter(({ method }) => method.startsWith(WorkloadService.typeName))
    .map(({ traceId, method }) => {
      const journal = journals.find(({ events }) =>
        events.some(({ event }) => event.case === "accepted" && event.value.traceparent.includes(traceId)),
      );
      return `${method} ${traceId} ${journal?.run.runId}`;
    });
  expect(new Set(exemplars.map((each) => each.split(" ")[0]))).toEqual(
    new Set(["Single", "Flaky", "Stream"].map(workflow)),
  );
  expect(exemplars.filter((each) => !runs.includes(each))).toEqual([]);

  const { groups } = await prometheus.get<RuleGroups>("rules");
  const rules = groups.flatMap((group) => group.rules);
  const listed = (await retake(site, "rules", "list", "--json")).trimEnd().split("\n");
  const names = listed.map((line) => (JSON.parse(line) as { rule: { name: string } }).rule.name);
  expect(names.length).toBeGreaterThan(10);
  expect(new Set(rules.map(({ name }) => name))).toEqual(new Set(names));
  await expect
    .poll(async () => {
      const { groups: evaluated } = await prometheus.get<RuleGroups>("rules");
      return evaluated.flatMap((group) => group.rules).filter(({ health }) => health !== "ok");
    }, eventually)
    .toEqual([]);
  expect(prometheus.complaints).toEqual([]);

  const queried = new Set(
    rules.flatMap(({ query }) => query.match(/\b(?:nodejs|process|retake)_[a-z0-9_]+(?=[{[ )]|$)/g) ?? []),
  );
  expect(queried.size).toBeGreaterThan(20);
  const absent = [...queried].filter((metric) => !onlyInTrouble.has(metric) && !labels.has(metric));
  const dashboard = JSON.parse(await retake(site, "rules", "export", "--format", "grafana")) as Dashboard;
  const fault = { workflow: workflow("Steps"), effect: { case: "status", value: { code: "DATA_LOSS" } } } as const;
  await connection.admin.injectFault({ fault, duration: { seconds: 600n } });
  await connection.runs.startRun({ workflow: workflow("Held") });
  // Rates are of what goes on: the load does, until everything that is asked for has been seen.
  await expect
    .poll(
      async () => {
        await connection.workloads.single({ text: "b" });
        await connection.workloads.flaky({ key: String(performance.now()), failures: 1 });
        await connection.workloads.steps({ text: "b" });
        const missing: string[] = [];
        for (const { title, targets } of dashboard.panels) {
          for (const { expr } of targets) {
            const samples = await prometheus.samples(asGrafanaAsks(expr));
            if (!samples.some(({ value }) => Number.isFinite(Number(value[1])))) missing.push(`${title}: ${expr}`);
          }
        }
        for (const metric of absent) if ((await prometheus.samples(metric)).length === 0) missing.push(metric);
        return missing;
      },
      { timeout: 30_000, interval: 500 },
    )
    .toEqual([]);
  for (const { expr } of dashboard.annotations.list) await prometheus.samples(expr);
  const chosen = await prometheus.get<readonly string[]>("label/retake_workflow/values", {
    "match[]": "retake_runs_ended_total",
  });
  expect(chosen).toContain(workflow("Steps"));

  expect(await told(promtool, ["check", "metrics"], await metricsText(site, "text/plain"))).toBe("");
  const open = await metricsText(site, "application/openmetrics-text; version=1.0.0");
  expect(await told(python, ["-c", strict], open)).toBe("True\n");
}, 300_000);
