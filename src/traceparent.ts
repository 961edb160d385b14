/**
 * Stands for the `traceparent` of a run whose caller sent none, and of which no spans are kept: its version, and nothing else. It
 * names neither a trace nor a span.
 */
export const untraced = "00";

/** Of a later version: it may go on after what version 00 has. Ids of zeros are none, and there is no version ff. */
const laterShape = /^(?!00|ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-|$)/;

const versionZeroLength = 55;

/** 1 at each character that a digit of an id may be. */
const isDigit = new Uint8Array(128);
for (const digit of "0123456789abcdef") isDigit[digit.charCodeAt(0)] = 1;
const dash = 45;
const zero = 48;
const nine = 57;

/**
 * A W3C `traceparent` as one of version 00, which is what is known of those that follow it; empty for none, or one that is not
 * well-formed.
 */
export function readTraceparent(given: string | null): string {
  if (given === null || given.length < versionZeroLength) return "";
  if (given.startsWith("00-")) return given.length === versionZeroLength && isVersionZero(given) ? given : "";
  return laterShape.test(given) ? `00${given.slice(2, versionZeroLength)}` : "";
}

/** What a pattern would say of the 55 characters behind `00-`, in less time: each call asks. */
function isVersionZero(given: string): boolean {
  return (
    isId(given, 3, 35) &&
    given.charCodeAt(35) === dash &&
    isId(given, 36, 52) &&
    given.charCodeAt(52) === dash &&
    isHex(given.charCodeAt(53)) &&
    isHex(given.charCodeAt(54))
  );
}

function isHex(code: number): boolean {
  return isDigit[code] === 1;
}

/** Ids of nothing but zeroes are none. */
function isId(given: string, from: number, to: number): boolean {
  let all = 1;
  let some = 0;
  for (let at = from; at < to; at++) {
    const code = given.charCodeAt(at);
    all &= code < isDigit.length ? (isDigit[code] ?? 0) : 0;
    some |= code ^ zero;
  }
  return all === 1 && some !== 0;
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
  if (traceparent === "") return false;
  // Of the flags the last bit says it, and that is in the last digit: 1 is odd as a character too, b is even.
  const code = traceparent.charCodeAt(versionZeroLength - 1);
  return (code <= nine ? code : code + 1) % 2 === 1;
}

/** The trace that a W3C `traceparent` names, where it is kept; empty for none: nothing is to lead to one that nobody has. */
export function keptTraceIdOf(traceparent: string): string {
  return isSampled(traceparent) ? traceIdOf(traceparent) : "";
}
