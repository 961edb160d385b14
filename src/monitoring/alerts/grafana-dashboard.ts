interface Panel {
  readonly title: string;
  readonly unit: string;
  readonly description: string;
  /** In PromQL, each with what its lines are called. */
  readonly queries: readonly (readonly [expression: string, legend: string])[];
}

const rate = "[$__rate_interval]";
const chosen = 'retake_workflow=~"$workflow"';

const panels: readonly Panel[] = [
  {
    title: "Runs that end",
    unit: "ops",
    description: "A second, by how they ended.",
    queries: [[`sum by (retake_run_state) (rate(retake_runs_ended_total{${chosen}}${rate}))`, "{{retake_run_state}}"]],
  },
  {
    title: "Open runs",
    unit: "short",
    description: "By where they stand.",
    queries: [[`sum by (retake_run_state) (retake_runs_open{${chosen}})`, "{{retake_run_state}}"]],
  },
  {
    title: "How long runs take",
    unit: "s",
    description: "From acceptance to end, waits included.",
    queries: [0.5, 0.95, 0.99].map((quantile) => [
      `histogram_quantile(${quantile}, sum by (le) (rate(retake_run_duration_seconds_bucket{${chosen}}${rate})))`,
      `p${quantile * 100}`,
    ]),
  },
  {
    title: "How long runs wait",
    unit: "s",
    description: "Before their first attempt.",
    queries: [
      [
        `histogram_quantile(0.95, sum by (le, retake_workflow) (rate(retake_run_queue_duration_seconds_bucket{${chosen}}${rate})))`,
        "{{retake_workflow}}",
      ],
    ],
  },
  {
    title: "Attempts, retries, fallbacks",
    unit: "ops",
    description: "A second.",
    queries: [
      [`sum(rate(retake_attempts_total{${chosen}}${rate}))`, "attempts"],
      [`sum(rate(retake_retries_total{${chosen}}${rate}))`, "retries"],
      [`sum(rate(retake_fallbacks_total{${chosen}}${rate}))`, "fallbacks"],
    ],
  },
  {
    title: "Breakers",
    unit: "short",
    description: "0 closed, 1 half-open, 2 open.",
    queries: [[`max by (retake_workflow) (retake_breaker_state{${chosen}})`, "{{retake_workflow}}"]],
  },
  {
    title: "Quality",
    unit: "short",
    description: "0 FULL to 4 MINIMAL.",
    queries: [[`max by (retake_workflow) (retake_quality_level{${chosen}})`, "{{retake_workflow}}"]],
  },
  {
    title: "Calls",
    unit: "s",
    description: "How long the slowest hundredth of calls takes, by method.",
    queries: [
      [
        "histogram_quantile(0.99, sum by (le, rpc_method) (rate(rpc_server_call_duration_seconds_bucket[$__rate_interval])))",
        "{{rpc_method}}",
      ],
    ],
  },
  {
    title: "Journal",
    unit: "s",
    description: "How long commits take, the sync included.",
    queries: [
      [
        "histogram_quantile(0.99, sum by (le) (rate(retake_journal_commit_duration_seconds_bucket[$__rate_interval])))",
        "p99",
      ],
    ],
  },
  {
    title: "Event loop and memory",
    unit: "short",
    description: "Seconds that the event loop is late (p99), and the share of the memory that is used.",
    queries: [
      ["nodejs_eventloop_delay_p99_seconds", "event loop"],
      ["process_memory_usage_bytes / retake_memory_limit_bytes", "memory"],
    ],
  },
];

/** A dashboard for Grafana 9 or newer over a Prometheus that scrapes `/metrics`: import it, and choose the data source. */
export function grafanaDashboard(): object {
  const datasource = { type: "prometheus", uid: "$datasource" };
  return {
    title: "Retake",
    uid: "retake",
    tags: ["retake"],
    schemaVersion: 37,
    time: { from: "now-6h", to: "now" },
    refresh: "30s",
    templating: {
      list: [
        { name: "datasource", type: "datasource", query: "prometheus", label: "Data source" },
        {
          ...{
            name: "workflow",
            type: "query",
            label: "Workflow",
            datasource,
            refresh: 2,
            multi: true,
            includeAll: true,
          },
          query: { query: "label_values(retake_runs_ended_total, retake_workflow)", refId: "workflows" },
          current: { text: "All", value: "$__all" },
        },
      ],
    },
    annotations: {
      list: [
        {
          ...{ name: "Alerts", datasource, enable: true, iconColor: "red" },
          expr: 'ALERTS{alertname=~"Retake.*|Slo.*", alertstate="firing"}',
        },
      ],
    },
    panels: panels.map(({ title, unit, description, queries }, i) => ({
      ...{ id: i + 1, type: "timeseries", title, description, datasource },
      gridPos: { h: 8, w: 12, x: (i % 2) * 12, y: Math.floor(i / 2) * 8 },
      fieldConfig: { defaults: { unit, min: 0 }, overrides: [] },
      targets: queries.map(([expr, legendFormat], j) => ({
        refId: String.fromCharCode(65 + j),
        datasource,
        expr,
        legendFormat,
      })),
    })),
  };
}
