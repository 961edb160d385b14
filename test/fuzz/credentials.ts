import { createHmac, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { crc32 } from "node:zlib";
import { createKey } from "../../src/security/keys/key-format.ts";
import { oddCredential, type ShownCredentials } from "./fuzz.ts";
import type { SeededRandom } from "./random.ts";

/** An issuer of tokens that says in them what it likes. */
export class OddIssuer {
  readonly issuer = "https://login.fuzz.example";
  readonly audience = "retake";
  readonly kid = "fuzz-1";
  /** What a server is to take for its keys. */
  readonly jwks: object;
  readonly #own: KeyObject;
  readonly #anothers = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  readonly #public: string;

  constructor() {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    this.#own = privateKey;
    this.jwks = { keys: [{ ...publicKey.export({ format: "jwk" }), alg: "ES256", use: "sig", kid: this.kid }] };
    this.#public = publicKey.export({ format: "pem", type: "spki" }).toString();
  }

  /** Claims that are taken. */
  claims(more: Record<string, unknown> = {}): Record<string, unknown> {
    const seconds = Math.floor(Date.now() / 1000);
    return { iss: this.issuer, aud: this.audience, sub: "ada", exp: seconds + 3600, level: "AUTHENTICATED", ...more };
  }

  header(more: Record<string, unknown> = {}): Record<string, unknown> {
    return { alg: "ES256", kid: this.kid, ...more };
  }

  /** Signed by its own key; what is text already goes in as it is. */
  token(claims: object | string | Buffer = this.claims(), header: object | string = this.header()): string {
    return signed(header, claims, (text) => es256(text, this.#own));
  }

  ofAnother(): string {
    return signed(this.header(), this.claims(), (text) => es256(text, this.#anothers));
  }

  unsigned(alg: string): string {
    return signed(this.header({ alg }), this.claims({ level: "ADMIN" }), () => "");
  }

  /** As if what everybody knows were the secret of both sides. */
  byPublicKey(): string {
    const mac = (text: string): string => createHmac("sha256", this.#public).update(text).digest("base64url");
    return signed(this.header({ alg: "HS256" }), this.claims({ level: "ADMIN" }), mac);
  }
}

function es256(text: string, key: KeyObject): string {
  return sign("sha256", Buffer.from(text), { key, dsaEncoding: "ieee-p1363" }).toString("base64url");
}

function signed(header: object | string, claims: object | string, by: (text: string) => string): string {
  const text = `${encoded(header)}.${encoded(claims)}`;
  return `${text}.${by(text)}`;
}

function encoded(part: object | string): string {
  if (Buffer.isBuffer(part)) return part.toString("base64url");
  return Buffer.from(typeof part === "string" ? part : JSON.stringify(part)).toString("base64url");
}

export interface CredentialsOptions {
  readonly issuer: OddIssuer;
  /** Keys that the server takes. */
  readonly keys: readonly string[];
  /** Keys that it has made and does not take any more. */
  readonly ended: readonly string[];
}

/** Right ones mostly, of every level; wrong ones of every kind, and none at all. */
export function createCredentials({
  issuer,
  keys,
  ended,
}: CredentialsOptions): (random: SeededRandom) => ShownCredentials {
  // The same ones again and again, as clients do: those are remembered by the server.
  const known = ["AUTHENTICATED", "PRIVILEGED", "ADMIN"].flatMap((level) => [
    issuer.token(issuer.claims({ level, groups: ["crew"] })),
    issuer.token(issuer.claims({ level, sub: "grace", tenant: "other" })),
  ]);
  return (random) => {
    const choice = random.next();
    if (choice < 0.12) return { headers: {} };
    if (choice < 0.4) return asKey(random.pick(keys), true, random);
    if (choice < 0.6) return asToken(random.pick(known), true);
    // Signed, and never seen before.
    if (choice < 0.68) return asToken(issuer.token(issuer.claims({ jti: random.bytes(8).toString("hex") })), true);
    if (choice < 0.76) return asToken(issuer.token(oddClaims(issuer, random)), undefined);
    if (choice < 0.86) return asToken(wrongToken(issuer, random), false);
    if (choice < 0.95) return asKey(wrongKey(keys, ended, random), false, random);
    if (choice < 0.97) return both(random.pick(keys), random.pick(known));
    return oddCredential(random);
  };
}

function asKey(key: string, right: boolean, random: SeededRandom): ShownCredentials {
  return { headers: random.chance(0.5) ? { "x-api-key": key } : { authorization: `Bearer ${key}` }, right };
}

function asToken(token: string, right: boolean | undefined): ShownCredentials {
  return { headers: { authorization: `Bearer ${token}` }, right };
}

/** Two that say different things. */
function both(key: string, token: string): ShownCredentials {
  return { headers: { "x-api-key": key, authorization: `Bearer ${token}` }, right: false };
}

const oddThings: readonly unknown[] = [
  ...[null, true, 0, -1, 1e300, "", " ", "a\nb", "\u202e", "\ud800", "x".repeat(300), "anonymous", "in-process"],
  ...[[], [1, [2, [null]]], {}, { a: { b: {} } }, "__proto__", "ADMIN", ["ADMIN"], "*", "../../etc/passwd"],
];

/** Signed as it must be; what they say is what no issuer would. */
function oddClaims(issuer: OddIssuer, random: SeededRandom): object | string {
  const odd = random.pick(oddThings);
  switch (random.below(8)) {
    case 0:
      return issuer.claims({ [random.pick(["sub", "level", "tenant", "groups", "jti", "nbf", "iat"])]: odd });
    case 1:
      return issuer.claims({ groups: Array.from({ length: random.below(1_200) }, (_, index) => `g${index}`) });
    case 2:
      return issuer.claims({ more: "x".repeat(random.below(9_000)) });
    case 3:
      return JSON.stringify(issuer.claims()).replace(/}$/, `,"deep":${"[".repeat(3_000)}${"]".repeat(3_000)}}`);
    case 4:
      return JSON.stringify(issuer.claims()).replace("{", '{"__proto__":{"level":"ADMIN"},"sub":"eve",');
    case 5:
      return issuer.claims({ exp: random.pick([1e300, -1e300, 2 ** 53, 0.5, 0, null, "soon"]) });
    case 6:
      return issuer.claims({ aud: random.pick([[issuer.audience, 5], [], null, { a: 1 }, [[issuer.audience]]]) });
    default:
      return Object.fromEntries(Object.entries(issuer.claims()).filter(() => random.chance(0.8)));
  }
}

const hoursAgo = (hours: number): number => Math.floor(Date.now() / 1000) - hours * 3600;

function wrongToken(issuer: OddIssuer, random: SeededRandom): string {
  const right = issuer.token(issuer.claims({ jti: random.bytes(4).toString("hex") }));
  const [header = "", claims = "", signature = ""] = right.split(".");
  const odd = random.pick(oddThings);
  return random.pick([
    () => issuer.unsigned(random.pick(["none", "None", "NONE", ""])),
    () => `${encoded(issuer.header({ alg: "none" }))}.${claims}.${signature}`,
    () => issuer.byPublicKey(),
    () => issuer.ofAnother(),
    () =>
      issuer.token(issuer.claims(), issuer.header({ kid: random.pick([...oddThings, "x".repeat(3_000)]) ?? "none" })),
    () => issuer.token(issuer.claims(), issuer.header({ alg: odd })),
    () => issuer.token(issuer.claims(), issuer.header({ crit: ["exp"], exp: odd })),
    () => issuer.token(issuer.claims(), issuer.header({ crit: odd ?? 1 })),
    () => issuer.token(issuer.claims(), issuer.header({ alg: "ES384", jku: "http://127.0.0.1:1/keys" })),
    () => issuer.token(issuer.claims({ exp: hoursAgo(1) })),
    () => issuer.token(issuer.claims({ nbf: hoursAgo(-1) })),
    () => issuer.token(issuer.claims({ iss: odd })),
    () => issuer.token(issuer.claims({ aud: "another" })),
    () => issuer.token(random.pick(["", "null", "[]", "5", '"a"', "{", "{}", "\ud800"])),
    () => issuer.token(random.bytes(30)),
    () => issuer.token(issuer.claims(), random.pick(["", "null", "[]", "{}", "{", '{"alg":"ES256"'])),
    () => right.slice(0, random.below(right.length)),
    () => `${header}.${claims}.`,
    () => `${header}.${claims}.${signature.slice(2)}${signature.slice(0, 2)}x`,
    () => `${header}.${claims.slice(1)}.${signature}`,
    () => `${right}.${signature}`,
    () => `${right}.${signature}.${claims}`,
    () => `.${right}`,
    () => `${header}!.${claims}.${signature}`,
    () => `${header}.${claims}=.${signature}`,
    () => `${right}${right}`,
    () => `eyJ.${"x".repeat(12_000)}.x`,
    () => `${header}.${encoded(`{"iss":"${issuer.issuer}","a":${"[".repeat(4_000)}`)}.${signature}`,
  ])();
}

function wrongKey(keys: readonly string[], ended: readonly string[], random: SeededRandom): string {
  const right = random.pick(keys);
  const at = random.below(right.length);
  const unknown = createKey({ next: () => random.next(), fill: (bytes) => bytes.set(random.bytes(bytes.length)) }).text;
  return random.pick([
    () => random.pick(ended),
    () => unknown,
    // The id of a key that there is, and a secret that is not its own.
    () => withSum(`${right.slice(0, 16)}${unknown.slice(16, -6)}`),
    () => right.slice(0, at),
    () => `${right.slice(0, at)}${right[at] === "A" ? "B" : "A"}${right.slice(at + 1)}`,
    () => `${right.slice(0, at)}-${right.slice(at)}`,
    () => `${right}${right}`,
    () => `${right}x`,
    () => right.toUpperCase(),
    () => right.slice(4),
    () => `${right.slice(0, -6)}000000`,
    () => `rtk_${"9".repeat(random.below(2_000))}`,
    () => "rtk___proto____".concat("0".repeat(50)),
  ])();
}

const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** With the checksum that it should have. */
function withSum(body: string): string {
  let sum = "";
  for (let rest = crc32(body); rest > 0; rest = Math.floor(rest / digits.length)) {
    sum = `${digits[rest % digits.length]}${sum}`;
  }
  return body + sum.padStart(6, "0");
}
