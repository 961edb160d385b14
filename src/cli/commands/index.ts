import type { CommandEntry } from "../command.ts";

/** All commands by name, as help lists them. */
export const commands: ReadonlyMap<string, CommandEntry> = new Map<string, CommandEntry>([
  ["serve", { summary: "Serve workflows", load: async () => (await import("./serve.ts")).serve }],
  ["run", { summary: "Start a run of a workflow", load: async () => (await import("./run.ts")).run }],
  ["watch", { summary: "Follow a run to its end", load: async () => (await import("./watch.ts")).watch }],
  ["runs list", { summary: "List runs, newest first", load: async () => (await import("./runs-list.ts")).runsList }],
  ["runs get", { summary: "Show a run and its history", load: async () => (await import("./runs-get.ts")).runsGet }],
  ["runs cancel", { summary: "Ask a run to stop", load: async () => (await import("./runs-cancel.ts")).runsCancel }],
  ["runs rerun", { summary: "Run an ended run again", load: async () => (await import("./runs-rerun.ts")).runsRerun }],
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
  [
    "webhook test",
    { summary: "Post a signed test message", load: async () => (await import("./webhook-test.ts")).webhookTest },
  ],
  [
    "webhook secret",
    { summary: "Make a secret that signs", load: async () => (await import("./webhook-secret.ts")).webhookSecret },
  ],
]);
