import { DBOS } from "@dbos-inc/dbos-sdk";

/** Workflows are called in their own process, as its users do: a call is journaled, and recovered after a crash. */
export async function open({ url }) {
  DBOS.setConfig({ name: "retake-bench", systemDatabaseUrl: url, logLevel: "error", runAdminServer: false });
  const empty = DBOS.registerWorkflow(async (text) => text, { name: "empty" });
  const steps = DBOS.registerWorkflow(
    async (text) => {
      for (const name of ["one", "two", "three"]) {
        await DBOS.runStep(async () => name, { name });
      }
      return text;
    },
    { name: "steps" },
  );
  await DBOS.launch();
  return { run: (job) => (job === "steps" ? steps(job) : empty(job)) };
}
