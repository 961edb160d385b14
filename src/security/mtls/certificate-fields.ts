import type { PeerCertificate } from "node:tls";

/** A certificate as expressions see it. */
export function certificateFields(certificate: PeerCertificate): Map<string, string | string[]> {
  const { subject, issuer, subjectaltname = "", serialNumber } = certificate;
  const names = alternativeNames(subjectaltname);
  const ofType = (type: string): string[] => names.filter((name) => name.type === type).map(({ value }) => value);
  return new Map<string, string | string[]>([
    ["common_name", only(subject?.CN)],
    ["organizations", all(subject?.O)],
    ["organizational_units", all(subject?.OU)],
    ["uris", ofType("URI")],
    ["dns_names", ofType("DNS")],
    ["emails", ofType("email")],
    ["ip_addresses", ofType("IP Address")],
    ["issuer_common_name", only(issuer?.CN)],
    ["serial_number", serialNumber],
    ["fingerprint", fingerprintOf(certificate)],
  ]);
}

const longestName = 255;

/** Whom the authority says it is: the same for each certificate that it gives them. What is no name is told by its fingerprint. */
export function certifiedName(certificate: PeerCertificate): string {
  const { subject, issuer, subjectaltname = "" } = certificate;
  const name = Object.entries(subject ?? {})
    .map(([type, value]) => `${type}=${value}`)
    .join(", ");
  const whole = `${name || subjectaltname} of ${only(issuer?.CN)}`;
  const isName = (name || subjectaltname) !== "" && whole.length <= longestName && !/\p{C}/u.test(whole);
  return isName ? whole : fingerprintOf(certificate);
}

/** SHA-256, lower-case hex. */
export function fingerprintOf({ fingerprint256 }: PeerCertificate): string {
  return fingerprint256.replaceAll(":", "").toLowerCase();
}

/** Node's types say that there is one value; there can be several, of which none is the name. */
function only(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function all(value: unknown): string[] {
  return typeof value === "string" ? [value] : Array.isArray(value) ? (value as string[]) : [];
}

interface AlternativeName {
  readonly type: string;
  readonly value: string;
}

/**
 * The names in what Node makes of the extension: `URI:a, DNS:b`. A value that could be taken for more than one is a JSON
 * string there. None at all where something else is in it: half of what was understood is not what was certified.
 */
function alternativeNames(text: string): readonly AlternativeName[] {
  const names: AlternativeName[] = [];
  const entry = /([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/y;
  while (entry.lastIndex < text.length) {
    const found = entry.exec(text);
    if (found === null) return [];
    const [, type = "", value = ""] = found;
    names.push({ type, value: value.startsWith('"') ? (JSON.parse(value) as string) : value });
  }
  return names;
}
