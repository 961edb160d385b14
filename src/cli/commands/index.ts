import type { CommandEntry } from "../command.ts";

/** All commands by name, as help lists them. */
export const commands: ReadonlyMap<string, CommandEntry> = new Map<string, CommandEntry>([
  ["init", { summary: "Begin a project", load: async () => (await import("./init.ts")).init }],
  ["dev", { summary: "Serve a project while it is written", load: async () => (await import("./dev.ts")).dev }],
  ["lint", { summary: "Tell what in a contract will hurt", load: async () => (await import("./lint.ts")).lint }],
  ["protos", { summary: "Write what a contract may import", load: async () => (await import("./protos.ts")).protos }],
  ["serve", { summary: "Serve workflows", load: async () => (await import("./serve.ts")).serve }],
  ["run", { summary: "Start a run of a workflow", load: async () => (await import("./run.ts")).run }],
  ["watch", { summary: "Follow a run to its end", load: async () => (await import("./watch.ts")).watch }],
  ["top", { summary: "See how the server is doing", load: async () => (await import("./top.ts")).top }],
  ["runs list", { summary: "List runs, newest first", load: async () => (await import("./runs-list.ts")).runsList }],
  ["runs get", { summary: "Show a run and its history", load: async () => (await import("./runs-get.ts")).runsGet }],
  ["runs cancel", { summary: "Ask a run to stop", load: async () => (await import("./runs-cancel.ts")).runsCancel }],
  ["runs rerun", { summary: "Run an ended run again", load: async () => (await import("./runs-rerun.ts")).runsRerun }],
  ["artifacts put", { summary: "Upload a file", load: async () => (await import("./artifacts-put.ts")).artifactsPut }],
  [
    "artifacts get",
    { summary: "Download a file", load: async () => (await import("./artifacts-get.ts")).artifactsGet },
  ],
  [
    "artifacts list",
    { summary: "List files, newest first", load: async () => (await import("./artifacts-list.ts")).artifactsList },
  ],
  [
    "workflows",
    { summary: "List what the server executes", load: async () => (await import("./workflows.ts")).workflows },
  ],
  [
    "workflows pause",
    {
      summary: "Hold new attempts of a workflow back",
      load: async () => (await import("./workflows-pause.ts")).workflowsPause,
    },
  ],
  [
    "workflows resume",
    {
      summary: "Let a paused workflow go on",
      load: async () => (await import("./workflows-resume.ts")).workflowsResume,
    },
  ],
  ["faults list", { summary: "List drills", load: async () => (await import("./faults-list.ts")).faultsList }],
  [
    "faults inject",
    {
      summary: "Disturb a workflow on purpose, for a while",
      load: async () => (await import("./faults-inject.ts")).faultsInject,
    },
  ],
  ["faults remove", { summary: "End a drill", load: async () => (await import("./faults-remove.ts")).faultsRemove }],
  [
    "quality list",
    {
      summary: "Tell how much of their requests runs ask for",
      load: async () => (await import("./quality-list.ts")).qualityList,
    },
  ],
  [
    "quality set",
    {
      summary: "Let the runs of a workflow ask for less, or for all",
      load: async () => (await import("./quality-set.ts")).qualitySet,
    },
  ],
  [
    "breakers list",
    { summary: "List circuit breakers", load: async () => (await import("./breakers-list.ts")).breakersList },
  ],
  [
    "breakers open",
    { summary: "Leave a back-end alone", load: async () => (await import("./breakers-open.ts")).breakersOpen },
  ],
  [
    "breakers close",
    { summary: "Let attempts through", load: async () => (await import("./breakers-close.ts")).breakersClose },
  ],
  [
    "breakers auto",
    { summary: "Let outcomes decide again", load: async () => (await import("./breakers-auto.ts")).breakersAuto },
  ],
  [
    "policy list",
    { summary: "List what is overridden of policies", load: async () => (await import("./policy-list.ts")).policyList },
  ],
  [
    "policy set",
    { summary: "Override a workflow's policy", load: async () => (await import("./policy-set.ts")).policySet },
  ],
  [
    "policy delete",
    { summary: "Take an override back", load: async () => (await import("./policy-delete.ts")).policyDelete },
  ],
  ["keys create", { summary: "Make an API key", load: async () => (await import("./keys-create.ts")).keysCreate }],
  ["keys list", { summary: "List API keys", load: async () => (await import("./keys-list.ts")).keysList }],
  ["keys rotate", { summary: "Replace an API key", load: async () => (await import("./keys-rotate.ts")).keysRotate }],
  ["keys revoke", { summary: "Refuse an API key", load: async () => (await import("./keys-revoke.ts")).keysRevoke }],
  [
    "access list",
    {
      summary: "List who has more than credentials say",
      load: async () => (await import("./access-list.ts")).accessList,
    },
  ],
  [
    "access set",
    { summary: "Give callers a level or methods", load: async () => (await import("./access-set.ts")).accessSet },
  ],
  [
    "access delete",
    { summary: "Take an access rule back", load: async () => (await import("./access-delete.ts")).accessDelete },
  ],
  ["audit list", { summary: "List who did what", load: async () => (await import("./audit-list.ts")).auditList }],
  [
    "audit export",
    { summary: "Write the audit log as JSON lines", load: async () => (await import("./audit-export.ts")).auditExport },
  ],
  [
    "audit verify",
    {
      summary: "See whether an audit log is as it was written",
      load: async () => (await import("./audit-verify.ts")).auditVerify,
    },
  ],
  [
    "security report",
    {
      summary: "Sum up what was done, denied and locked out",
      load: async () => (await import("./security-report.ts")).securityReport,
    },
  ],
  [
    "alerts list",
    { summary: "List alerts, the worst first", load: async () => (await import("./alerts-list.ts")).alertsList },
  ],
  ["alerts watch", { summary: "Follow alerts", load: async () => (await import("./alerts-watch.ts")).alertsWatch }],
  ["alerts ack", { summary: "Look after an alert", load: async () => (await import("./alerts-ack.ts")).alertsAck }],
  [
    "alerts unack",
    { summary: "Look after an alert no more", load: async () => (await import("./alerts-unack.ts")).alertsUnack },
  ],
  [
    "alerts silence",
    {
      summary: "Keep alerts from being told for a time",
      load: async () => (await import("./alerts-silence.ts")).alertsSilence,
    },
  ],
  [
    "alerts unsilence",
    { summary: "End a silence", load: async () => (await import("./alerts-unsilence.ts")).alertsUnsilence },
  ],
  [
    "alerts silences",
    { summary: "List silences", load: async () => (await import("./alerts-silences.ts")).alertsSilences },
  ],
  [
    "alerts history",
    { summary: "Tell how alerts have moved", load: async () => (await import("./alerts-history.ts")).alertsHistory },
  ],
  ["rules list", { summary: "List alert rules", load: async () => (await import("./rules-list.ts")).rulesList }],
  [
    "report",
    { summary: "Write a report of what the server did", load: async () => (await import("./report.ts")).report },
  ],
  [
    "rules export",
    {
      summary: "Write alert rules for Prometheus or Grafana",
      load: async () => (await import("./rules-export.ts")).rulesExport,
    },
  ],
  [
    "notifiers test",
    {
      summary: "See whether a notifier can be told",
      load: async () => (await import("./notifiers-test.ts")).notifiersTest,
    },
  ],
  [
    "webhook test",
    { summary: "Post a signed test message", load: async () => (await import("./webhook-test.ts")).webhookTest },
  ],
  [
    "webhook secret",
    { summary: "Make a secret that signs", load: async () => (await import("./webhook-secret.ts")).webhookSecret },
  ],
  [
    "service-config",
    {
      summary: "Print the retry configuration of gRPC clients",
      load: async () => (await import("./service-config.ts")).serviceConfig,
    },
  ],
  [
    "backup",
    { summary: "Copy a data directory into one file", load: async () => (await import("./backup.ts")).backup },
  ],
  [
    "restore",
    { summary: "Make a data directory of a backup", load: async () => (await import("./restore.ts")).restore },
  ],
  [
    "config",
    { summary: "Print what a configuration comes to", load: async () => (await import("./config.ts")).config },
  ],
  ["check", { summary: "See whether a data directory is sound", load: async () => (await import("./check.ts")).check }],
  [
    "compact",
    {
      summary: "Rewrite a journal without what is free in it",
      load: async () => (await import("./compact.ts")).compact,
    },
  ],
]);
