import { readdirSync, readFileSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { expect, it } from "vitest";

/** How nice each thread of this process is, as proc(5) has it. */
function niceness(): number[] {
  return readdirSync("/proc/self/task").map((id) => {
    const stat = readFileSync(`/proc/self/task/${id}/stat`, "utf8");
    // Behind the name, which may have spaces.
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[16]);
  });
}

// A skip for want of Linux, where threads have a priority of their own.
it.runIf(process.platform === "linux")(
  "a thread that gives way is nicer than the others, and the only one",
  async () => {
    const before = niceness();
    const url = new URL("../src/give-way.ts", import.meta.url).href;
    const code = `import(${JSON.stringify(url)}).then(({ giveWay }) => { giveWay(); require("node:worker_threads").parentPort.postMessage(0); setInterval(() => {}, 1000) })`;
    const worker = new Worker(code, { eval: true });
    try {
      await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
      const [own = 0] = before;
      expect(niceness().filter((nice) => nice > own)).toEqual([Math.min(19, own + 5)]);
    } finally {
      await worker.terminate();
    }
  },
);
