import { type Notice, noticeTitle } from "./notice.ts";

/** PagerDuty refuses longer ones. */
const longestSummary = 1_024;

/** An event for PagerDuty's Events API v2: one incident for one alert, whatever its severity. */
export function pagerdutyEvent(
  notice: Notice,
  {
    routingKey,
    source,
    externalUrl,
  }: {
    readonly routingKey: string;
    /** What the alert is about, to people: the name of this server. */
    readonly source: string;
    readonly externalUrl: string;
  },
): object {
  const action =
    notice.status === "resolved" ? "resolve" : notice.acknowledgedBy === undefined ? "trigger" : "acknowledge";
  const { summary, ...details } = notice.annotations;
  const title = noticeTitle(notice);
  return {
    routing_key: routingKey,
    event_action: action,
    dedup_key: notice.fingerprint,
    ...(action === "trigger" && {
      client: "Retake",
      ...(externalUrl !== "" && { client_url: externalUrl }),
      payload: {
        summary: title.length <= longestSummary ? title : `${title.slice(0, longestSummary - 1).toWellFormed()}…`,
        source,
        severity: notice.severity,
        timestamp: new Date(notice.startMs).toISOString(),
        class: notice.labels["alertname"] ?? "",
        ...(notice.labels["retake_workflow"] !== undefined && { component: notice.labels["retake_workflow"] }),
        custom_details: { ...details, ...notice.labels, ...(!Number.isNaN(notice.value) && { value: notice.value }) },
      },
    }),
  };
}
