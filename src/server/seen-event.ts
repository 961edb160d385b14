import { create } from "@bufbuild/protobuf";
import { AccessLevel } from "../../gen/retake/v1/options_pb.js";
import { type RunEvent, RunEventSchema } from "../../gen/retake/v1/run_pb.js";
import { inProcessTarget } from "../config/index.ts";
import type { Principal } from "../security/index.ts";

/** An event as a caller sees it: where back-ends are is for those who run them. */
export function seenBy({ level }: Pick<Principal, "level">, shown: RunEvent): RunEvent {
  if (level >= AccessLevel.PRIVILEGED) return shown;
  const { event } = shown;
  switch (event.case) {
    case "attemptStarted":
      if (event.value.endpoint === inProcessTarget) return shown;
      return create(RunEventSchema, { ...shown, event: { case: event.case, value: { ...event.value, endpoint: "" } } });
    case "recoveryActed": {
      const value = { ...event.value, endpoint: "", error: event.value.error === "" ? "" : "it did not help" };
      return create(RunEventSchema, { ...shown, event: { case: event.case, value } });
    }
    default:
      return shown;
  }
}
