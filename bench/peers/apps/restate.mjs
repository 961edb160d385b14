import * as restate from "@restatedev/restate-sdk";
import * as clients from "@restatedev/restate-sdk-clients";

/** Its server calls the services of this process, and is called by it. */
export async function open({ ingress, admin }) {
  const bench = restate.service({
    name: "bench",
    handlers: {
      empty: async (_, text) => text,
      steps: async (context, text) => {
        for (const name of ["one", "two", "three"]) {
          await context.run(name, () => name);
        }
        return text;
      },
    },
  });
  // It tells each invocation otherwise, which nobody who counts them leaves on.
  const silent = () => undefined;
  const port = await restate.endpoint().setLogger(silent).bind(bench).listen(0);
  const answer = await fetch(`${admin}/deployments`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ uri: `http://127.0.0.1:${port}` }),
  });
  if (!answer.ok) {
    throw new Error(`Restate does not take the service: ${answer.status} ${await answer.text()}`);
  }
  const client = clients.connect({ url: ingress }).serviceClient({ name: "bench" });
  return { run: (job) => client[job](job) };
}
