// `npm run bench`.
import { benchCommand } from "./command.ts";
import { runMany } from "./many/run-many.ts";
import { runBench } from "./run-bench.ts";

const interruption = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => interruption.abort(new Error("interrupted")));
}

process.exitCode = await benchCommand(process.argv.slice(2), {
  run: runBench,
  runMany,
  print: (line) => console.log(line),
  tell: (line) => console.error(line),
  signal: interruption.signal,
});
