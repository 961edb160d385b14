import type { Alert } from "../../../gen/retake/v1/alert_pb.js";

/** Some kilobytes each, and a message has at most 4 MB where nothing else is agreed. */
const mostInMessage = 200;

/** Ids are short. */
const mostGoneInMessage = 10_000;

/** What a watcher of alerts is told, in messages that every client takes. */
export function* watchMessages(alerts: readonly Alert[], gone: readonly string[], complete: boolean) {
  const count = Math.max(1, Math.ceil(alerts.length / mostInMessage), Math.ceil(gone.length / mostGoneInMessage));
  for (let i = 0; i < count; i++) {
    yield {
      complete: complete && i === 0,
      alerts: alerts.slice(i * mostInMessage, (i + 1) * mostInMessage),
      goneAlertIds: gone.slice(i * mostGoneInMessage, (i + 1) * mostGoneInMessage),
    };
  }
}
