import { Code, ConnectError } from "@connectrpc/connect";
import type { HistogramCell, HistogramFamily, Instruments } from "../instruments.ts";
import { codeName } from "../runs/index.ts";
import { serverOf } from "../transport/index.ts";

/** As the semantic conventions (v1.44) advise for calls. */
const bounds: readonly number[] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];

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
      bounds,
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
