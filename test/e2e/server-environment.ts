/** What a server process is told beside its configuration. */
export interface ServerEnvironment {
  /** Where handlers leave their marks. */
  readonly marksPath: string;
  /** How long a piece of work takes at most, in ms. */
  readonly longestWorkMs: number;
}

const marksPath = "RETAKE_TEST_MARKS";
const longestWorkMs = "RETAKE_TEST_LONGEST_WORK_MS";

/** Both directions of what a test tells a process of its own. */
export const environment = {
  write: (told: ServerEnvironment): Record<string, string> => ({
    [marksPath]: told.marksPath,
    [longestWorkMs]: String(told.longestWorkMs),
  }),
  read: (env: NodeJS.ProcessEnv): ServerEnvironment => ({
    marksPath: env[marksPath] ?? "",
    longestWorkMs: Number(env[longestWorkMs]),
  }),
};
