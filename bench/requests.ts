import { create, toBinary } from "@bufbuild/protobuf";
import { StartRunRequestSchema } from "../gen/retake/v1/run_service_pb.js";
import { plainPath, unruledPath } from "./servers/plain-method.ts";
import type { Subject } from "./subjects.ts";

/** The call that a subject gets: of most the same, with an empty message. */
export function requestOf(subject: Subject): { readonly path: string; readonly message: Uint8Array } {
  if (subject === "unsecured-run") {
    return { path: unruledPath, message: new Uint8Array() };
  }
  if (subject !== "start-run") {
    return { path: plainPath, message: new Uint8Array() };
  }
  return {
    path: "/retake.v1.RunService/StartRun",
    message: toBinary(StartRunRequestSchema, create(StartRunRequestSchema, { workflow: plainPath.slice(1) })),
  };
}
