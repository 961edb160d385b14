import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  AlertAbsence,
  AlertComparison,
  type AlertRule,
  AlertRuleSchema,
  AlertStatistic,
  MatcherOperator,
} from "../../../gen/retake/v1/alert_pb.js";
import { durationFromMs } from "../../runs/index.ts";

type Init = MessageInitShape<typeof AlertRuleSchema>;

const second = 1_000;
const minute = 60 * second;

/** How long runs take, and how long they took before: all of it is in memory. */
const recently = { window: durationFromMs(30 * minute), minCount: 10 };
const before = { window: durationFromMs(330 * minute), offset: durationFromMs(30 * minute), minCount: 50 };

const byWorkflow = { labels: ["retake_workflow"] };

/** States in which a run has ended badly, and not because somebody wanted it to. */
const unsuccessful = { label: "retake_run_state", operator: MatcherOperator.MATCHES, value: "FAILED|EXPIRED" };

/** The rules that every server has, unless the configuration leaves one out by its name, or has its own in its place. */
export function builtInRules(): readonly AlertRule[] {
  return rules.map((init) => create(AlertRuleSchema, init));
}

const rules: readonly Init[] = [
  {
    name: "RetakeDeadMan",
    queries: { up: { metric: "process_uptime_seconds" } },
    comparison: AlertComparison.ABOVE,
    // It always fires: whoever hears nothing of it any more knows that nothing else would be heard either.
    warning: { at: -1 },
    noData: AlertAbsence.ALERT,
    labels: { deadman: "true" },
    annotations: { summary: "The alerts of this server are on their way. Be alarmed when this one stops." },
  },
  {
    name: "RetakeErrorRate",
    queries: {
      failed: counted("retake_runs_ended_total", 10 * minute, [unsuccessful]),
      ended: { ...counted("retake_runs_ended_total", 10 * minute), minCount: 10 },
    },
    expression: "failed / ended",
    warning: { at: 0.1, clear: 0.05 },
    critical: { at: 0.5, clear: 0.25 },
    for: durationFromMs(minute),
    keepFiringFor: durationFromMs(2 * minute),
    annotations: {
      summary: "{{ $value | humanizePercentage }} of the runs of {{ $labels.retake_workflow }} fail",
      description:
        "Of those that ended in the last ten minutes. The failures are told by: retake runs list --state FAILED",
    },
  },
  {
    name: "RetakeRunsFailing",
    queries: {
      failing: { metric: "retake_runs_failing", grouping: byWorkflow },
      ended: counted("retake_runs_ended_total", 10 * minute),
    },
    // Where more have ended, the rate of errors says more than a row of them.
    expression: "ended < 10.0 ? failing : 0.0",
    warning: { at: 2.5, clear: 0.5 },
    for: durationFromMs(10 * minute),
    annotations: {
      summary: "the last {{ $value | humanize }} runs of {{ $labels.retake_workflow }} have all failed",
      description: "None has succeeded since. The failures are told by: retake runs list --state FAILED",
    },
  },
  {
    name: "RetakeSlowRuns",
    queries: {
      p95: durations(0.95, recently),
      usual_p95: durations(0.95, before),
      p50: durations(0.5, recently),
      usual_p50: durations(0.5, before),
    },
    // What lasts becomes usual: by the slowest runs soon, by half of them only after hours. And those are late to tell of it.
    expression: `${timesAsLong("p95")} > ${timesAsLong("p50")} ? ${timesAsLong("p95")} : ${timesAsLong("p50")}`,
    warning: { at: 3, clear: 2 },
    for: durationFromMs(5 * minute),
    annotations: {
      summary:
        "runs of {{ $labels.retake_workflow }} take {{ $value | humanize }} times as long as in the hours before",
    },
  },
  {
    name: "RetakeQueueGrowing",
    queries: {
      now: { ...open("QUEUED"), statistic: AlertStatistic.MIN, window: durationFromMs(5 * minute) },
      before: { ...open("QUEUED"), statistic: AlertStatistic.AVG, window: durationFromMs(30 * minute) },
    },
    // By how large a part, where many wait: of a thousand. It begins with half as many more, and goes on while it grows at all.
    expression: "now > 20.0 ? (now - before) / ((before < 1000.0 ? before : 1000.0) + 1.0) : 0.0",
    warning: { at: 0.5, clear: 0.01 },
    critical: { at: 3, clear: 1 },
    for: durationFromMs(5 * minute),
    keepFiringFor: durationFromMs(5 * minute),
    annotations: { summary: "more and more runs of {{ $labels.retake_workflow }} wait" },
  },
  {
    name: "RetakeBreakerOpen",
    queries: {
      state: { metric: "retake_breaker_state", statistic: AlertStatistic.MAX, window: durationFromMs(minute) },
    },
    warning: { at: 1.5 },
    keepFiringFor: durationFromMs(minute),
    annotations: {
      summary: "the breaker of {{ $labels.retake_workflow }} is open",
      description: "Its back-end fails. See it with: retake breakers list",
    },
  },
  {
    name: "RetakeRunStuck",
    queries: { age: oldest("RUNNING|DELEGATED|QUEUED") },
    warning: { at: 6 * 3_600 },
    critical: { at: 24 * 3_600 },
    annotations: {
      summary:
        "a run of {{ $labels.retake_workflow }} has been {{ $labels.retake_run_state }} for {{ $value | humanizeDuration }}",
    },
  },
  {
    name: "RetakeRunParked",
    queries: { age: oldest("PARKED") },
    warning: { at: 3_600 },
    // Half of what runs have by default: then they expire.
    critical: { at: 12 * 3_600 },
    annotations: {
      summary: "a run of {{ $labels.retake_workflow }} has been PARKED for {{ $value | humanizeDuration }}",
      description:
        "Its breaker is open, its workflow is paused, or the contract that it was accepted with is gone: " +
        "retake runs list --state PARKED",
    },
  },
  {
    name: "RetakeCancelSlow",
    queries: { age: oldest("CANCELLING") },
    warning: { at: 1_800 },
    annotations: {
      summary: "a run of {{ $labels.retake_workflow }} has been CANCELLING for {{ $value | humanizeDuration }}",
      description: "Its back-end does not stop, and keeps its slot until cancel_grace is over.",
    },
  },
  {
    name: "RetakeRunStalled",
    queries: { stalled: counted("retake_attempts_stalled_total", 15 * minute) },
    warning: { at: 0.5 },
    annotations: { summary: "attempts of {{ $labels.retake_workflow }} make no progress" },
  },
  {
    name: "RetakeQualityLow",
    queries: {
      level: { metric: "retake_quality_level", statistic: AlertStatistic.MIN, window: durationFromMs(5 * minute) },
    },
    warning: { at: 0.5 },
    critical: { at: 2.5 },
    for: durationFromMs(30 * minute),
    annotations: {
      summary: "runs of {{ $labels.retake_workflow }} have asked for less than their callers want for a while",
    },
  },
  {
    name: "RetakeMemory",
    queries: { used: { metric: "process_memory_usage_bytes" }, limit: { metric: "retake_memory_limit_bytes" } },
    expression: "used / limit",
    warning: { at: 0.85, clear: 0.8 },
    critical: { at: 0.95, clear: 0.9 },
    for: durationFromMs(2 * minute),
    annotations: { summary: "the server uses {{ $value | humanizePercentage }} of the memory that it may" },
  },
  {
    name: "RetakeHeap",
    queries: {
      // The least of a while: what is above that is garbage, which goes when room is needed.
      used: {
        metric: "retake_heap_used_bytes",
        statistic: AlertStatistic.MIN,
        window: durationFromMs(2 * minute),
      },
      limit: { metric: "retake_heap_limit_bytes" },
    },
    expression: "used / limit",
    warning: { at: 0.8, clear: 0.7 },
    critical: { at: 0.92, clear: 0.85 },
    for: durationFromMs(minute),
    annotations: {
      summary: "{{ $value | humanizePercentage }} of the heap of V8 are in use: the process ends when it is full",
      description: "However much memory the machine has: raise --max-old-space-size, or find what keeps so much.",
    },
  },
  {
    name: "RetakeEventLoopDelay",
    queries: {
      delay: {
        metric: "nodejs_eventloop_delay_p99_seconds",
        statistic: AlertStatistic.AVG,
        window: durationFromMs(minute),
      },
    },
    warning: { at: 0.2, clear: 0.1 },
    critical: { at: 1, clear: 0.5 },
    for: durationFromMs(minute),
    annotations: {
      summary: "the event loop is late by {{ $value | humanizeDuration }}: the server has too much to do",
    },
  },
  {
    name: "RetakeDiskSpace",
    queries: { free: { metric: "retake_disk_free_bytes" }, size: { metric: "retake_disk_size_bytes" } },
    expression: "free / size",
    comparison: AlertComparison.BELOW,
    warning: { at: 0.15, clear: 0.2 },
    critical: { at: 0.05, clear: 0.1 },
    annotations: { summary: "the disk of the data directory has {{ $value | humanizePercentage }} left" },
  },
  {
    name: "RetakeJournalSlow",
    queries: {
      p99: {
        metric: "retake_journal_commit_duration_seconds",
        statistic: AlertStatistic.QUANTILE,
        quantile: 0.99,
        window: durationFromMs(5 * minute),
        grouping: {},
        minCount: 10,
      },
    },
    warning: { at: 0.25, clear: 0.1 },
    critical: { at: 2, clear: 1 },
    for: durationFromMs(minute),
    annotations: { summary: "the slowest commits of the journal take {{ $value | humanizeDuration }}" },
  },
  {
    name: "RetakeJournalHangs",
    queries: {
      age: { metric: "retake_journal_unanswered_age_seconds" },
      // One that says that it cannot be written to does not hang.
      available: { metric: "retake_journal_available" },
    },
    expression: "available > 0.5 ? age : 0.0",
    warning: { at: 9 },
    critical: { at: 29 },
    annotations: {
      summary: "the journal has not answered for {{ $value | humanizeDuration }}: runs neither begin nor end",
      description: "Its disk hangs: look at the log of the system, and at where the data directory is mounted from.",
    },
  },
  {
    name: "RetakeJournalUnavailable",
    queries: { available: { metric: "retake_journal_available" } },
    comparison: AlertComparison.BELOW,
    critical: { at: 0.5 },
    annotations: {
      summary: "the journal cannot be written: no new runs are taken",
      description: "The log of the server says why.",
    },
  },
  {
    name: "RetakeSeriesRefused",
    queries: { refused: { metric: "retake_series_refused" } },
    warning: { at: 0.5 },
    keepFiringFor: durationFromMs(2 * minute),
    annotations: {
      summary: "{{ $value | humanize }} series of metrics are not kept: alerts do not see what they tell",
      description:
        "There are more than monitoring.series.limit. Look for a metric with too many values of an attribute, or raise it.",
    },
  },
  {
    name: "RetakeAuthenticationFailures",
    queries: {
      failures: {
        metric: "retake_authentication_failures_total",
        statistic: AlertStatistic.INCREASE,
        window: durationFromMs(5 * minute),
        grouping: {},
      },
    },
    warning: { at: 50, clear: 10 },
    critical: { at: 1_000, clear: 200 },
    annotations: { summary: "{{ $value | humanize }} calls in five minutes showed wrong credentials" },
  },
  {
    name: "RetakeAccessDenied",
    queries: {
      denied: {
        metric: "retake_access_denied_total",
        statistic: AlertStatistic.INCREASE,
        window: durationFromMs(5 * minute),
        grouping: {},
      },
    },
    warning: { at: 50, clear: 10 },
    critical: { at: 1_000, clear: 200 },
    annotations: {
      summary: "{{ $value | humanize }} calls in five minutes asked for what they may not",
      description: "Who they were is told by: retake audit list --outcome denied",
    },
  },
  {
    name: "RetakeRunsRefused",
    queries: {
      refused: {
        // While it cannot be written to, or stops, the server refuses all of them: that is told otherwise.
        ...refused("QUEUE_FULL|OVERLOADED"),
        statistic: AlertStatistic.INCREASE,
        window: durationFromMs(5 * minute),
      },
    },
    warning: { at: 20, clear: 5 },
    for: durationFromMs(minute),
    annotations: {
      summary: "{{ $value | humanize }} runs were refused in five minutes ({{ $labels.reason }})",
      description: "There is more to do than the server, or the limits of its workflows, can take.",
    },
  },
  {
    name: "RetakeRetries",
    queries: {
      retries: counted("retake_retries_total", 10 * minute),
      attempts: { ...counted("retake_attempts_total", 10 * minute), minCount: 20 },
    },
    expression: "retries / attempts",
    warning: { at: 0.3, clear: 0.15 },
    for: durationFromMs(2 * minute),
    keepFiringFor: durationFromMs(2 * minute),
    annotations: {
      summary: "{{ $value | humanizePercentage }} of the attempts of {{ $labels.retake_workflow }} are made again",
      description: "Its runs may still succeed, at several times the cost.",
    },
  },
  {
    name: "RetakeFallbacks",
    queries: {
      fallbacks: counted("retake_fallbacks_total", 10 * minute),
      started: { ...counted("retake_runs_started_total", 10 * minute), minCount: 10 },
    },
    expression: "fallbacks / started",
    warning: { at: 0.25, clear: 0.1 },
    for: durationFromMs(2 * minute),
    keepFiringFor: durationFromMs(2 * minute),
    annotations: {
      summary:
        "{{ $value | humanizePercentage }} of the runs of {{ $labels.retake_workflow }} are answered by fallbacks",
    },
  },
  {
    name: "RetakeEndpointsDown",
    queries: {
      available: {
        metric: "retake_endpoint_available",
        statistic: AlertStatistic.AVG,
        window: durationFromMs(minute),
        grouping: { labels: ["retake_service"] },
      },
    },
    comparison: AlertComparison.BELOW,
    warning: { at: 0.75, clear: 0.95 },
    critical: { at: 0.01, clear: 0.25 },
    for: durationFromMs(minute),
    annotations: {
      summary: "{{ $value | humanizePercentage }} of the endpoints of {{ $labels.retake_service }} take attempts",
      description: "The others are not healthy, or fail where others do well. The log says why.",
    },
  },
  {
    name: "RetakeWebhookFailing",
    queries: {
      failures: counted("retake_webhooks_total", 10 * minute, [
        { label: "outcome", operator: MatcherOperator.MATCHES, value: "failed|given_up" },
      ]),
    },
    warning: { at: 4.5, clear: 0.5 },
    annotations: {
      summary: "the ends of runs of {{ $labels.retake_workflow }} are not taken by who is to be told",
      description: "They are told again until webhooks.give_up_after is over. The log says what the receiver answers.",
    },
  },
  {
    name: "RetakeNotifierFailing",
    queries: {
      failed: notifications("failed", 10 * minute),
      // Not tried again until the alert is repeated: one is as bad as failures in a row, and known of for longer.
      lost: notifications("refused|dropped", 30 * minute),
    },
    expression: "failed + 3.0 * lost",
    warning: { at: 2.5 },
    annotations: { summary: "{{ $labels.notifier }} does not take what it is told" },
  },
];

function notifications(outcomes: string, windowMs: number) {
  return {
    metric: "retake_notifications_total",
    matchers: [{ label: "outcome", operator: MatcherOperator.MATCHES, value: outcomes }],
    statistic: AlertStatistic.INCREASE,
    window: durationFromMs(windowMs),
    grouping: { labels: ["notifier"] },
  };
}

function counted(
  metric: string,
  windowMs: number,
  matchers: { label: string; operator?: MatcherOperator; value: string }[] = [],
) {
  return {
    metric,
    matchers,
    statistic: AlertStatistic.INCREASE,
    window: durationFromMs(windowMs),
    grouping: byWorkflow,
  };
}

function durations(quantile: number, when: typeof recently | typeof before) {
  return {
    ...{ metric: "retake_run_duration_seconds", statistic: AlertStatistic.QUANTILE, quantile, grouping: byWorkflow },
    ...when,
  };
}

/** Where runs take no time, a second more is nothing. */
function timesAsLong(quantile: "p50" | "p95"): string {
  return `${quantile} / (usual_${quantile} + 1.0)`;
}

function refused(reasons: string) {
  const reason = { label: "reason", operator: MatcherOperator.MATCHES, value: reasons };
  return { metric: "retake_runs_refused_total", matchers: [reason], grouping: { labels: ["reason"] } };
}

/** Since when the run that is longest in one of these states is in it. */
function oldest(states: string) {
  const matcher = { label: "retake_run_state", operator: MatcherOperator.MATCHES, value: states };
  return { metric: "retake_run_oldest_age_seconds", matchers: [matcher] };
}

function open(state: string) {
  return { metric: "retake_runs_open", matchers: [{ label: "retake_run_state", value: state }], grouping: byWorkflow };
}
