import { type RetakeServer, step } from "retake";
import { SketchSchema, StudioService } from "./gen/studio/v1/studio_service_pb.js";

/** Carries out the workflows of the contract. Edit this file second: `npm run dev` sees it, and starts the server anew. */
export default function register(server: RetakeServer): void {
  server.implement(StudioService, {
    async *draw(request, context) {
      yield { update: { case: "progress", value: { stage: "sketching", fraction: 0 } } };

      // A step is done once: if this attempt fails, or the server dies, the next one finds its result in the journal.
      const sketch = await step(context, "sketch", SketchSchema, () => ({
        lines: `<text x="10" y="40">${escaped(request.title)}</text>`,
      }));

      yield { update: { case: "progress", value: { stage: "printing", fraction: 0.5 } } };
      const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="400" height="60">${sketch.lines}</svg>`;
      yield { update: { case: "poster", value: { svg } } };
    },
  });
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
