import { connectRetake } from "retake/client";
import { StudioService } from "./gen/studio/v1/studio_service_pb.js";

// Starts a run and follows it to its end, over any number of lost connections: node client.ts "A title"
const retake = connectRetake({ target: process.env["RETAKE_TARGET"] ?? "127.0.0.1:50051" });
try {
  const run = await retake.start(StudioService.method.draw, { title: process.argv[2] ?? "Hello" });
  for await (const update of run.events()) {
    if (update.kind === "event") console.error(`${update.event.sequence} ${update.event.event.case}`);
  }
  const { update } = await run.result();
  if (update.case === "poster") console.log(update.value.svg);
} finally {
  retake.close();
}
