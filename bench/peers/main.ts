// `npm run bench:peers`: the same durable jobs on Retake and on its peers, in turn, for a reader's orientation.
import { peersCommand } from "./peers-command.ts";

const interruption = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => interruption.abort(new Error("interrupted")));
}
process.exitCode = await peersCommand(process.argv.slice(2), {
  print: (line) => console.log(line),
  tell: (line) => console.error(line),
  signal: interruption.signal,
});
