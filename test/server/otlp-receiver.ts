import { createServer as createHttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData, status } from "@grpc/grpc-js";
import { onTestFinished } from "vitest";

/** A message as it is on the wire: by field, what it holds each time. */
type Fields = ReadonlyMap<number, readonly (Uint8Array | bigint)[]>;

export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  readonly kind: number;
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly links: readonly string[];
  /** 0 unset, 1 OK, 2 error. */
  readonly status: number;
  readonly service: unknown;
}

export interface ReceivedExemplar {
  /** The metric's name. */
  readonly metric: string;
  readonly timeMs: number;
  readonly value: number;
  readonly traceId: string;
  readonly spanId: string;
  readonly attributes: Readonly<Record<string, unknown>>;
}

export interface ReceivedLog {
  readonly body: unknown;
  readonly severity: string;
  readonly eventName: string;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly traceId: string;
  readonly spanId: string;
}

/** What speaks OTLP and keeps what it gets, decoded from the wire and by nothing of OpenTelemetry's own code. */
export interface OtlpReceiver {
  readonly endpoint: string;
  readonly spans: readonly ReceivedSpan[];
  readonly metricNames: ReadonlySet<string>;
  readonly exemplars: readonly ReceivedExemplar[];
  readonly logs: readonly ReceivedLog[];
  readonly headers: readonly string[];
  /** Refuses what comes from now on, or takes it again. */
  available: boolean;
}

export async function startOtlpReceiver(protocol: "grpc" | "http/protobuf"): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = [];
  const metricNames = new Set<string>();
  const exemplars: ReceivedExemplar[] = [];
  const logs: ReceivedLog[] = [];
  const headers: string[] = [];
  const receiver = { endpoint: "", spans, metricNames, exemplars, logs, headers, available: true };
  const take = (path: string, body: Uint8Array): void => {
    if (path.includes("trace")) spans.push(...spansOf(body));
    else if (path.includes("metrics")) {
      for (const metric of metricsOf(body)) metricNames.add(textOf(metric, 1));
      exemplars.push(...exemplarsIn(body));
    } else logs.push(...logsOf(body));
  };
  receiver.endpoint = protocol === "grpc" ? await listenGrpc(receiver, take) : await listenHttp(receiver, take);
  return receiver;
}

type Take = (path: string, body: Uint8Array) => void;
type Receiver = Pick<OtlpReceiver, "available"> & { readonly headers: string[] };

async function listenHttp(receiver: Receiver, take: Take): Promise<string> {
  const server = createHttpServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray());
    receiver.headers.push(String(request.headers["x-team"] ?? ""));
    if (receiver.available) take(request.url ?? "", body);
    response.statusCode = receiver.available ? 200 : 400;
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function listenGrpc(receiver: Receiver, take: Take): Promise<string> {
  const server = new Server();
  const raw = (bytes: Buffer): Buffer => bytes;
  for (const [kind, plural] of [
    ["trace", "Trace"],
    ["metrics", "Metrics"],
    ["logs", "Logs"],
  ]) {
    const path = `/opentelemetry.proto.collector.${kind}.v1.${plural}Service/Export`;
    server.register(
      path,
      (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => {
        receiver.headers.push(String(call.metadata.get("x-team")[0] ?? ""));
        if (receiver.available) {
          take(path.toLowerCase(), call.request);
          answer(null, Buffer.alloc(0));
        } else {
          answer({ code: status.INVALID_ARGUMENT, details: "away" });
        }
      },
      raw,
      raw,
      "unary",
    );
  }
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  onTestFinished(() => server.forceShutdown());
  return `http://127.0.0.1:${port}`;
}

function fieldsOf(bytes: Uint8Array): Fields {
  const fields = new Map<number, (Uint8Array | bigint)[]>();
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    const values = fields.get(number) ?? [];
    fields.set(number, values);
    if (wireType === WireType.LengthDelimited) values.push(reader.bytes());
    else if (wireType === WireType.Varint) values.push(BigInt(reader.uint64()));
    else if (wireType === WireType.Bit64) values.push(BigInt(reader.fixed64()));
    else reader.skip(wireType, number);
  }
  return fields;
}

function within(fields: Fields, number: number): Fields[] {
  return (fields.get(number) ?? []).flatMap((value) => (value instanceof Uint8Array ? [fieldsOf(value)] : []));
}

function textOf(fields: Fields, number: number): string {
  const [value] = fields.get(number) ?? [];
  return value instanceof Uint8Array ? Buffer.from(value).toString() : "";
}

function hexOf(fields: Fields, number: number): string {
  const [value] = fields.get(number) ?? [];
  return value instanceof Uint8Array ? Buffer.from(value).toString("hex") : "";
}

function numberOf(fields: Fields, number: number): number {
  const [value] = fields.get(number) ?? [];
  return typeof value === "bigint" ? Number(value) : 0;
}

/** The bits of a number of 64 bits, as the number that has a point. */
function doubleOf(fields: Fields, number: number): number {
  const [value] = fields.get(number) ?? [];
  return typeof value === "bigint" ? (new Float64Array(BigUint64Array.of(value).buffer)[0] ?? Number.NaN) : Number.NaN;
}

/** An AnyValue: text, or a whole number. */
function anyValue(value: Fields | undefined): unknown {
  if (value === undefined) return undefined;
  return value.has(1) ? textOf(value, 1) : numberOf(value, 3);
}

function attributesOf(fields: Fields, number: number): Record<string, unknown> {
  return Object.fromEntries(within(fields, number).map((entry) => [textOf(entry, 1), anyValue(within(entry, 2)[0])]));
}

function spansOf(body: Uint8Array): ReceivedSpan[] {
  return within(fieldsOf(body), 1).flatMap((resource) => {
    const service = within(resource, 1).map((one) => attributesOf(one, 1)["service.name"])[0];
    return within(resource, 2)
      .flatMap((scope) => within(scope, 2))
      .map((span) => ({
        traceId: hexOf(span, 1),
        spanId: hexOf(span, 2),
        parentSpanId: hexOf(span, 4),
        name: textOf(span, 5),
        kind: numberOf(span, 6),
        startMs: numberOf(span, 7) / 1e6,
        endMs: numberOf(span, 8) / 1e6,
        attributes: attributesOf(span, 9),
        links: within(span, 13).map((link) => hexOf(link, 2)),
        status: within(span, 15).map((one) => numberOf(one, 3))[0] ?? 0,
        service,
      }));
  });
}

function metricsOf(body: Uint8Array): Fields[] {
  return within(fieldsOf(body), 1)
    .flatMap((resource) => within(resource, 2))
    .flatMap((scope) => within(scope, 2));
}

/** Those of the histograms of an Export request. */
export function exemplarsIn(body: Uint8Array): ReceivedExemplar[] {
  return metricsOf(body).flatMap(exemplarsOf);
}

function exemplarsOf(metric: Fields): ReceivedExemplar[] {
  return within(metric, 9)
    .flatMap((histogram) => within(histogram, 1))
    .flatMap((point) => within(point, 8))
    .map((exemplar) => ({
      metric: textOf(metric, 1),
      timeMs: numberOf(exemplar, 2) / 1e6,
      value: doubleOf(exemplar, 3),
      traceId: hexOf(exemplar, 5),
      spanId: hexOf(exemplar, 4),
      attributes: attributesOf(exemplar, 7),
    }));
}

function logsOf(body: Uint8Array): ReceivedLog[] {
  return within(fieldsOf(body), 1)
    .flatMap((resource) => within(resource, 2))
    .flatMap((scope) => within(scope, 2))
    .map((record) => ({
      body: anyValue(within(record, 5)[0]),
      severity: textOf(record, 3),
      eventName: textOf(record, 12),
      attributes: attributesOf(record, 6),
      traceId: hexOf(record, 9),
      spanId: hexOf(record, 10),
    }));
}
