import { request as httpRequest } from "node:http";
import { type ClientHttp2Session, constants } from "node:http2";
import { request as httpsRequest } from "node:https";
import { gzipSync } from "node:zlib";
import { type DescMethod, type DescService, toBinary, toJson } from "@bufbuild/protobuf";
import { Clients, type ClientsOptions } from "./clients.ts";
import { hostileMessage, hostileText, mutated } from "./hostile-values.ts";
import { SeededRandom } from "./random.ts";

export interface FuzzOptions extends ClientsOptions {
  readonly services: readonly DescService[];
  readonly seed: number;
  readonly count: number;
  /** The deadline of calls that say one that can be read. */
  readonly timeoutMs: number;
  /** Requests at once. */
  readonly concurrency: number;
  /** What a request shows. Default: nothing mostly, and what is wrong now and then. */
  readonly credentials?: (random: SeededRandom) => ShownCredentials;
}

/** What a request shows of who sends it. */
export interface ShownCredentials {
  readonly headers: Readonly<Record<string, string>>;
  /** Whether the server must take it; undefined where it may do either. */
  readonly right?: boolean | undefined;
}

/** What came back. */
interface Answer {
  /** A gRPC status, "HTTP 400", or how the connection ended. */
  readonly status: string;
  /** Everything that a caller can read of it. */
  readonly text: string;
}

/** A case by whose answer the server gave itself away. */
export interface FuzzFailure {
  readonly seed: number;
  readonly case: number;
  readonly what: string;
}

interface Case {
  readonly what: string;
  send(client: Clients): Promise<Answer>;
  /** What grpc-js answers INTERNAL below every interceptor. */
  readonly excused: boolean;
  /** Whether what it shows is right, where it is a call of a method: undefined where anything may be answered. */
  readonly right: boolean | undefined;
}

/** How long a call may go on; it is not the answer of a call that lasts that is of interest. */
const patienceMs = 500;

/** Sends requests that no client would, and reports every answer that no server should give. Repeatable by its seed. */
export async function fuzz(options: FuzzOptions): Promise<{ failures: FuzzFailure[]; statuses: Map<string, number> }> {
  const { seed, count, concurrency } = options;
  const failures: FuzzFailure[] = [];
  const statuses = new Map<string, number>();
  const clients = new Clients(options);
  let next = 0;
  const one = async (): Promise<void> => {
    for (let index = next++; index < count; index = next++) {
      const { what, send, excused, right } = caseOf(options, index);
      const answer = await send(clients);
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
      const problem = problemOf(answer, excused) ?? misjudged(answer, right);
      if (problem !== undefined)
        failures.push({
          seed,
          case: index,
          what: `${problem}: ${what} => ${answer.status} ${answer.text.slice(0, 500)}`,
        });
    }
  };
  await Promise.all(Array.from({ length: concurrency }, one));
  clients.close();
  return { failures, statuses };
}

const stack = /\n\s+at |node_modules|node:internal|\.ts:\d+|\/src\/|\/dist\//;

function problemOf({ status, text }: Answer, excused: boolean): string | undefined {
  if (stack.test(text)) return "it shows its inside";
  if (!excused && /^(2|13|HTTP 500|reset 2)$/.test(status)) return "a caller's mistake is taken for the server's";
  if (!excused && /"code":"(internal|unknown)"/.test(text)) return "a caller's mistake is taken for the server's";
  return undefined;
}

/** What lets nobody in, of those who show something, and what does so without. */
function misjudged({ status, text }: Answer, right: boolean | undefined): string | undefined {
  if (right === true && /^(16|HTTP 401)$/.test(status)) return "who shows what is right is refused";
  if (right !== false) return undefined;
  const answered = status === "0" || (status === "HTTP 200" && !text.includes('"error":{"code"'));
  return answered ? "who shows what is wrong is let in" : undefined;
}

function caseOf({ services, seed, timeoutMs, credentials = nowAndThen }: FuzzOptions, index: number): Case {
  const random = new SeededRandom(seed * 1_000_003 + index);
  const method = random.pick(random.pick(services).methods);
  const shown = credentials(random);
  return random.chance(0.6) ? grpcCase(method, random, timeoutMs, shown) : webCase(method, random, timeoutMs, shown);
}

function pathOf(method: DescMethod, random: SeededRandom): string {
  const path = `/${method.parent.typeName}/${method.name}`;
  if (random.chance(0.9)) return path;
  return random.pick([
    ...[
      `${path}x`,
      path.toLowerCase(),
      `/${path}`,
      `${path}/`,
      "/",
      "//",
      "/a/b",
      "/..%2f..%2fetc/passwd",
      "/%",
      "/%ff",
      `${path}?a=%`,
    ],
    ...[
      "/artifacts/",
      "/artifacts/..",
      `/artifacts/${"0".repeat(32)}`,
      "/artifacts/%2e%2e%2f",
      "/healthz",
      "/readyz?x",
      `/${"x".repeat(5_000)}`,
    ],
    ...[
      "/__proto__/constructor",
      "/constructor/toString",
      "/retake.v1.RunService/__proto__",
      `/${random.bytes(8).toString("hex")}`,
    ],
  ]);
}

function bodyOf(method: DescMethod, random: SeededRandom): Buffer {
  const bytes = toBinary(method.input, hostileMessage(method.input, random));
  return random.chance(0.5) ? mutated(bytes, random) : Buffer.from(bytes);
}

const oddValues = [
  "",
  "x",
  "0",
  "-1",
  "99999999999999999999",
  "%",
  "null",
  "true",
  "x".repeat(2_000),
  "a,b,c",
  "\t",
  "=",
  "AA==",
  "!!!",
  "1e9",
];

/** All of them wrong: in their form, their checksum, their signature, or because nobody has made them. */
const oddCredentials = [
  ...oddValues,
  "Bearer",
  "Bearer ",
  "bearer  x",
  "Bearer rtk_",
  `Bearer rtk_${"A".repeat(200)}`,
  "rtk_0000000000000000_0000000000000000000000000000000000000000000_000000",
  "Bearer eyJhbGciOiJub25lIn0.e30.",
  "Bearer eyJhbGciOiJIUzI1NiIsImtpZCI6Ii4uLyJ9.eyJzdWIiOiJhIn0.AAAA",
  "Bearer a.b.c",
  "Basic YTpi",
  "Bearer ../../etc/passwd",
];

/** Credentials of no kind, or of one that is known and no more. */
export function oddCredential(random: SeededRandom): ShownCredentials {
  const value = random.pick(oddCredentials);
  // HTTP/2 leaves out fields with blanks around their values: such a call shows nothing.
  const arrives = value.trim() === value;
  return { headers: { [random.pick(["authorization", "x-api-key"])]: value }, right: arrives ? false : undefined };
}

function nowAndThen(random: SeededRandom): ShownCredentials {
  return random.chance(0.02) ? oddCredential(random) : { headers: {} };
}

function oddHeaders(random: SeededRandom): Record<string, string> {
  const names = [
    ...[
      "idempotency-key",
      "retake-detach",
      "retake-priority",
      "retake-min-quality",
      "retake-long-timeout",
      "traceparent",
      "tracestate",
    ],
    ...[
      "grpc-accept-encoding",
      "x-bin",
      "grpc-trace-bin",
      "user-agent",
      "accept-encoding",
      "x-odd",
      "grpc-previous-rpc-attempts",
    ],
    ...[
      "connect-timeout-ms",
      "connect-protocol-version",
      "x-forwarded-for",
      "range",
      "if-range",
      "if-none-match",
      "origin",
    ],
  ];
  const headers: Record<string, string> = {};
  for (let more = random.below(4); more > 0; more--) headers[random.pick(names)] = random.pick(oddValues);
  if (random.chance(0.01)) for (let more = 0; more < 150; more++) headers[`x-${more}`] = "y".repeat(100);
  return headers;
}

function grpcCase(method: DescMethod, random: SeededRandom, timeoutMs: number, shown: ShownCredentials): Case {
  const path = pathOf(method, random);
  const oddTimeout = random.chance(0.05);
  const encoding = random.chance(0.1) ? random.pick(["gzip", "deflate", "identity", "br", "x"]) : undefined;
  const timeout = oddTimeout
    ? random.pick(["", "x", "-1S", "999999999999S", "1", "S", "0n"])
    : random.pick([`${timeoutMs}m`, `${timeoutMs * 1000}u`]);
  const headers: Record<string, string> = {
    ":method": random.chance(0.99) ? "POST" : random.pick(["GET", "PUT", "OPTIONS"]),
    ":path": path,
    te: "trailers",
    "content-type": random.chance(0.95)
      ? "application/grpc"
      : random.pick(["application/grpc+json", "text/plain", "", "application/json", "application/grpc-web"]),
    "grpc-timeout": timeout,
    ...(encoding !== undefined && { "grpc-encoding": encoding }),
    ...oddHeaders(random),
    ...shown.headers,
  };
  const messages: Buffer[] = [];
  for (let left = random.chance(0.85) ? 1 : random.below(4); left > 0; left--) {
    const body = bodyOf(method, random);
    const packed = encoding === "gzip" && random.chance(0.5) ? gzipSync(body) : body;
    const head = Buffer.alloc(5);
    head.writeUInt8(encoding === undefined ? (random.chance(0.98) ? 0 : random.below(256)) : random.below(2));
    head.writeUInt32BE(
      random.chance(0.97) ? packed.length : random.pick([0, packed.length + 1, 2 ** 31, 2 ** 32 - 1, 5_000_000]),
      1,
    );
    messages.push(head, packed);
  }
  const flagged = messages.some((part, index) => index % 2 === 0 && part.readUInt8(0) !== 0);
  const body = Buffer.concat(messages);
  const ends = random.chance(0.97);
  return {
    what: `gRPC ${JSON.stringify(headers).slice(0, 500)} ${body.toString("hex").slice(0, 200)}`,
    excused: oddTimeout || flagged,
    right: isCall(path, method) ? shown.right : undefined,
    send: (clients) => sendGrpc(clients, headers, body, ends),
  };
}

function sendGrpc(clients: Clients, headers: Record<string, string>, body: Buffer, ends: boolean): Promise<Answer> {
  return new Promise((resolve) => {
    let status = "";
    const texts: string[] = [];
    const read = (received: Record<string, unknown>): void => {
      status = String(received["grpc-status"] ?? (status || `HTTP ${received[":status"]}`));
      const details = received["grpc-status-details-bin"];
      texts.push(JSON.stringify(received), Buffer.from(String(details ?? ""), "base64").toString("latin1"));
    };
    let stream: ReturnType<ClientHttp2Session["request"]>;
    try {
      stream = clients.session().request(headers);
    } catch (error) {
      // What no HTTP/2 library sends.
      resolve({ status: `unsendable ${(error as { code?: string }).code}`, text: "" });
      return;
    }
    const timer = setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), patienceMs);
    stream.on("response", read);
    stream.on("trailers", read);
    stream.on("data", () => undefined);
    stream.on("error", () => undefined);
    stream.on("close", () => {
      clearTimeout(timer);
      resolve({ status: status || `reset ${stream.rstCode}`, text: texts.join(" ") });
    });
    if (ends) {
      stream.end(body);
    } else {
      stream.write(body);
      setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), 20);
    }
  });
}

/** Whether a request is for a method, so that whoever sends it is asked who they are. */
function isCall(path: string, { parent, name }: DescMethod): boolean {
  return path === `/${parent.typeName}/${name}`;
}

function webCase(method: DescMethod, random: SeededRandom, timeoutMs: number, shown: ShownCredentials): Case {
  const type = random.pick([
    ...["application/json", "application/json", "application/json", "application/proto", "application/connect+json"],
    ...["application/grpc-web+proto", "application/grpc-web-text", "text/html", "", "application/json; charset=x"],
  ]);
  const verb = random.chance(0.9) ? "POST" : random.pick(["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"]);
  const path =
    verb === "GET" && random.chance(0.5) ? `${pathOf(method, random)}?${queryOf(random)}` : pathOf(method, random);
  const body = random.chance(0.5) || /json/.test(type) ? jsonOf(method, random) : bodyOf(method, random);
  const enveloped = /connect\+|grpc-web/.test(type) && random.chance(0.9);
  const head = Buffer.alloc(5);
  head.writeUInt8(random.chance(0.95) ? 0 : random.below(256));
  head.writeUInt32BE(random.chance(0.95) ? body.length : random.pick([0, body.length + 9, 2 ** 32 - 1]), 1);
  const encoding = random.chance(0.05) ? random.pick(["gzip", "br", "x"]) : undefined;
  const headers: Record<string, string> = {
    "content-type": type,
    "connect-timeout-ms": String(timeoutMs),
    "grpc-timeout": `${timeoutMs}m`,
    ...(encoding !== undefined && {
      [random.pick(["content-encoding", "grpc-encoding", "connect-content-encoding"])]: encoding,
    }),
    ...oddHeaders(random),
    ...shown.headers,
  };
  const sent = enveloped ? Buffer.concat([head, body]) : body;
  return {
    what: `${verb} ${path.slice(0, 200)} ${JSON.stringify(headers).slice(0, 500)} ${sent.toString("latin1").slice(0, 300)}`,
    excused: false,
    right: verb === "POST" && isCall(path, method) ? shown.right : undefined,
    send: (clients) =>
      sendWeb(clients, verb, path, headers, verb === "GET" || verb === "HEAD" ? Buffer.alloc(0) : sent),
  };
}

function queryOf(random: SeededRandom): string {
  const parts = [
    "connect=v1",
    `encoding=${random.pick(["json", "proto", "x"])}`,
    `message=${random.pick(["{}", "%7B%7D", "%", "AA", "%ff"])}`,
  ];
  return [...parts, random.pick(["base64=1", "compression=gzip", "compression=x", ""])].join("&");
}

function jsonOf(method: DescMethod, random: SeededRandom): Buffer {
  let text: string;
  try {
    text = JSON.stringify(toJson(method.input, hostileMessage(method.input, random)));
  } catch {
    // An Any of nothing has no JSON.
    text = "{}";
  }
  if (random.chance(0.5)) return Buffer.from(text);
  return random.pick([
    () => mutated(Buffer.from(text), random),
    () => Buffer.from("[".repeat(random.below(100_000))),
    () => Buffer.from('{"a":'.repeat(random.below(20_000))),
    () => Buffer.from(text.replace(/"[^"]*"/g, () => JSON.stringify(hostileText(random)))),
    () =>
      Buffer.from(
        text.replace(/:[^,}]*/, `:${random.pick(["1e400", "[]", "{}", "null", '"\\ud800"', "NaN", "01", "true"])}`),
      ),
    () => Buffer.from(`{"__proto__": ${text}, "constructor": {"prototype": {"x": 1}}}`),
  ])();
}

function sendWeb(
  clients: Clients,
  verb: string,
  path: string,
  headers: Record<string, string>,
  body: Buffer,
): Promise<Answer> {
  return new Promise((resolve) => {
    const done = (status: string, text: string): void => {
      clearTimeout(timer);
      resolve({ status, text });
    };
    const timer = setTimeout(() => {
      done("given up", "");
      request.destroy();
    }, patienceMs);
    const request = (() => {
      try {
        const to = clients.web();
        return (to.protocol === "https:" ? httpsRequest : httpRequest)({ ...to, method: verb, path, headers });
      } catch (error) {
        done(`unsendable ${(error as { code?: string }).code}`, "");
        return undefined;
      }
    })() as ReturnType<typeof httpRequest>;
    if (request === undefined) return;
    request.on("error", (error: NodeJS.ErrnoException) => done(`connection ${error.code}`, ""));
    request.on("response", (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", () => undefined);
      response.on("close", () => {
        const text = Buffer.concat(chunks).toString("latin1");
        const status = response.headers["grpc-status"] ?? /grpc-status: (\d+)/.exec(text)?.[1];
        const all = `${JSON.stringify(response.headers)} ${text}`;
        done(status === undefined ? `HTTP ${response.statusCode}` : String(status), all);
      });
    });
    request.end(body);
  });
}
