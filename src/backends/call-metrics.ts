import { Code, ConnectError } from "@connectrpc/connect";
import { callDurationBounds } from "../call-duration-bounds.ts";
import type { HistogramCell, HistogramFamily, Instruments } from "../instruments.ts";
import { codeName } from "../runs/index.ts";
import { serverOf } from "../transport/index.ts";

/** How long calls of back-ends take, as the semantic conventions of OpenTelemetry (v1.44) have it. */
export class BackendCallMetrics {
  readonly #duration: HistogramFamily;

  constructor(instruments: Instruments) {
    this.#duration = instruments.histogram(
      {
        name: "rpc.client.call.duration",
        unit: "s",
        description: "How long calls of back-ends took, until their last message.",
        attributes: ["rpc.system.name", "rpc.method", "rpc.status_code", "error.type", "server.address", "server.port"],
      },
      callDurationBounds,
    );
  }

  /** @param error what a call has failed with; undefined for one that has succeeded */
  cellOf(method: string, endpoint: string, error: unknown): HistogramCell {
    const code = error === undefined ? "OK" : codeName(error instanceof ConnectError ? error.code : Code.Unknown);
    const { address, port } = serverOf(endpoint);
    const to = [address, port === undefined ? "" : String(port)];
    return this.#duration.of("grpc", method, code, error === undefined ? "" : code, ...to);
  }
}
