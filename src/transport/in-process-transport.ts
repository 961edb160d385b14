import type { DescMessage, DescMethod } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type Interceptor,
  type MethodImplSpec,
  type ServiceImplSpec,
  type StreamResponse,
  type Transport,
  type UnaryResponse,
} from "@connectrpc/connect";
import { type Clock, systemClock } from "../clock.ts";
import { type ClientSettings, runStream, runUnary } from "./client-call.ts";
import { callStream, callUnary } from "./in-process-call.ts";
import { methodName } from "./method.ts";

/** How services are called in the same process. */
export interface InProcessTransportOptions {
  /** Around every call on the implementation's side, the first listed outermost: those of the server. */
  readonly interceptors?: readonly Interceptor[];
  /** Around every call on the caller's side, the first listed outermost. */
  readonly clientInterceptors?: readonly Interceptor[];
  /** Used where a call gives no timeout of its own. None by default. */
  readonly defaultTimeoutMs?: number;
  /** The machine's clock by default. */
  readonly clock?: Clock;
}

/**
 * Calls implementations (made by `createServiceImplSpec`) without a network and without serialising, with the semantics
 * of a gRPC call: interceptors, deadlines, cancellation, headers, trailers, errors reduced to what would cross a wire.
 * Messages are cloned both ways, so that neither side sees what the other does to its own later.
 */
export function createInProcessTransport(
  services: readonly ServiceImplSpec[],
  options: InProcessTransportOptions = {},
): Transport {
  const { interceptors = [], clientInterceptors = [], clock = systemClock } = options;
  const specs = new Map<string, MethodImplSpec>();
  for (const service of services) {
    for (const spec of Object.values(service.methods)) {
      specs.set(methodName(spec.method), spec);
    }
  }
  const settings: ClientSettings = {
    clock,
    interceptors: clientInterceptors,
    defaultTimeoutMs: options.defaultTimeoutMs,
    url: (method) => `http://in-process/${methodName(method)}`,
  };

  return {
    unary<I extends DescMessage, O extends DescMessage>(...args: Parameters<Transport["unary"]>) {
      const [method, signal, timeoutMs, header, input, contextValues] = args;
      return runUnary(settings, {
        method,
        signal,
        timeoutMs,
        header,
        input,
        contextValues,
        send: async (request, timeLeftMs) =>
          await callUnary({ spec: findSpec(specs, method), timeLeftMs, interceptors }, request),
      }) as Promise<UnaryResponse<I, O>>;
    },
    stream<I extends DescMessage, O extends DescMessage>(...args: Parameters<Transport["stream"]>) {
      const [method, signal, timeoutMs, header, input, contextValues] = args;
      return runStream(settings, {
        method,
        signal,
        timeoutMs,
        header,
        input,
        contextValues,
        send: async (request, timeLeftMs) =>
          await callStream({ spec: findSpec(specs, method), timeLeftMs, interceptors }, request),
      }) as Promise<StreamResponse<I, O>>;
    },
  };
}

function findSpec(specs: ReadonlyMap<string, MethodImplSpec>, method: DescMethod): MethodImplSpec {
  const spec = specs.get(methodName(method));
  if (spec === undefined || spec.kind !== method.methodKind) {
    throw new ConnectError(`there is no method ${methodName(method)} in this process`, Code.Unimplemented);
  }
  return spec;
}
