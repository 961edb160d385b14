import { isIP } from "node:net";
import { findAddresses } from "./find-addresses.ts";
import { findCards, type Stretch } from "./find-cards.ts";
import { findCredentials } from "./find-credentials.ts";
import { findEmails } from "./find-emails.ts";
import { findPhones } from "./find-phones.ts";
import { type KeptAddresses, keptAddresses } from "./kept-addresses.ts";
import { type PersonalKind, pseudonyms, type Replace, redacted } from "./pseudonyms.ts";

export interface TextRedactorOptions {
  readonly personalData: "keep" | "pseudonymize" | "redact";
  /** Makes pseudonyms. */
  readonly key: Uint8Array;
  /** IP addresses and networks that are nobody's, besides this machine's own. */
  readonly keepAddresses?: readonly string[];
}

/** Takes out of texts what must not be in them. Each method takes linear time. */
export interface TextRedactor {
  /** A text without credentials and personal data. */
  text(text: string): string;
  /** A line of JSON likewise, which stays JSON. */
  jsonLine(line: string): string;
  /** An IP address or a network likewise; anything else stays as it is. */
  address(address: string): string;
}

/** Texts that are remembered: names come again and again. */
const mostRemembered = 4_096;
const longestRemembered = 256;
const uuidLength = 36;
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** The same for who asks about the same few texts many times, and about ids of runs, in which there is nothing to find. */
export function remembering(redactor: TextRedactor): Pick<TextRedactor, "text" | "address"> {
  const memory = (redact: (text: string) => string): ((text: string) => string) => {
    const known = new Map<string, string>();
    return (text) => {
      if (text.length > longestRemembered) return redact(text);
      // Looked up, a text is hashed as a whole: each id is another one.
      if (text.length === uuidLength && uuid.test(text)) return text;
      let result = known.get(text);
      if (result === undefined) {
        result = redact(text);
        if (known.size >= mostRemembered) known.clear();
        known.set(text, result);
      }
      return result;
    };
  };
  return { text: memory(redactor.text), address: memory(redactor.address) };
}

interface Found extends Stretch {
  readonly kind: PersonalKind | "credential";
}

/** Texts without any of these have nothing in them: most. */
const suspicious = /[@:]|\d|[Bb]earer|[Bb]asic|BEGIN|secret|_/;

export function createTextRedactor(options: TextRedactorOptions): TextRedactor {
  const kept = keptAddresses(options.keepAddresses);
  const personal = options.personalData === "keep" ? undefined : personalReplacement(options);
  const redact = (text: string): string => {
    if (!suspicious.test(text)) return text;
    const found = find(text, personal !== undefined, kept);
    return found.length === 0 ? text : replace(text, found, personal ?? redacted);
  };
  return {
    text: redact,
    jsonLine: (line) => jsonLine(line, redact),
    address(address) {
      const [host = ""] = address.split("/");
      return personal === undefined || isIP(host) === 0 || kept.has(host) ? address : personal("ip", address);
    },
  };
}

function personalReplacement({ personalData, key }: TextRedactorOptions): Replace {
  return personalData === "redact" ? redacted : pseudonyms(key);
}

function find(text: string, personal: boolean, kept: KeptAddresses): Found[] {
  const found: Found[] = findCredentials(text).map((each) => ({ ...each, kind: "credential" }));
  if (personal) {
    for (const each of findEmails(text)) found.push({ ...each, kind: "email" });
    for (const each of findCards(text)) found.push({ ...each, kind: "card" });
    for (const each of findAddresses(text)) {
      if (!kept.has(text.slice(each.start, each.end))) found.push({ ...each, kind: "ip" });
    }
    for (const each of findPhones(text)) found.push({ ...each, kind: "phone" });
  }
  return found;
}

/** What overlaps is one: the kind that begins first, up to where the last of them ends. */
function replace(text: string, found: Found[], personal: Replace): string {
  found.sort((a, b) => a.start - b.start || b.end - a.end);
  let result = "";
  let at = 0;
  for (let index = 0; index < found.length; ) {
    const first = found[index] as Found;
    let end = first.end;
    for (index++; (found[index]?.start ?? Number.POSITIVE_INFINITY) < end; index++) {
      end = Math.max(end, found[index]?.end ?? end);
    }
    const shown = first.kind === "credential" ? "[credential]" : personal(first.kind, text.slice(first.start, end));
    result += text.slice(at, first.start) + shown;
    at = end;
  }
  return result + text.slice(at);
}

/** Within JSON a text has escapes, which are not its own: it is read, and written anew. */
function jsonLine(line: string, redact: (text: string) => string): string {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return redact(line);
  }
  return JSON.stringify(redactValue(value, redact)) + (line.endsWith("\n") ? "\n" : "");
}

/** Names whose values are credentials, whatever those look like. */
const secretName =
  /^(?:authorization|proxy-authorization|x-api-key|api[_-]?key|cookie|set-cookie|password|passwd|secret|client_secret|access_token|refresh_token|token)$/i;

function redactValue(value: unknown, redact: (text: string) => string): unknown {
  if (typeof value === "string") return redact(value);
  if (typeof value === "number") {
    const text = String(value);
    const without = text.length < 13 ? text : redact(text);
    return without === text ? value : without;
  }
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => redactValue(item, redact));
  const copy: Record<string, unknown> = {};
  for (const [name, item] of Object.entries(value)) {
    copy[redact(name)] =
      typeof item === "string" && item !== "" && secretName.test(name) ? "[credential]" : redactValue(item, redact);
  }
  return copy;
}
