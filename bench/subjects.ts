/** What is measured side by side, each as a server in a process of its own, in the order of a round. */
export const subjects = [
  "bare-echo",
  "bridge",
  "durable-reference",
  "empty-run",
  "unmeasured-run",
  "exported-run",
  "full-chain",
  "unsecured-run",
  "key-run",
  "token-run",
  "three-steps",
  "start-run",
  "slow-sync",
] as const;

export type Subject = (typeof subjects)[number];

/** How much later each sync of `slow-sync` ends, in ms. */
export const slowSyncDelayMs = 10;
