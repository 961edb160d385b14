import type { ChannelOptions } from "@grpc/grpc-js";
import type { Clock } from "../clock.ts";
import { assertTarget, createGrpcTransport, type GrpcTransport, isLoopback, tlsChannel } from "../transport/index.ts";
import { assertApiKey } from "./api-key.ts";
import type { RetakeChannelOptions } from "./client-options.ts";

const defaultChannelOptions: ChannelOptions = {
  "grpc.enable_channelz": 0,
  // The server limits messages, and a result of just that size still has an envelope around it.
  "grpc.max_receive_message_length": -1,
  // grpc-js would wait for up to two minutes before it looks for a server that has come back.
  "grpc.initial_reconnect_backoff_ms": 200,
  "grpc.max_reconnect_backoff_ms": 5_000,
};

/** A channel of the client's own. @throws TypeError for options that cannot work */
export function connectChannel(options: RetakeChannelOptions, apiKey: string | undefined, clock: Clock): GrpcTransport {
  const { target, interceptors = [] } = options;
  assertTarget(target);
  const tls = options.tls === true ? {} : options.tls || undefined;
  if (apiKey !== undefined) {
    assertApiKey(apiKey);
    if (tls === undefined && options.allowPlaintextApiKey !== true && !isLoopback(target)) {
      throw new TypeError(
        `apiKey would travel to ${target} in plain text: set tls, or allowPlaintextApiKey where something else encrypts the way`,
      );
    }
  }
  const secured = tls === undefined ? undefined : tlsChannel(tls, target);
  return createGrpcTransport({
    target,
    interceptors,
    clock,
    channelOptions: { ...defaultChannelOptions, ...secured?.channelOptions, ...options.channelOptions },
    ...(secured === undefined ? {} : { credentials: secured.credentials }),
  });
}
