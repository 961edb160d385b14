import { create } from "@bufbuild/protobuf";
import type { Run } from "../../../gen/retake/v1/run_pb.js";
import { WatchRunResponseSchema } from "../../../gen/retake/v1/run_service_pb.js";
import type { RetakeClient, RunUpdate } from "../../client/index.ts";
import { Contracts } from "../contracts.ts";
import { counted, eventText } from "../display/event-text.ts";
import { plainText } from "../display/plain-text.ts";
import { progressText } from "../display/progress-text.ts";
import { showClock } from "../display/times.ts";
import { type CliIo, writeLines } from "../io.ts";
import { messageJson } from "../message-json.ts";
import { type Finding, findingLines } from "../sources/finding.ts";
import type { CallLines, ServerPlace } from "./call-lines.ts";

/** What `retake dev` says. */
export interface DevReporter {
  /** Something is done that takes a moment. */
  working(text: string): void;
  /** What was changed cannot be served. `serving` tells whether something else is. */
  broken(findings: readonly Finding[], serving: boolean): void;
  /** It can, and will hurt. */
  warned(findings: readonly Finding[]): void;
  serving(place: ServerPlace, calls: readonly CallLines[]): void;
  run(run: Run, update: RunUpdate, retake: RetakeClient): void;
  manyRuns(count: number): void;
  logged(level: "warn" | "error", message: string, stack: string): void;
  said(text: string): void;
}

/** For people. */
export function textReporter(io: CliIo): DevReporter {
  const say = (...lines: readonly string[]): void => writeLines(io.stdout, ...lines);
  const started = new Set<string>();
  return {
    working: (text) => say(`${showClock(io.clock.now())}  ${text}`),
    broken(findings, serving) {
      say("", ...findings.flatMap((finding) => [...findingLines(finding), ""]));
      say(
        serving
          ? "What worked before is still served. Mend the above, and it is replaced."
          : "Nothing is served yet. Mend the above, and it begins.",
      );
    },
    warned(findings) {
      if (findings.length === 0) return;
      say("", `${counted(findings.length, "thing")} in the contract may hurt. What to write: retake lint`);
      say(
        ...findings.map(({ file, line, column, message }) => `  ${file}:${line}:${column}: ${message.split("\n")[0]}`),
      );
    },
    serving({ grpc, web }, calls) {
      say(
        "",
        ...(grpc === undefined ? [] : [`gRPC  ${grpc.host}:${grpc.port}`]),
        ...(web === undefined ? [] : [`web   http${web.tls ? "s" : ""}://${web.host}:${web.port}`]),
        ...calls.flatMap(({ workflow, grpcurl, curl, toFillIn }) => [
          "",
          workflow,
          ...(grpcurl === undefined ? [] : [`  ${grpcurl}`]),
          ...(curl === undefined ? [] : [`  ${curl}`]),
          ...toFillIn.map((problem) => `  # before that, mend the request: ${problem}`),
        ]),
        "",
      );
    },
    run(run, update) {
      const name = run.workflow.slice(run.workflow.indexOf("/") + 1);
      if (!started.has(run.runId)) {
        started.add(run.runId);
        say(`${showClock(io.clock.now())}  ${name}  run ${run.runId}`);
      }
      const text =
        update.kind === "event"
          ? eventText(update.event)
          : `progress: ${progressText(update.progress.progress) || "working"}`;
      // The last digits are the random ones.
      say(`${showClock(io.clock.now())}  ${name}  …${run.runId.slice(-6)}  ${text}`);
    },
    manyRuns: (count) => say(`${showClock(io.clock.now())}  and ${counted(count, "more run")}: retake runs list`),
    logged(level, message, stack) {
      say(
        `${showClock(io.clock.now())}  ${level}: ${plainText(message)}`,
        ...stack
          .split("\n")
          .filter(Boolean)
          .map((line) => `  ${line}`),
      );
    },
    said: (text) => writeLines(io.stderr, text),
  };
}

/** For programs: one JSON object a line, each with its kind. */
export function jsonReporter(io: CliIo): DevReporter {
  const say = (object: object): void => writeLines(io.stdout, JSON.stringify(object));
  return {
    working: () => undefined,
    broken: (findings, serving) => say({ kind: "broken", serving, findings }),
    warned(findings) {
      if (findings.length > 0) say({ kind: "warned", findings });
    },
    serving: (place, calls) => say({ kind: "serving", ...place, workflows: calls }),
    run(run, update, retake) {
      const message = create(WatchRunResponseSchema, {
        update:
          update.kind === "event"
            ? { case: "event", value: update.event }
            : { case: "progress", value: update.progress },
      });
      void messageJson(WatchRunResponseSchema, message, new Contracts(retake, io.signal)).then(
        (json) => say({ kind: "run", runId: run.runId, workflow: run.workflow, ...(json as object) }),
        () => undefined,
      );
    },
    manyRuns: (count) => say({ kind: "manyRuns", count }),
    logged: (level, message, stack) => say({ kind: "log", level, message, stack }),
    said: (text) => writeLines(io.stderr, text),
  };
}
