/** Version 00 is whole with its flags; one that follows it may go on after them. Ids of zeros are none, and there is no version ff. */
const shape = /^(?:00|(?!00|ff)[0-9a-f]{2}(?=.{53}(?:-|$)))-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}/;

const versionZeroLength = 55;

/**
 * A W3C `traceparent` as one of version 00, which is what is known of those that follow it; empty for none, or one that is not
 * well-formed.
 */
export function readTraceparent(given: string | null): string {
  if (given === null || given.length < versionZeroLength || !shape.test(given)) return "";
  if (!given.startsWith("00")) return `00${given.slice(2, versionZeroLength)}`;
  return given.length === versionZeroLength ? given : "";
}

/** Callers may send thousands. */
const mostRead = 64;
const mostOfState = 512;
const mostMembers = 32;
/** Those that are longer go first. */
const longMember = 128;

/**
 * A W3C `tracestate` as it is passed on: at most 32 members and 512 characters, of which long members are left out first, and
 * then the last. Empty for none, or one with characters that it may not have.
 */
export function readTracestate(given: string | null): string {
  if (given === null || /[^\t -~]/.test(given)) return "";
  const members = given
    .split(",", mostRead)
    .map((member) => member.trim())
    .filter((member) => member.includes("="));
  const all = members.slice(0, mostMembers).join(",");
  if (all.length <= mostOfState) return all;
  let state = "";
  for (const member of members.filter(({ length }) => length <= longMember).slice(0, mostMembers)) {
    if (state.length + 1 + member.length > mostOfState) break;
    state += state === "" ? member : `,${member}`;
  }
  return state;
}

/** The trace that a W3C `traceparent` names; empty for none. */
export function traceIdOf(traceparent: string): string {
  return traceparent === "" ? "" : traceparent.slice(3, 35);
}

/** The span that a W3C `traceparent` names; empty for none. */
export function spanIdOf(traceparent: string): string {
  return traceparent === "" ? "" : traceparent.slice(36, 52);
}

/** Whether whoever sent a W3C `traceparent` keeps its trace. */
export function isSampled(traceparent: string): boolean {
  // Of the flags the last bit says it, and that is in the last digit.
  return traceparent !== "" && "13579bdf".includes(traceparent.charAt(54) || "-");
}

/** The trace that a W3C `traceparent` names, where it is kept; empty for none: nothing is to lead to one that nobody has. */
export function keptTraceIdOf(traceparent: string): string {
  return isSampled(traceparent) ? traceIdOf(traceparent) : "";
}
