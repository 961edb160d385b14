import { type Notice, noticeTitle } from "./notice.ts";

/** Slack cuts longer ones off. */
const longestTitle = 1_024;
const longestText = 2_900;

/** Notices that one message names; of further ones it says how many there are. */
const mostNamed = 10;

const colours = { critical: "#a30200", warning: "#daa038", resolved: "#2eb886" } as const;

/** A message for an incoming webhook of Slack: an attachment for each notice. */
export function slackPayload(notices: readonly Notice[]): object {
  const named = notices.slice(0, mostNamed);
  const more = notices.length - named.length;
  const [first] = notices;
  const text = notices.length === 1 && first !== undefined ? noticeTitle(first) : `${notices.length} alerts`;
  return {
    text: escapedCut(more > 0 ? `${text}, the first ${mostNamed} of which are shown` : text, longestTitle),
    attachments: named.map((notice) => ({
      color: notice.status === "resolved" ? colours.resolved : colours[notice.severity],
      title: escapedCut(noticeTitle(notice), longestTitle),
      fallback: escapedCut(noticeTitle(notice), longestTitle),
      text: escapedCut(notice.annotations["description"] ?? "", longestText),
      fields: Object.entries(notice.labels)
        .filter(([name]) => name !== "severity")
        .slice(0, mostNamed)
        .map(([title, value]) => ({ title, value: escapedCut(value, longestTitle), short: value.length < 40 })),
      ts: Math.floor((notice.endMs ?? notice.startMs) / 1_000),
    })),
  };
}

/** Slack's three characters of control are escaped, and none of them is cut in half; the rest of a text is taken as it is. */
function escapedCut(text: string, most: number): string {
  const escaped = text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  if (escaped.length <= most) return escaped;
  return `${escaped
    .slice(0, most - 1)
    .replace(/&[a-z]*$/, "")
    .toWellFormed()}…`;
}
