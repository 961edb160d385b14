import { SpanKind } from "@opentelemetry/api";
import type { Clock, RandomSource } from "../../clock.ts";
import type { CallSpan, CallSpans, EndedCall } from "../../interceptors/rpc/index.ts";
import type { OtlpAttributes, OtlpSpan } from "../../otlp/index.ts";
import { callSpanId, ownTraceId } from "../../span-ids.ts";
import { isSampled, readTraceparent, spanIdOf, traceIdOf } from "../../traceparent.ts";
import { isCallHeaders, serverOf } from "../../transport/index.ts";
import type { Sampling } from "./otel-environment.ts";
import { RandomTraceparents } from "./random-traceparents.ts";
import type { SpanBudget } from "./span-budget.ts";

export interface TracingOptions {
  readonly sampling: Sampling;
  readonly clock: Clock;
  readonly random: RandomSource;
  /** Takes out of messages what must not be in them. */
  readonly redact: (text: string) => string;
  /** Takes spans that have ended, also those that ended in an earlier process. */
  readonly onEnd: (span: EndedSpan) => void;
  readonly budget: Pick<SpanBudget, "allows" | "spend">;
  /** Told of each trace that the budget leaves out. */
  readonly onLeftOut: () => void;
}

/** A span that has ended. */
export interface EndedSpan extends OtlpSpan {
  readonly kind: SpanKind;
  /** An earlier process has made it too, and may not have sent it. */
  readonly again?: boolean;
}

const { SERVER } = SpanKind;

/** Those of DNS have at most 253 characters, and a port. */
const mostOfAuthority = 260;

interface Server {
  readonly authority: string;
  readonly attributes: OtlpAttributes;
}

const noAttributes: OtlpAttributes = {};

/** Makes spans, each at its end: of calls here, and of whatever else tells what it knows. */
export class Tracing implements CallSpans {
  readonly #options: TracingOptions;
  readonly #traceparents: RandomTraceparents;
  /** The one that was called last: mostly there is one. */
  #server: Server = { authority: "", attributes: {} };

  readonly #makeOwn = (): string => this.#traceparents.next();

  constructor(options: TracingOptions) {
    this.#options = options;
    this.#traceparents = new RandomTraceparents(options.random);
  }

  begin(header: Headers, nowMs: number): CallSpan | undefined {
    const caller = readTraceparent(header.get("traceparent"));
    // What it says belongs to a trace that is not known. Headers are made when one is deleted, which most calls need not have.
    if (caller === "" && header.has("tracestate")) header.delete("tracestate");
    // Whether it is kept depends on its id where a share is. Else none is made before there is room for it.
    const drawn = caller === "" && this.#options.sampling.share < 1 ? this.#traceparents.next() : "";
    if (!this.#keeps(traceIdOf(caller || drawn), caller) || !this.#hasRoom(nowMs)) {
      this.#leaveOut(header, caller);
      return undefined;
    }
    const own = drawn || this.#traceparents.next();
    const traceId = traceIdOf(caller || own);
    const spanId = spanIdOf(own);
    // What follows is this span's child, wherever it is carried out, and whenever.
    header.set("traceparent", `00-${traceId}-${spanId}-01`);
    const startMs = this.#options.clock.now();
    return { end: (call) => this.#endCall(call, { traceId, spanId, startMs, parentSpanId: spanIdOf(caller) }) };
  }

  /** Whoever is called hears that nobody keeps the trace, and lines of the log about the call are found by it all the same. */
  #leaveOut(header: Headers, caller: string): void {
    if (caller !== "") header.set("traceparent", `00-${traceIdOf(caller)}-${spanIdOf(caller)}-00`);
    else if (isCallHeaders(header)) header.defer("traceparent", this.#makeOwn);
    else header.set("traceparent", this.#makeOwn());
  }

  /** Where the spans of a run are; undefined where nobody keeps them. */
  traceOf(runId: string, traceparent: string): string | undefined {
    if (traceparent !== "") return isSampled(traceparent) ? traceIdOf(traceparent) : undefined;
    const traceId = ownTraceId(runId);
    return this.#keeps(traceId, "") ? traceId : undefined;
  }

  /** What a back-end is told: that it is called by that attempt. */
  traceparentOf(runId: string, attempt: number, traceparent: string): string {
    const traceId = this.traceOf(runId, traceparent);
    return traceId === undefined ? traceparent : `00-${traceId}-${callSpanId(runId, attempt)}-01`;
  }

  /** A text that others have made, without what must not be in spans. */
  redacted(text: string): string {
    return this.#options.redact(text);
  }

  end(span: EndedSpan): void {
    const { redact, onEnd, budget } = this.#options;
    // What an earlier process has made is no rush of this one.
    if (span.again !== true) budget.spend();
    onEnd(span.error === undefined ? span : { ...span, error: redact(span.error) });
  }

  #endCall(
    call: EndedCall,
    { traceId, spanId, startMs, parentSpanId }: Pick<EndedSpan, "traceId" | "spanId" | "startMs" | "parentSpanId">,
  ): void {
    const { calledMethod } = call;
    this.end({
      ...{ traceId, spanId, startMs, parentSpanId, remoteParent: true, kind: SERVER },
      // Names of spans are few.
      name: calledMethod === undefined ? call.method : call.system,
      endMs: startMs + call.seconds * 1000,
      attributes: {
        "rpc.system.name": call.system,
        "rpc.method": call.method,
        ...(calledMethod !== undefined && { "rpc.method_original": this.#options.redact(calledMethod) }),
        "rpc.status_code": call.statusCode,
        ...this.#serverOf(call.authority),
        ...(call.errorType !== "" && { "error.type": call.errorType }),
        ...(call.runId !== "" && { "retake.run.id": call.runId }),
      },
      ...(call.errorType !== "" && { error: call.message }),
    });
  }

  #serverOf(authority = ""): OtlpAttributes {
    if (authority !== this.#server.authority) this.#server = { authority, attributes: this.#attributesOf(authority) };
    return this.#server.attributes;
  }

  #attributesOf(authority: string): OtlpAttributes {
    const { address, port } = serverOf(authority.slice(0, mostOfAuthority));
    if (address === "") return noAttributes;
    return {
      "server.address": this.#options.redact(address.toWellFormed()),
      ...(port !== undefined && { "server.port": port }),
    };
  }

  #keeps(traceId: string, caller: string): boolean {
    const { parentBased, share } = this.#options.sampling;
    if (parentBased && caller !== "") return isSampled(caller);
    if (share >= 1) return true;
    // As other tools do, so that the same trace is kept by all of them.
    return Number.parseInt(traceId.slice(-14), 16) < share * 2 ** 56;
  }

  #hasRoom(nowMs: number): boolean {
    const { budget, onLeftOut } = this.#options;
    if (budget.allows(nowMs)) return true;
    onLeftOut();
    return false;
  }
}
