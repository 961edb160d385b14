import type { Notice } from "./notice.ts";

/** How long Alertmanager takes an alert for firing that it does not hear of again: four times the distance of two tellings. */
const tellings = 4;

/**
 * Alerts for `POST /api/v2/alerts`. To Alertmanager labels are what an alert is, the severity among them: one whose severity
 * has moved is two, of which the one before is over.
 */
export function alertmanagerAlerts(
  notices: readonly Notice[],
  { nowMs, repeatMs, externalUrl }: { readonly nowMs: number; readonly repeatMs: number; readonly externalUrl: string },
): object[] {
  return notices.flatMap((notice) => {
    const own = one(notice, notice.endMs ?? nowMs + tellings * repeatMs, externalUrl);
    const ended = (notice.before ?? []).map(({ labels, endMs }) =>
      one({ ...notice, labels }, Math.max(notice.startMs, endMs), externalUrl),
    );
    return [own, ...ended];
  });
}

function one({ labels, annotations, startMs }: Notice, endMs: number, generatorURL: string): object {
  return {
    labels,
    annotations,
    startsAt: new Date(startMs).toISOString(),
    endsAt: new Date(endMs).toISOString(),
    ...(generatorURL !== "" && { generatorURL }),
  };
}
