import { type Notice, noticeTitle } from "./notice.ts";

/** A mail server may refuse longer lines (RFC 5322: 998), and nobody reads them. */
const longestSubject = 200;

/** A mail about alerts, in plain text. */
export function emailText(notices: readonly Notice[], externalUrl: string): { subject: string; text: string } {
  const [first] = notices;
  const one = first === undefined ? "no alerts" : noticeTitle(first);
  const subject = notices.length === 1 ? one : `${notices.length} alerts: ${one}`;
  const line = subject.replace(/[\p{Cc}\s]+/gu, " ").trim();
  return {
    subject: line.length <= longestSubject ? line : `${line.slice(0, longestSubject - 1).toWellFormed()}…`,
    text: [...notices.map(section), ...(externalUrl === "" ? [] : [externalUrl])].join("\n\n"),
  };
}

function section(notice: Notice): string {
  const { annotations, labels, value, startMs, endMs } = notice;
  const facts = [
    ["Since", new Date(startMs).toISOString()],
    ...(endMs === undefined ? [] : [["Over since", new Date(endMs).toISOString()]]),
    ...(Number.isNaN(value) ? [] : [["Value", String(Number(value.toPrecision(6)))]]),
    ...Object.entries(labels),
    ...Object.entries(annotations).filter(([name]) => name !== "summary" && name !== "description"),
  ];
  const { description } = annotations;
  const lines = facts.map(([name, text]) => `  ${name}: ${text}`);
  return [noticeTitle(notice), ...(description === undefined ? [] : [description]), ...lines].join("\n");
}
