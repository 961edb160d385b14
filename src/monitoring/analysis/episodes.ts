import { create } from "@bufbuild/protobuf";
import { AlertSeverity } from "../../../gen/retake/v1/alert_pb.js";
import { type AlertEpisode, AlertEpisodeSchema } from "../../../gen/retake/v1/report_pb.js";
import { timestampFromMs } from "../../runs/index.ts";
import type { AlertView } from "../alerts/alert.ts";
import type { PastChange } from "../alerts/alert-history.ts";
import { fingerprintOf } from "../notifiers/notice.ts";

/** More than anybody reads. */
const mostEpisodes = 100;

/** The times in which alerts fired, newest first, of how they have moved. */
export function alertEpisodes(changes: readonly PastChange[], afterMs: number): AlertEpisode[] {
  const open = new Map<string, AlertEpisode>();
  const found: { readonly episode: AlertEpisode; readonly atMs: number }[] = [];
  for (const change of changes.toSorted((a, b) => a.timeMs - b.timeMs)) {
    const { timeMs, rule, key, labels, value, before, after } = change;
    const alertId = fingerprintOf(rule, key);
    let episode = open.get(alertId);
    if (episode === undefined && (fires(before.state) || fires(after.state))) {
      episode = create(AlertEpisodeSchema, { alertId, rule, labels: { ...labels } });
      if (!fires(before.state)) {
        episode.fireTime = timestampFromMs(timeMs);
        if (!Number.isNaN(value)) episode.value = value;
      }
      open.set(alertId, episode);
      found.push({ episode, atMs: timeMs });
    }
    if (episode === undefined) continue;
    for (const view of [before, after]) {
      if (!fires(view.state)) continue;
      episode.severity = Math.max(
        episode.severity,
        view.severity === "critical" ? AlertSeverity.CRITICAL : AlertSeverity.WARNING,
      );
    }
    if (!fires(after.state)) {
      episode.resolveTime = timestampFromMs(timeMs);
      open.delete(alertId);
    }
  }
  return found
    .filter(({ episode, atMs }) => atMs > afterMs || !hasEndedBy(episode, afterMs))
    .reverse()
    .slice(0, mostEpisodes)
    .map(({ episode }) => episode);
}

function fires(state: AlertView["state"]): boolean {
  return state === "firing" || state === "recovering";
}

function hasEndedBy({ resolveTime }: AlertEpisode, timeMs: number): boolean {
  return resolveTime !== undefined && Number(resolveTime.seconds) * 1_000 <= timeMs;
}
