import type { RunHandle } from "retake/client";
import type { RunEvent } from "retake/gen/retake/v1/run_pb.js";
import type { CliIo } from "../../../src/cli/io.ts";
import type { RunViewer } from "../../../src/cli/run-viewers.ts";
import type { TextToVideoResponse, Video } from "../gen/storycore/video/v1/video_service_pb.js";

/** Shows a run up to its end, and returns its history. */
export async function follow(run: RunHandle<unknown>, viewer: RunViewer, { signal }: CliIo): Promise<RunEvent[]> {
  const history: RunEvent[] = [];
  using shown = viewer;
  const updates = run.events({
    signal,
    onReconnect: (reconnection) => shown.lost(reconnection),
    onReconnected: () => shown.found(),
  });
  for await (const update of updates) {
    if (update.kind === "event") history.push(update.event);
    await shown.show(update);
  }
  return history;
}

/** What every workflow here answers. */
type Filmed = Pick<TextToVideoResponse, "update">;

/** @throws RunError when there is none */
export async function filmOf(run: RunHandle<Filmed>, signal: AbortSignal): Promise<Video> {
  const { update } = await run.result({ signal });
  if (update.case !== "video") throw new TypeError(`the result of run ${run.id} is no film`);
  return update.value;
}
