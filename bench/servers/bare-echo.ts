import { create } from "@bufbuild/protobuf";
import { PlainResponseSchema } from "../../test/gen/retake/test/v1/workflows_pb.js";
import { startBareServer } from "./bare-server.ts";
import type { BenchServer } from "./server.ts";

/** What a call costs that does nothing, on bare grpc-js. */
export function startBareEcho(): Promise<BenchServer> {
  return startBareServer((call, callback) => callback(null, create(PlainResponseSchema, { text: call.request.text })));
}
