import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";

/** A thread that takes its time for each call, and for its end. */
const worker = `
  import { parentPort } from "node:worker_threads";
  const later = (work) => setTimeout(work, 20);
  parentPort.on("message", (request) => {
    if (request === "close") later(() => parentPort.close());
    else later(() => parentPort.postMessage({ number: request.number, result: request.args[0] }));
  });
`;

/** A process in which nothing goes on but what is said. */
const program = (body: string) => `
  import { WorkerCalls } from ${JSON.stringify(new URL("../src/worker-calls.ts", import.meta.url).href)};
  const url = new URL(${JSON.stringify(`data:text/javascript,${encodeURIComponent(worker)}`)});
  const calls = new WorkerCalls({ url, name: "slow", data: undefined });
  ${body}
`;

async function run(body: string) {
  const child = spawn(process.execPath, ["--input-type=module", "-e", program(body)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [printed, [code]] = await Promise.all([text(child.stdout), once(child, "exit")]);
  return { printed, code: code as number };
}

describe("calls of a thread", () => {
  it("keep the process until its end, also where one is under way when it is closed", async () => {
    const ended = await run(`
      void calls.call("echo", "under way").then(console.log);
      await calls.close();
      console.log("closed");
    `);
    expect(ended).toEqual({ printed: "under way\nclosed\n", code: 0 });
  });

  it("keep no process when none is under way", async () => {
    expect(await run(`console.log(await calls.call("echo", "done"));`)).toEqual({ printed: "done\n", code: 0 });
  });
});
