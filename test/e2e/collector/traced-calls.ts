import { randomBytes } from "node:crypto";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { codeName } from "../../../src/runs/index.ts";

/** A call as its caller knows it. */
export interface TracedCall {
  readonly traceId: string;
  /** The caller's span, whose child the server's is. */
  readonly spanId: string;
  readonly method: string;
  /** Empty while it is open. */
  status: string;
}

/** Makes calls that each begin a trace of their own, and remembers them. */
export class TracedCalls {
  readonly all: TracedCall[] = [];

  readonly interceptor: Interceptor = (next) => async (request) => {
    const call: TracedCall = {
      traceId: randomBytes(16).toString("hex"),
      spanId: randomBytes(8).toString("hex"),
      method: `${request.service.typeName}/${request.method.name}`,
      status: "",
    };
    this.all.push(call);
    request.header.set("traceparent", `00-${call.traceId}-${call.spanId}-01`);
    try {
      const response = await next(request);
      if (response.stream) return { ...response, message: followed(response.message, call) };
      call.status = "OK";
      return response;
    } catch (error) {
      call.status = statusOf(error);
      throw error;
    }
  };
}

async function* followed<T>(messages: AsyncIterable<T>, call: TracedCall): AsyncGenerator<T> {
  try {
    yield* messages;
    call.status = "OK";
  } catch (error) {
    call.status = statusOf(error);
    throw error;
  }
}

function statusOf(error: unknown): string {
  return codeName(error instanceof ConnectError ? error.code : Code.Unknown);
}
