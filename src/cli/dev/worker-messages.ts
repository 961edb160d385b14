import type { ServerAddress } from "../../server/index.ts";

/** What a worker is started with. */
export interface WorkerOrder {
  readonly directory: string;
  /** The configuration's file; the defaults without one. */
  readonly configFile?: string;
  readonly handlers: string;
  readonly dataDirectory?: string;
  /** "off" opens none. */
  readonly grpcPort?: number | "off";
  readonly webPort?: number | "off";
}

/** What a worker is told. */
export type WorkerCommand = { readonly kind: "listen" } | { readonly kind: "stop" };

/** What a worker tells. */
export type WorkerReport =
  /** Its handlers are loaded, and fit the contracts. */
  | { readonly kind: "ready" }
  | { readonly kind: "listening"; readonly grpc?: ServerAddress; readonly web?: ServerAddress }
  | { readonly kind: "log"; readonly level: "warn" | "error"; readonly message: string; readonly stack: string }
  /** It ends after that. */
  | { readonly kind: "broken"; readonly name: string; readonly message: string; readonly stack: string };
